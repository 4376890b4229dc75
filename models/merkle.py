"""The tree of RFC 6962 (and 9162) over the entries of the ledger: its roots, and proofs that need a few hashes of it.

Hashes are 32 bytes of SHA-256. A proof says nothing about sizes by itself: take size and root from one signed checkpoint.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Protocol

EMPTY_ROOT = sha256().digest()
HASH_BYTES = 32


class ProofError(ValueError):
    """A proof that does not lead where it should; the message gives what was expected and what came."""


class Nodes(Protocol):
    """Where the hashes of the tree are read."""

    def node(self, height: int, index: int, /) -> bytes:
        """The hash of the perfect subtree over the 2**height leaves from `index * 2**height` on."""


def leaf_hash(data: bytes) -> bytes:
    return sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


class Frontier:
    """What a tree must remember to grow: its size and the roots of its perfect subtrees, the largest first."""

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.hashes = list(hashes)

    def append(self, leaf: bytes) -> None:
        """Take one more leaf hash."""
        self.append_subtree(0, leaf)

    def append_subtree(self, height: int, root: bytes) -> None:
        """Take 2**height leaves at once, by the root over them; the size so far is a multiple of that."""
        count = self.size >> height
        while count & 1:
            root = sha256(b"\1" + self.hashes.pop() + root).digest()
            count >>= 1
        self.hashes.append(root)
        self.size += 1 << height

    def root(self) -> bytes:
        return _folded(self.hashes)

    def to_bytes(self) -> bytes:
        """The size in 8 bytes, big-endian, and the hashes."""
        return self.size.to_bytes(8) + b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Frontier":
        """Read what `to_bytes` wrote. Raises `ValueError`."""
        size = int.from_bytes(data[:8])
        expected = 8 + HASH_BYTES * size.bit_count()
        if len(data) != expected:
            raise ValueError(f"the frontier of a tree of {size} leaves has {expected} bytes, got {len(data)}")
        return cls(size, (data[at : at + HASH_BYTES] for at in range(8, expected, HASH_BYTES)))


def tree_root(size: int, nodes: Nodes) -> bytes:
    """The root over the first `size` leaves."""
    return _subtree(0, size, nodes)


def inclusion_proof(index: int, size: int, nodes: Nodes) -> list[bytes]:
    """The hashes that lead from the leaf at `index` to the root over `size` leaves, the leaf's sibling first."""
    _check_index(index, size)
    return [_subtree(start, end, nodes) for start, end in reversed(_siblings_of_leaf(index, size))]


def consistency_proof(old: int, new: int, nodes: Nodes) -> list[bytes]:
    """The hashes that show the tree of `new` leaves to begin with the one of `old` leaves; none where either is trivial."""
    _check_sizes(old, new)
    if old in {0, new}:
        return []
    siblings, start = _siblings_of_tree(old, new)
    parts = siblings if start == 0 else [*siblings, (start, old)]
    return [_subtree(first, end, nodes) for first, end in reversed(parts)]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Hold a leaf hash against the root over `size` leaves. Raises `ProofError`."""
    _check_index(index, size)
    siblings = _siblings_of_leaf(index, size)
    _check_hashes(proof, len(siblings), f"entry {index} of {size}")
    found = leaf
    for (start, _), sibling in zip(reversed(siblings), proof, strict=True):
        found = node_hash(sibling, found) if start < index else node_hash(found, sibling)
    _compare(f"entry {index} of {size}: the root", root, found)


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Hold the tree of `old` leaves against the one it should have grown into. Raises `ProofError`."""
    _check_sizes(old, new)
    if old == 0:
        _check_hashes(proof, 0, "from an empty tree")
        return _compare("the root of an empty tree", EMPTY_ROOT, old_root)
    siblings, start = _siblings_of_tree(old, new)
    _check_hashes(proof, len(siblings) + (start > 0), f"from {old} to {new} entries")
    hashes = iter(proof)
    then = now = next(hashes) if start else old_root
    for (first, _), sibling in zip(reversed(siblings), hashes, strict=True):
        now = node_hash(sibling, now) if first < old else node_hash(now, sibling)
        then = node_hash(sibling, then) if first < old else then
    _compare(f"from {old} to {new} entries: the root at {old}", old_root, then)
    return _compare(f"from {old} to {new} entries: the root at {new}", new_root, now)


def _subtree(start: int, end: int, nodes: Nodes) -> bytes:
    """The hash over the leaves from `start` to `end`, of its perfect subtrees; `start` is as the tree's own splits give it."""
    parts = list[bytes]()
    while start < end:
        height = (end - start).bit_length() - 1
        parts.append(nodes.node(height, start >> height))
        start += 1 << height
    return _folded(parts)


def _folded(parts: Sequence[bytes]) -> bytes:
    """The root over perfect subtrees that stand from the largest to the smallest."""
    if not parts:
        return EMPTY_ROOT
    root = parts[-1]
    for part in reversed(parts[:-1]):
        root = node_hash(part, root)
    return root


def _middle(start: int, end: int) -> int:
    """Where a tree splits: after the greatest power of two below its size."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def _siblings_of_leaf(index: int, size: int) -> list[tuple[int, int]]:
    """The subtrees beside the way from the root down to a leaf, each by its first leaf and its end."""
    siblings = list[tuple[int, int]]()
    start, end = 0, size
    while end - start > 1:
        middle = _middle(start, end)
        siblings.append((middle, end) if index < middle else (start, middle))
        start, end = (start, middle) if index < middle else (middle, end)
    return siblings


def _siblings_of_tree(old: int, new: int) -> tuple[list[tuple[int, int]], int]:
    """The same down to the last subtree that both trees have whole, and its first leaf: 0 where it is the old tree itself."""
    siblings = list[tuple[int, int]]()
    start, end = 0, new
    while end != old:
        middle = _middle(start, end)
        siblings.append((middle, end) if old <= middle else (start, middle))
        start, end = (start, middle) if old <= middle else (middle, end)
    return siblings, start


def _check_index(index: int, size: int) -> None:
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} entries has none at {index}: expected an index from 0 to {size - 1}")


def _check_sizes(old: int, new: int) -> None:
    if not 0 <= old <= new:
        raise ProofError(f"a tree cannot grow from {old} to {new} entries: expected 0 <= old <= new")


def _check_hashes(proof: Sequence[bytes], count: int, what: str) -> None:
    if len(proof) != count or any(len(part) != HASH_BYTES for part in proof):
        lengths = ", ".join(str(len(part)) for part in proof)
        raise ProofError(f"{what}: expected {count} hashes of {HASH_BYTES} bytes, got {len(proof)} ({lengths})")


def _compare(what: str, expected: bytes, got: bytes) -> None:
    if expected != got:
        raise ProofError(f"{what}: expected {expected.hex()}, got {got.hex()}")
