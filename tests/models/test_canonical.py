"""Canonical bytes: the same as the `rfc8785` package and as Node give, and a refusal that names its place."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from random import Random
from typing import Any
from uuid import UUID

import pytest
import rfc8785

from dealgate.models import canonical as module
from dealgate.models.canonical import GREATEST, CanonicalError, canonical
from tests.programs import program

ENVELOPES = 10_000

TRAPS = [
    "a", "aa", "A", "", "10", "9", "1", "é", "e\u0301", "\ue000", "\uffff", "\U0001f600", "\U00010000", "__proto__",
    "\x7f", "\u2028", "a/b", "~", '"', "\\", "\x00", "\n", "ﬀ", "ß",
]  # fmt: skip
"""Names whose order, or whose writing, differs between languages."""

CHARACTERS = [
    *map(chr, range(0x30)), *'"\\/<>&abcXYZ\x7f\x80\x9f\xa0é', "\u2028", "\u2029", "\ud7ff", "\ue000", "\ufeff", "\ufffd",
    "\uffff", "\U00010000", "\U0001f697", "\U0010ffff",
]  # fmt: skip

NODE = """
const write = v => v === null || typeof v !== 'object' ? JSON.stringify(v)
  : Array.isArray(v) ? '[' + v.map(write).join(',') + ']'
  : '{' + Object.keys(v).sort().map(k => JSON.stringify(k) + ':' + write(v[k])).join(',') + '}';
const lines = require('fs').readFileSync(0, 'utf8').split('\\n').filter(line => line);
process.stdout.write(lines.map(line => write(JSON.parse(line)) + '\\n').join(''));
"""


def text(random: Random) -> str:
    return "".join(random.choices(CHARACTERS, k=random.randrange(12)))


def number(random: Random) -> float:
    sign, exponent = random.choice((-1, 1)), random.randrange(-330, 309)
    return random.choice(
        (
            sign * float(f"{random.randrange(10**17)}e{exponent - 17}"),
            sign * random.random(),
            sign * float(random.randrange(2**63)),
            random.choice((0.0, -0.0, 1e21, 1e-6, 1e-7, 999999999999999900000.0, 5e-324, 1.7976931348623157e308)),
        )
    )


def value(random: Random, levels: int, scalars: list[Callable[[Random], Any]]) -> Any:
    kind = random.randrange(6) if levels else 9
    if kind == 0:
        return [value(random, levels - 1, scalars) for _ in range(random.randrange(4))]
    if kind == 1:
        return {name(random): value(random, levels - 1, scalars) for _ in range(random.randrange(5))}
    return random.choice(scalars)(random)


def name(random: Random) -> str:
    return random.choice(TRAPS) if random.randrange(3) else text(random)


PLAIN: list[Callable[[Random], Any]] = [
    text,
    lambda random: f"{random.randrange(10**7)}.{random.randrange(100):02d}",
    lambda random: random.choice((None, True, False, 0, -1, GREATEST, -GREATEST)),
    lambda random: random.randrange(-(10**9), 10**9),
]


def envelope(random: Random) -> dict[str, Any]:
    """What the ledger stores of a decision, in shape; `metadata` is the host's and may hold anything."""
    return {
        "v": 1,
        "kind": random.choice(("decision", "override", "notice")),
        "deal_id": text(random),
        "deal_seq": random.randrange(1, 50),
        "facts": {word: value(random, 2, PLAIN) for word in ("cash_down", "collateral", "applicant", "trade_ins")},
        "findings": [value(random, 3, PLAIN) for _ in range(random.randrange(6))],
        "metadata": {name(random): value(random, 3, [*PLAIN, number]) for _ in range(random.randrange(4))},
    }


@pytest.fixture(scope="module")
def envelopes() -> list[dict[str, Any]]:
    random = Random(8785)
    return [envelope(random) for _ in range(ENVELOPES)]


