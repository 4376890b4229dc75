"""From bytes, texts and objects to payloads, by the format that the mapping states."""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any

from dealgate.adapters.mappings.payloads import Payload, of_objects
from dealgate.adapters.mappings.problems import UnreadableError
from dealgate.adapters.mappings.xml_payloads import read_xml
from dealgate.rules.deal import DealError, parse_json

MOST_BYTES = 1_000_000
MOST_COLUMNS = 1_000

Given = bytes | str | Mapping[str, Any] | IO[bytes]


@dataclass(frozen=True, slots=True)
class Source:
    """The form in which a host writes deals."""

    format: str
    root: str | None = None
    record: str | None = None
    delimiter: str = ","
    thousands: bool = False
    empty_is_absent: bool = False
    most_bytes: int = MOST_BYTES
    lists: frozenset[str] = frozenset()

    @property
    def has_many(self) -> bool:
        return self.format == "csv" or self.record is not None


def read_payloads(source: Source, given: Given) -> Iterator[Payload]:
    """Raises `UnreadableError` for what cannot be read, and `TypeError` for what is none of bytes, text, mapping or stream."""
    if isinstance(given, Mapping):
        if source.format not in ("json", "object"):
            raise TypeError(f"a mapping of {source.format} reads bytes, a text or a stream")
        yield of_objects(given, held=source.format == "object")
        return
    if source.format == "object":
        raise TypeError("this mapping reads the attributes of an object: give a mapping of names to values")
    stream = _stream(given)
    if source.format == "xml":
        yield from read_xml(stream, source.most_bytes, source.lists, source.root, source.record)
    elif source.format == "csv":
        yield from _read_csv(stream, source)
    else:
        yield _read_json(stream, source)


def _stream(given: bytes | str | IO[bytes]) -> IO[bytes]:
    if isinstance(given, str):
        try:
            return BytesIO(given.encode())
        except UnicodeEncodeError:
            raise UnreadableError("half of a surrogate pair", "Send whole characters.", "a text") from None
    return BytesIO(given) if isinstance(given, bytes | bytearray) else given


def _read_json(stream: IO[bytes], source: Source) -> Payload:
    data = stream.read(source.most_bytes + 1)
    if len(data) > source.most_bytes:
        raise UnreadableError(f"more than {source.most_bytes:,} bytes", "Send one deal.", "more")
    try:
        found = parse_json(_decoded(data, 1))
    except DealError as error:
        problem = error.problems[0]
        raise UnreadableError(problem.message, problem.remedy, problem.value, problem.field) from None
    if not isinstance(found, dict):
        raise UnreadableError("not a JSON object", "Send one JSON object.", f"a {type(found).__name__}")
    return of_objects(found)


def _decoded(data: bytes, line: int) -> str:
    """Raises `UnreadableError` naming the byte."""
    remedy = "Send UTF-8."
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UnreadableError("not UTF-8: it begins like UTF-16", remedy, "the text")
    try:
        text = data.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        got = f"byte {data[error.start]:#04x}"
        raise UnreadableError("not UTF-8", remedy, got, f"line {line}, byte {error.start + 1}") from None
    if "\0" in text:
        raise UnreadableError("a NUL character", remedy, "NUL", f"line {line}")
    return text


def _read_csv(stream: IO[bytes], source: Source) -> Iterator[Payload]:
    rows = csv.reader(_lines(stream, source.most_bytes), delimiter=source.delimiter, strict=True)
    header: list[str] = []
    for number in range(10**12):
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise UnreadableError(
                f"not CSV: {error}", "Close quotes and end rows.", "the row", f"line {rows.line_num}"
            ) from None
        if row is None:
            break
        if not number:
            header = _checked_header(row, source.delimiter)
        elif row:
            yield _row(header, row, number, rows.line_num)
    if not header:
        raise UnreadableError("an empty file", "Begin with a line of column names.", "nothing")


def _row(header: list[str], row: list[str], number: int, line: int) -> Payload:
    if len(row) != len(header):
        got = f"{len(row)} cells"
        raise UnreadableError(
            f"the header has {len(header)} columns", "Give each row as many cells.", got, f"line {line}"
        )
    payload = of_objects(dict(zip(header, row, strict=True)))
    payload.number, payload.place = number, f"line {line}"
    return payload


def _lines(stream: IO[bytes], most_bytes: int) -> Iterator[str]:
    for number, line in enumerate(iter(lambda: stream.readline(most_bytes + 1), b""), start=1):
        if len(line) > most_bytes:
            raise UnreadableError(
                f"a line of more than {most_bytes:,} bytes", "Give a deal a line.", "more", f"line {number}"
            )
        yield _decoded(line, number)


def _checked_header(names: list[str], delimiter: str) -> list[str]:
    names = [name.strip() for name in names]
    if len(names) > MOST_COLUMNS:
        raise UnreadableError(
            f"more than {MOST_COLUMNS:,} columns", "Leave out what is not read.", f"{len(names):,}", "line 1"
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UnreadableError("two columns have one name", "Rename one of the two.", repr(twice), "line 1")
    if not all(names):
        remedy = f"Name every column; the delimiter of this mapping is {delimiter!r}."
        raise UnreadableError("a column without a name", remedy, "''", "line 1")
    return names
