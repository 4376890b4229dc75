"""Files as answers: sent while they are read, and gone from the disk by then."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fastapi.responses import StreamingResponse

BLOCK = 1 << 16


def sent_file(path: Path, name: str) -> StreamingResponse:
    """A ZIP under a name. It is open from here on, so that its folder can be removed."""
    size = path.stat().st_size
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(size)}
    return StreamingResponse(_blocks(path.open("rb")), headers=headers, media_type="application/zip")


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while block := file.read(BLOCK):
            yield block
