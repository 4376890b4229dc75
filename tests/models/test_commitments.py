"""A personal value leaves its document for a commitment, and comes back from beside it until it is erased."""

import hashlib
import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dealgate.models.commitments import SALT_BYTES, PrivateValue, commit, commitment_at, disclose

NAMES = st.text(st.sampled_from("ab~/01é😀 "), max_size=4)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), st.text(st.characters(exclude_categories=["Cs"]))
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(LEAVES, st.fixed_dictionaries({"commit": st.text(max_size=3)})),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=4)


def pointers(document: Any, above: str = "") -> list[str]:
    """A pointer to every member of an object in a document, at any depth."""
    if not isinstance(document, dict | list):
        return []
    found = []
    for name, value in document.items() if isinstance(document, dict) else enumerate(document):
        pointer = f"{above}/{str(name).replace('~', '~0').replace('/', '~1')}"
        found += [pointer] if isinstance(document, dict) else []
        found += pointers(value, pointer)
    return found


@st.composite
def documents_with_paths(draw: st.DrawFn) -> tuple[dict[str, Any], list[str]]:
    """A document and pointers into it, none within what another points at."""
    document = draw(DOCUMENTS)
    chosen: list[str] = []
    for pointer in pointers(document):
        if draw(st.booleans()) and not any(pointer.startswith(f"{other}/") for other in chosen):
            chosen.append(pointer)
    return document, chosen


def salts(count: int, fill: int = 7) -> bytes:
    return bytes((fill + index) % 256 for index in range(count * SALT_BYTES))


@settings(suppress_health_check=[HealthCheck.too_slow])  # drawing shares the machine with whatever else is at work
@given(documents_with_paths())
def test_what_was_committed_is_disclosed_again(drawn: tuple[dict[str, Any], list[str]]) -> None:
    document, paths = drawn
    before = deepcopy(document)
    committed, values = commit(document, paths, salts(len(paths)))
    assert document == before
    assert disclose(committed, values, paths) == document
    assert [value.path for value in values] == paths
    for value in values:
        assert commitment_at(committed, value.path) == hashlib.sha256(value.salt + value.value).hexdigest()


@given(documents_with_paths(), st.data())
def test_what_was_erased_is_left_out_and_nothing_else(
    drawn: tuple[dict[str, Any], list[str]], data: st.DataObject
) -> None:
    document, paths = drawn
    committed, values = commit(document, paths, salts(len(paths)))
    as_committed = deepcopy(committed)
    kept = [value for value in values if data.draw(st.booleans())]
    erased = set(paths) - {value.path for value in kept}
    disclosed = disclose(committed, kept, paths)
    gone = {pointer for pointer in pointers(document) if any(f"{pointer}/".startswith(f"{path}/") for path in erased)}
    assert set(pointers(disclosed)) == set(pointers(document)) - gone
    assert committed == as_committed  # so its hash, and every proof that rests on it, stays


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/a~1b", {"a/b": 1, "a": {"b": 2}}),
        ("/a~0b", {"a~b": 1, "a": 2}),
        ("/~01", {"~1": 1, "/": 2}),
        ("/", {"": 1, "a": 2}),
        ("//a", {"": {"a": 1}, "a": 2}),
        ("/list/1/a", {"list": [{"a": 0}, {"a": 1}]}),
        ("/0", {"0": 1, "1": 2}),
        ("/a/0", {"a": {"0": 1}, "0": 2}),
    ],
)
def test_a_pointer_is_read_as_rfc_6901_says(path: str, document: dict[str, Any]) -> None:
    committed, (value,) = commit(document, [path], salts(1))
    assert value.value == b"1"
    assert commitment_at(committed, path) == value.commitment
    assert json.dumps(committed).count('"commit"') == 1
    assert b"1" not in [json.dumps(part).encode() for part in committed.values()]


def test_a_commitment_changes_with_the_salt_and_with_the_value() -> None:
    def commitment(value: object, salt: bytes) -> str | None:
        return commitment_at(commit({"score": value}, ["/score"], salt)[0], "/score")

    first = salts(1)
    found = {commitment(684, first), commitment(685, first), commitment("684", first), commitment(684, salts(1, 8))}
    flipped = {commitment(684, first[:at] + bytes([first[at] ^ 1]) + first[at + 1 :]) for at in range(SALT_BYTES)}
    assert len(found | flipped) == 4 + SALT_BYTES
    assert commitment(684, first) == commitment(684, bytes(first))


def test_each_value_has_a_salt_of_its_own() -> None:
    _, values = commit({"a": 1, "b": 1}, ["/a", "/b"], salts(2))
    assert len({value.salt for value in values}) == len({value.commitment for value in values}) == 2
    assert {len(value.salt) for value in values} == {SALT_BYTES}


@pytest.mark.parametrize("value", [{"commit": "x"}, {"commit": "0" * 64}, {"desk": {"commit": None}}])
def test_a_value_that_looks_like_a_commitment_is_none(value: dict[str, Any]) -> None:
    document = {"metadata": value, "other": 1}
    committed, values = commit(document, ["/metadata"], salts(1))
    assert committed["metadata"] == {"commit": values[0].commitment}
    assert disclose(committed, values, ["/metadata"]) == document
    assert disclose(committed, [], ["/metadata"]) == {"other": 1}


@pytest.mark.parametrize("path", ["/none", "/a/none", "/list/9", "/list/x", "/a/b/c", "/text/0"])
def test_where_nothing_was_committed_there_is_no_commitment(path: str) -> None:
    assert commitment_at({"a": {"b": 1}, "list": [1], "text": "x"}, path) is None


def test_a_private_value_commits_to_the_bytes_it_holds() -> None:
    value = PrivateValue("/a", b"\0" * SALT_BYTES, b"684")
    assert value.commitment == hashlib.sha256(b"\0" * SALT_BYTES + b"684").hexdigest()
