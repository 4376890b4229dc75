"""Files as answers: sent while they are read, and gone from the disk by then."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from fastapi.responses import StreamingResponse

from dealgate.adapters.service.problems import unavailable

log = logging.getLogger("dealgate.service")

BLOCK = 1 << 16


@contextmanager
def folder_for_files() -> Iterator[Path]:
    """A folder for as long as a file is made. Raises `ProblemError` where there is none, or no room in it."""
    try:
        with TemporaryDirectory(prefix="dealgate-") as folder:
            yield Path(folder)
    except OSError as error:
        log.error("a file cannot be made: %s", error.strerror)
        detail = "The service has no room for a file: it needs a temporary folder that it can write, with space in it."
        raise unavailable(detail) from None


def sent_file(path: Path, name: str) -> StreamingResponse:
    """A ZIP under a name. It is open from here on, so that its folder can be removed."""
    size = path.stat().st_size
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(size)}
    return StreamingResponse(_blocks(path.open("rb")), headers=headers, media_type="application/zip")


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while block := file.read(BLOCK):
            yield block
