"""The tree against Certificate Transparency's known answers, against its definition, and against forged proofs."""

import re
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dealgate.models.merkle import (
    EMPTY_ROOT,
    Frontier,
    ProofError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from tests.models.trees import (
    Leaves,
    defined_consistency,
    defined_inclusion,
    defined_root,
    leaves_of,
    numbered,
)

MUTATIONS = 100_000

# The reference tree of Certificate Transparency's own tests: its entries, its roots at sizes 1 to 8 and its proofs.
ENTRIES = [
    bytes.fromhex(entry)
    for entry in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAF_1 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
LEAF_4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
PAIR_1 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
PAIR_2 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
PAIR_3 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
HALF_1 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
INCLUSIONS = [
    (0, 1, []),
    (0, 8, [LEAF_1, PAIR_1, HALF_1]),
    (5, 8, [LEAF_4, PAIR_3, ROOTS[3]]),
    (2, 3, [ROOTS[1]]),
    (1, 5, [ROOTS[0], PAIR_1, LEAF_4]),
]
CONSISTENCIES = [
    (1, 1, []),
    (1, 8, [LEAF_1, PAIR_1, HALF_1]),
    (6, 8, [PAIR_2, PAIR_3, ROOTS[3]]),
    (2, 5, [PAIR_1, LEAF_4]),
]


def grown(leaves: list[bytes]) -> Frontier:
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier


def test_the_roots_are_those_that_certificate_transparency_publishes() -> None:
    tree, frontier = leaves_of(ENTRIES), Frontier()
    assert frontier.root() == EMPTY_ROOT == tree_root(0, tree)
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for size, (entry, root) in enumerate(zip(ENTRIES, ROOTS, strict=True), 1):
        frontier.append(leaf_hash(entry))
        assert frontier.root().hex() == tree_root(size, tree).hex() == root


@pytest.mark.parametrize(("index", "size", "proof"), INCLUSIONS)
def test_the_inclusion_proofs_are_those_that_certificate_transparency_publishes(
    index: int, size: int, proof: list[str]
) -> None:
    found = inclusion_proof(index, size, leaves_of(ENTRIES))
    assert [part.hex() for part in found] == proof
    verify_inclusion(leaf_hash(ENTRIES[index]), index, size, found, bytes.fromhex(ROOTS[size - 1]))


@pytest.mark.parametrize(("old", "new", "proof"), CONSISTENCIES)
def test_the_consistency_proofs_are_those_that_certificate_transparency_publishes(
    old: int, new: int, proof: list[str]
) -> None:
    found = consistency_proof(old, new, leaves_of(ENTRIES))
    assert [part.hex() for part in found] == proof
    verify_consistency(old, bytes.fromhex(ROOTS[old - 1]), new, bytes.fromhex(ROOTS[new - 1]), found)


def test_roots_and_proofs_of_every_size_to_seventy_are_as_defined() -> None:
    entries = numbered(70)
    tree, frontier = leaves_of(entries), Frontier()
    roots = [defined_root(entries[:size]) for size in range(71)]
    for size in range(71):
        assert frontier.root() == tree_root(size, tree) == roots[size]
        assert Frontier.from_bytes(frontier.to_bytes()).root() == roots[size]
        for index in range(size):
            proof = inclusion_proof(index, size, tree)
            assert proof == defined_inclusion(index, entries[:size])
            verify_inclusion(leaf_hash(entries[index]), index, size, proof, roots[size])
        for old in range(size + 1):
            proof = consistency_proof(old, size, tree)
            assert proof == (defined_consistency(old, entries[:size]) if old else [])
            verify_consistency(old, roots[old], size, roots[size], proof)
        if size < 70:
            frontier.append(leaf_hash(entries[size]))


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(71, 3000))
def test_larger_trees_are_as_defined(data: st.DataObject, size: int) -> None:
    entries = numbered(size)
    tree = leaves_of(entries)
    root = defined_root(entries)
    assert grown(tree.levels[0]).root() == tree_root(size, tree) == root
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    proof = inclusion_proof(index, size, tree)
    assert proof == defined_inclusion(index, entries)
    verify_inclusion(leaf_hash(entries[index]), index, size, proof, root)
    proof = consistency_proof(old, size, tree)
    assert proof == defined_consistency(old, entries)
    verify_consistency(old, defined_root(entries[:old]), size, root, proof)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 500), st.integers(0, 500))
def test_a_tree_grows_on_from_its_frontier_alone(size: int, more: int) -> None:
    leaves = [leaf_hash(entry) for entry in numbered(size + more)]
    frontier = Frontier.from_bytes(grown(leaves[:size]).to_bytes())
    for leaf in leaves[size:]:
        frontier.append(leaf)
    assert frontier.to_bytes() == grown(leaves).to_bytes()


@pytest.mark.parametrize("length", [0, 7, 8, 39, 41, 71, 73])
def test_a_frontier_of_another_length_is_refused(length: int) -> None:
    data = grown([leaf_hash(entry) for entry in numbered(3)]).to_bytes()
    assert len(data) == 72
    with pytest.raises(ValueError, match=rf"the frontier of a tree of \d+ leaves has \d+ bytes, got {length}"):
        Frontier.from_bytes((data + b"x" * 8)[:length])


# Forgeries


def bit_flipped(data: bytes, random: Random) -> bytes:
    bit = random.randrange(len(data) * 8)
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


