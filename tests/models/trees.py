"""Trees in memory for tests, and the definition of RFC 6962 section 2.1 written down as it stands there."""

from collections.abc import Sequence
from hashlib import sha256

from dealgate.models.merkle import leaf_hash, node_hash


class Leaves:
    """All nodes of a tree in memory, for proofs; `leaves` are leaf hashes."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.levels = [list(leaves)]
        while len(below := self.levels[-1]) > 1:
            self.levels.append([node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])

    def node(self, height: int, index: int) -> bytes:
        return self.levels[height][index]


def numbered(count: int) -> list[bytes]:
    """Entries of which no two are alike."""
    return [f"entry {number}".encode() for number in range(count)]


def leaves_of(entries: Sequence[bytes]) -> Leaves:
    return Leaves([leaf_hash(entry) for entry in entries])


def split(size: int) -> int:
    power = 1
    while power * 2 < size:
        power *= 2
    return power


def defined_root(entries: Sequence[bytes]) -> bytes:
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    middle = split(len(entries))
    return sha256(b"\x01" + defined_root(entries[:middle]) + defined_root(entries[middle:])).digest()


def defined_inclusion(index: int, entries: Sequence[bytes]) -> list[bytes]:
    if len(entries) == 1:
        return []
    middle = split(len(entries))
    if index < middle:
        return [*defined_inclusion(index, entries[:middle]), defined_root(entries[middle:])]
    return [*defined_inclusion(index - middle, entries[middle:]), defined_root(entries[:middle])]


def defined_consistency(old: int, entries: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    if old == len(entries):
        return [] if whole else [defined_root(entries)]
    middle = split(len(entries))
    if old <= middle:
        return [*defined_consistency(old, entries[:middle], whole=whole), defined_root(entries[middle:])]
    return [*defined_consistency(old - middle, entries[middle:], whole=False), defined_root(entries[:middle])]
