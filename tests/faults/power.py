"""A disk whose power can fail: what SQLite writes is noted, and any moment of it can be put on a real disk afterwards.

What was not synced when the power failed is lost, kept in part, or torn at a sector. apsw gives the hooks (its licence: any that
the Open Source Initiative approves).
"""

from collections import defaultdict
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import apsw

SECTOR = 512
NAME = "power"


class Loss(Enum):
    """What becomes of the writes that were not synced."""

    DROPPED = "all dropped"
    SUBSET = "any of them kept"
    TORN = "any sectors of them kept"


class Operation(NamedTuple):
    """`kind` is write, truncate, sync or delete; or commit, once SQLite said so."""

    kind: str
    file: str
    offset: int = 0
    data: bytes = b""


class Recorder(apsw.VFS):
    """SQLite's own file system, with a note of every operation."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        super().__init__(NAME, "")

    def xOpen(self, name: Any, flags: list[int]) -> "RecordedFile":  # noqa: N802  as SQLite names it
        return RecordedFile(name, flags, self.operations)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.operations.append(Operation("delete", Path(filename).name))
        super().xDelete(filename, syncdir)


class RecordedFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], operations: list[Operation]) -> None:
        self.name = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or "temporary").name
        self.operations = operations
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self.operations.append(Operation("write", self.name, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self.operations.append(Operation("truncate", self.name, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self.operations.append(Operation("sync", self.name))
        super().xSync(flags)


class Statement(NamedTuple):
    text: str
    parameters: Sequence[Any] = ()


def record(path: Path, statements: Sequence[Statement]) -> list[Operation]:
    """Run statements on a database file; every operation on the disk, and each commit where SQLite had returned from it."""
    recorder = Recorder()
    connection = apsw.Connection(str(path), vfs=NAME)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # hooks have no shared memory
    for statement in statements:
        connection.execute(*statement).fetchall()
        if statement.text == "COMMIT":
            recorder.operations.append(Operation("commit", ""))
    operations = list(recorder.operations)
    connection.close()
    recorder.unregister()
    return operations


def fail(before: bytes, operations: Sequence[Operation], loss: Loss, chance: Random, folder: Path, name: str) -> None:
    """Write to a folder what is on the disk where the power fails after these operations on a file of a name."""
    kept: defaultdict[str, bytearray] = defaultdict(bytearray, {name: bytearray(before)})
    unsynced: defaultdict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        if operation.kind in {"write", "truncate"}:
            unsynced[operation.file].append(operation)
        elif operation.kind == "sync":
            for one in unsynced.pop(operation.file, ()):
                _apply(kept[operation.file], one)
        elif operation.kind == "delete":
            kept.pop(operation.file, None)
    for file, waiting in unsynced.items():
        for one in waiting:
            for part in _survivors(one, loss, chance):
                _apply(kept[file], part)
    folder.mkdir()
    for file, data in kept.items():
        (folder / file).write_bytes(data)


def _survivors(operation: Operation, loss: Loss, chance: Random) -> list[Operation]:
    if loss is Loss.DROPPED or chance.random() < 0.5:
        return []
    if loss is Loss.SUBSET or operation.kind == "truncate":
        return [operation]
    starts = range(0, len(operation.data), SECTOR)
    sectors = [(start, operation.data[start : start + SECTOR]) for start in starts]
    return [
        operation._replace(offset=operation.offset + start, data=data)
        for start, data in sectors
        if chance.random() < 0.5
    ]


def _apply(file: bytearray, operation: Operation) -> None:
    if operation.kind == "truncate":
        del file[operation.offset :]
        return
    end = operation.offset + len(operation.data)
    file.extend(bytes(max(0, end - len(file))))
    file[operation.offset : end] = operation.data