def mutated(proof: list[bytes], random: Random) -> list[bytes]:
    """A proof that differs in one place from a right one."""
    changed = list(proof)
    at = random.randrange(len(proof))
    other = random.randrange(len(proof))
    match random.randrange(6):
        case 0:
            changed[at] = bit_flipped(changed[at], random)
        case 1:
            del changed[at]
        case 2:
            changed.insert(at, random.choice((random.randbytes(32), changed[at], EMPTY_ROOT)))
        case 3:
            changed[at], changed[other] = changed[other], changed[at]
        case 4:
            changed[at] = changed[at][: random.randrange(32)]
        case 5:
            changed[at] = random.randbytes(32)
    return changed if changed != proof else mutated(proof, random) if len(proof) > 1 else [*proof, EMPTY_ROOT]


def accepts(verify: Callable[..., None], *claim: object) -> bool:
    try:
        verify(*claim)
    except ProofError:
        return False
    return True


def test_no_forged_inclusion_proof_is_accepted() -> None:
    """Roots and leaves are bound to their tree, so a mutation may also claim another index, leaf, root or tree."""
    random = Random(6962)
    entries = numbered(200)
    tree = leaves_of(entries)
    roots = {size: tree_root(size, tree) for size in range(2, 201)}
    accepted = 0
    for _ in range(MUTATIONS // 2):
        size = random.randrange(2, 201)
        index = random.randrange(size)
        leaf, root, proof = leaf_hash(entries[index]), roots[size], inclusion_proof(index, size, tree)
        match random.randrange(6):
            case 0:
                leaf = bit_flipped(leaf, random)
            case 1:
                root = bit_flipped(root, random)
            case 2:
                index = random.choice(
                    [other for other in (index - 1, index + 1, random.randrange(-1, 202)) if other != index]
                )
            case 3:
                size = random.choice([other for other in range(2, 201) if other != size])
                root = roots[size]
            case _:
                proof = mutated(proof, random)
        accepted += accepts(verify_inclusion, leaf, index, size, proof, root)
    assert accepted == 0


def test_no_forged_consistency_proof_is_accepted() -> None:
    random = Random(9162)
    tree = leaves_of(numbered(200))
    roots = {size: tree_root(size, tree) for size in range(201)}
    accepted = 0
    for _ in range(MUTATIONS // 2):
        new = random.randrange(2, 201)
        old = random.randrange(1, new)
        old_root, new_root, proof = roots[old], roots[new], consistency_proof(old, new, tree)
        match random.randrange(6):
            case 0:
                old_root = bit_flipped(old_root, random)
            case 1:
                new_root = bit_flipped(new_root, random)
            case 2:
                old = random.choice([other for other in range(201) if other != old])
                old_root = roots[old]
            case 3:
                new = random.choice([other for other in range(201) if other != new])
                new_root = roots[new]
            case _:
                proof = mutated(proof, random)
        accepted += accepts(verify_consistency, old, old_root, new, new_root, proof)
    assert accepted == 0


def test_an_entry_cannot_pass_as_an_inner_node() -> None:
    """Leaves and nodes are hashed apart: a tree of one entry never has the root of a tree of two."""
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)
    with pytest.raises(ProofError):
        verify_inclusion(leaf_hash(left + right), 0, 1, [], node_hash(left, right))


@pytest.mark.parametrize(("index", "size"), [(-1, 5), (5, 5), (0, 0), (9, 5)])
def test_an_index_outside_the_tree_is_refused(index: int, size: int) -> None:
    message = f"a tree of {size} entries has none at {index}"
    with pytest.raises(ProofError, match=message):
        inclusion_proof(index, size, leaves_of(ENTRIES))
    with pytest.raises(ProofError, match=message):
        verify_inclusion(EMPTY_ROOT, index, size, [], EMPTY_ROOT)


@pytest.mark.parametrize(("old", "new"), [(5, 4), (-1, 4)])
def test_a_tree_that_shrinks_is_refused(old: int, new: int) -> None:
    message = f"a tree cannot grow from {old} to {new} entries"
    with pytest.raises(ProofError, match=message):
        consistency_proof(old, new, leaves_of(ENTRIES))
    with pytest.raises(ProofError, match=message):
        verify_consistency(old, EMPTY_ROOT, new, EMPTY_ROOT, [])


def test_errors_name_what_was_expected_and_what_came() -> None:
    tree = leaves_of(ENTRIES)
    proof, root = inclusion_proof(5, 8, tree), bytes.fromhex(ROOTS[7])
    with pytest.raises(ProofError, match=rf"entry 5 of 8: the root: expected {ROOTS[7]}, got [0-9a-f]{{64}}"):
        verify_inclusion(leaf_hash(b"another"), 5, 8, proof, root)
    with pytest.raises(ProofError, match=re.escape("entry 5 of 8: expected 3 hashes of 32 bytes, got 2 (32, 32)")):
        verify_inclusion(leaf_hash(ENTRIES[5]), 5, 8, proof[:2], root)
    with pytest.raises(ProofError, match=f"from 6 to 8 entries: the root at 6: expected {ROOTS[4]}, got {ROOTS[5]}"):
        verify_consistency(6, bytes.fromhex(ROOTS[4]), 8, root, consistency_proof(6, 8, tree))
    with pytest.raises(ProofError, match=f"the root of an empty tree: expected {EMPTY_ROOT.hex()}, got {ROOTS[0]}"):
        verify_consistency(0, bytes.fromhex(ROOTS[0]), 8, root, [])


def test_proofs_ask_for_few_nodes() -> None:
    class Counted(Leaves):
        asked = 0

        def node(self, height: int, index: int) -> bytes:
            self.asked += 1
            return super().node(height, index)

    tree = Counted([leaf_hash(entry) for entry in numbered(10_000)])
    inclusion_proof(4_711, 10_000, tree)
    assert tree.asked <= 14 + 5