def test_ten_thousand_envelopes_have_the_bytes_that_rfc8785_gives(
    envelopes: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [rfc8785.dumps(document) for document in envelopes]
    exactly, slow = list[object](), module._exactly

    def counted(document: object) -> bytes:
        exactly.append(document)
        return slow(document)

    monkeypatch.setattr(module, "_exactly", counted)
    assert [canonical(document) for document in envelopes] == expected
    assert ENVELOPES / 10 < len(exactly) < ENVELOPES * 9 / 10, "both ways of writing must have been taken"


def test_ten_thousand_envelopes_have_the_bytes_that_node_gives(envelopes: list[dict[str, Any]]) -> None:
    node = program("node", "the canonical bytes are not held against JavaScript's")
    lines = "".join(json.dumps(document) + "\n" for document in envelopes)
    written = subprocess.run([node, "-e", NODE], input=lines.encode(), capture_output=True, check=True, timeout=120)
    assert written.stdout == b"".join(canonical(document) + b"\n" for document in envelopes)


def test_what_is_written_is_read_as_it_was(envelopes: list[dict[str, Any]]) -> None:
    whole_as_double = lambda digits: int(digits) if abs(int(digits)) <= GREATEST else float(digits)  # noqa: E731
    for document in envelopes[:1000]:
        assert json.loads(canonical(document), parse_int=whole_as_double) == document


class Word(StrEnum):
    PASS = "pass"


class Count(IntEnum):
    TWO = 2


class Plain(Enum):
    ONE = 1


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"b": (1, 2), "a": Word.PASS, "c": Count.TWO}, b'{"a":"pass","b":[1,2],"c":2}'),
        ({Word.PASS: True, "\U0001f600": Count.TWO, "\uffff": Word.PASS}, b'{"pass":true,"\xf0\x9f\x98\x80":2,"\xef\xbf\xbf":"pass"}'),
        ({}, b"{}"),
        ([], b"[]"),
        ("", b'""'),
        (0, b"0"),
        (None, b"null"),
        (-0.0, b"0"),
        ({"a": 1.0, "b": True}, b'{"a":1,"b":true}'),
    ],
)  # fmt: skip
def test_what_python_calls_differently_is_written_as_json_calls_it(document: object, expected: bytes) -> None:
    assert canonical(document) == expected


@pytest.mark.parametrize(
    ("document", "pointer", "message"),
    [
        ({"a": {"b/c~": [1, 2**53]}}, "/a/b~1c~0/1", "9007199254740992 is beyond ±(2^53 - 1); write it as text"),
        ({"a": -(2**53)}, "/a", "-9007199254740992"),
        ({"a": 10**5000}, "/a", "an integer of 16610 bits"),
        ({"a": float("nan")}, "/a", "nan is not a number that JSON has; leave it out"),
        ({"a": [0, float("-inf")]}, "/a/1", "-inf"),
        ({"a": Decimal("1.50")}, "/a", "Decimal('1.50') is of type Decimal, which JSON lacks; write it as text"),
        ({"a": b"x"}, "/a", "bytes"),
        ({"a": {1, 2}}, "/a", "set"),
        ({"a": UUID(int=1)}, "/a", "of type UUID"),
        ({"a": [date(2026, 11, 27)]}, "/a/0", "of type date"),
        ({"a": {"b": datetime(2026, 11, 27, tzinfo=UTC)}}, "/a/b", "of type datetime"),
        ({"a": Plain.ONE}, "/a", "of type Plain"),
        ({"a": Point(1)}, "/a", "of type Point"),
        ({"a": {1: "x"}}, "/a", "the name 1 is of type int; give every name as text"),
        ({"a": {True: "x"}}, "/a", "the name True"),
        ({"a": {None: "x", "b": 1.5}}, "/a", "the name None"),
        ({"a": ["\ud800"]}, "/a/0", r"'\ud800'; send whole characters"),
        ({"a": {"x\udfff": 1}}, "/a", r"'\udfff'"),
        (Decimal(1), "", "the document: Decimal('1')"),
    ],
)
def test_what_has_no_canonical_form_is_refused_with_its_place_value_and_remedy(
    document: object, pointer: str, message: str
) -> None:
    with pytest.raises(CanonicalError) as refused:
        canonical(document)
    assert refused.value.pointer == pointer
    assert message in str(refused.value)
    assert str(refused.value).startswith(pointer)


def test_a_document_of_many_levels_is_written_as_any_other() -> None:
    document: dict[str, Any] = {"b": 1, "a": "x"}
    for _ in range(300):
        document = {"b": [document], "a": None}
    assert canonical(document) == json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def test_a_document_that_holds_itself_is_refused() -> None:
    document: dict[str, object] = {}
    document["again"] = document
    with pytest.raises(CanonicalError, match="holds itself"):
        canonical(document)


def test_whole_pairs_of_surrogates_are_not_put_together() -> None:
    with pytest.raises(CanonicalError, match="half a character"):
        canonical({"a": "\ud83d\ude00"})
