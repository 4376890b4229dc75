"""Deals from a host's payloads in files, read through a mapping."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from dealgate.adapters.deal_files import check_unchanged, open_again
from dealgate.adapters.mappings import HostMapping, MappedDeal, MappingError
from dealgate.rules.deal import Deal


class MappedFile:
    """A file of payloads that can be read through more than once: first to check it, then to use it."""

    def __init__(self, name: str, stream: IO[bytes], mapping: HostMapping) -> None:
        self.name = name
        self._stream = stream
        self._mapping = mapping
        self.remarks: list[str] = []
        self._checked = 0

    def read(self) -> Iterator[MappedDeal | MappingError]:
        """Every deal, or what is wrong with it; the last is what keeps the file from being read on."""
        self._stream.seek(0)
        try:
            yield from self._mapping.read(self._stream)
        except MappingError as error:
            yield error

    def check(self) -> tuple[int, list[str]]:
        """How many deals there are, and every problem in them."""
        count, problems = 0, list[str]()
        self.remarks = []
        for found in self.read():
            count += 1
            if isinstance(found, MappingError):
                problems += [f"{self.name}: {problem}" for problem in found.problems]
            else:
                place = f"{self.name}: {found.place}: " if found.place else f"{self.name}: "
                self.remarks += [place + remark for remark in found.remarks]
        if not count:
            problems.append(f"{self.name}: there is no deal in it")
        self._checked = count
        return count, problems

    def deals(self) -> Iterator[Deal]:
        """Raises `MappingError` and `DealError` where the file has changed since it was checked."""
        count = 0
        for found in self.read():
            if isinstance(found, MappingError):
                raise found
            yield found.deal
            count += 1
        check_unchanged(self.name, self._checked, count)


@contextmanager
def open_mapped(name: str, mapping: HostMapping) -> Iterator[MappedFile]:
    """Open a file of payloads. Raises `OSError`."""
    with open_again(name) as (shown, stream):
        yield MappedFile(shown, stream, mapping)
