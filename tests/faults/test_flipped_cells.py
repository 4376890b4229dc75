"""T1a: a bit is flipped in every byte of sampled cells of every table, and the verification tells of each."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from dealgate.migrations.roles import WORKED
from dealgate.models import Base, tree
from dealgate.models.verification import Flaw
from tests.databases import TABLES
from tests.faults.efforts import efforts
from tests.faults.eventful import Eventful, eventful
from tests.faults.insiders import flaws, insider, tried

RECORD = tuple(table for table in TABLES if table not in WORKED)
"""The tables but for those in which what is left to decide about a host's rows comes and goes."""

FREE = {
    "dealgate_ledger_checkpoint": {"sealed_at"},  # a note bears no time
    "dealgate_ledger_anchor": {"id", "sink", "anchored_at"},  # where to look; the anchor itself is the proof
    "dealgate_shadow_decision": set(
        Base.metadata.tables["dealgate_shadow_decision"].columns.keys()
    ),  # no part of the record
}
"""What may be altered unseen, because nothing rests on it."""

FREE_OF_PURGED = {
    "dealgate_deal": {"outcome"},
    "dealgate_ledger_entry": {
        *("entry_id", "actor", "idempotency_key", "recorded_at", "effective_at", "policy_sha256")
    },  # the id of a decision stands on the deal, too
    "dealgate_notice": {"kind", "channel", "decision_id", "reasons"},
    "dealgate_legal_hold": {"placed"},
    "dealgate_ledger_erasure": {"erased", "path"},  # which value of the deal it was
}
"""The same of deals whose envelopes a purge took out: nothing is left that would tell."""

TAKEN_OUT = "(SELECT erased FROM dealgate_ledger_erasure WHERE path = '')"
PURGED = {
    "dealgate_deal": f"decision_id IN (SELECT entry_id FROM dealgate_ledger_entry WHERE id IN {TAKEN_OUT})",
    "dealgate_ledger_entry": f"id IN {TAKEN_OUT}",
    "dealgate_notice": f"entry IN {TAKEN_OUT}",
    "dealgate_legal_hold": f"entry IN {TAKEN_OUT}",
    "dealgate_ledger_erasure": f"entry IN {TAKEN_OUT}",
}
LONG = 600
"""Bytes of a cell that are all flipped."""


def free_of(table: str, *, purged: bool) -> set[str]:
    return FREE.get(table, set()) | (FREE_OF_PURGED.get(table, set()) if purged else set())


class Cell(NamedTuple):
    table: str
    row: object
    column: str
    value: Any


class Effort(NamedTuple):
    rows: int
    """Of each table."""

    flips: int | None
    """At the most; None is every byte."""


def cells(connection: Connection, rows: int, chance: Random, *, whole: bool = True) -> Iterator[Cell]:
    """Of a `whole` ledger no table is empty."""
    place = "rowid" if connection.dialect.name == "sqlite" else "ctid::text"
    for table in RECORD:
        columns = Base.metadata.tables[table].columns.keys()
        purged = PURGED.get(table, "false")
        shown = ", ".join(map(_read(connection), columns))
        found = connection.exec_driver_sql(f"SELECT {place}, {purged}, {shown} FROM {table}").all()
        assert found or not whole, f"{table} is empty: nothing of it is tried"
        for where, gone, *values in chance.sample(found, min(rows, len(found))):
            free = free_of(table, purged=gone)
            for column, value in zip(columns, values, strict=True):
                if value is not None and column not in free:
                    yield Cell(table, where, column, value)


def _read(connection: Connection) -> Callable[[str], str]:
    """SQLite's text as the bytes it is."""
    if connection.dialect.name != "sqlite":
        return str
    return lambda column: f"CASE typeof({column}) WHEN 'text' THEN 'text:' || {column} ELSE {column} END"


def flips(cell: Cell, chance: Random, *, sqlite: bool) -> Iterator[tuple[str, object]]:
    """The expression that sets the cell, and its parameter, for each byte of the value."""
    value = cell.value
    match value:
        case bytes():
            yield from (("?", flipped) for flipped in _flipped(value, chance, 8))
        case str() if sqlite:
            text = value.removeprefix("text:").encode()
            yield from (("CAST(? AS TEXT)", flipped) for flipped in _flipped(text, chance, 8))
        case str():
            ascii_only = value.encode("ascii", "replace")
            yield from (("?", each.decode()) for each in _flipped(ascii_only, chance, 5) if b"\0" not in each)
        case bool():
            yield "?", not value
        case int():
            widths = 8 if sqlite else 4
            yield from (("?", value ^ 1 << 8 * byte + chance.randrange(7)) for byte in range(widths))
        case datetime():
            yield from (("?", value + timedelta(**{unit: 1})) for unit in ("microseconds", "seconds", "days"))
        case date():
            yield "?", value + timedelta(days=1)


def _flipped(value: bytes, chance: Random, bits: int) -> Iterator[bytes]:
    """Of a long document every so-manieth byte, from a random one on."""
    step = 1 + len(value) // LONG
    for place in range(chance.randrange(step), len(value), step):
        changed = bytearray(value)
        changed[place] ^= 1 << chance.randrange(bits)
        yield bytes(changed)


def flip(connection: Connection, cell: Cell, expression: str, parameter: object) -> bool:
    """Whether the database let it happen: keys stay unique even for an insider."""
    sqlite = connection.dialect.name == "sqlite"
    place = "rowid" if sqlite else "ctid"
    statement = f"UPDATE {cell.table} SET {cell.column} = {expression} WHERE {place} = ?"
    if not sqlite:
        statement = statement.replace("?", "%s").replace("ctid = %s", "ctid = %s::tid")
    try:
        with connection.begin_nested():
            return connection.exec_driver_sql(statement, (parameter, cell.row)).rowcount == 1
    except DBAPIError:
        return False


def unseen_by(connection: Connection, ledger: Eventful, cell: Cell) -> bool:
    """An envelope is looked at by a quicker level, too, unless it still waits to be sealed."""
    levels = ("bodies", "full") if cell.column == "envelope" else ("full",)
    return not any(found(connection, ledger, level) for level in levels)


def found(connection: Connection, ledger: Eventful, level: str = "full") -> list[Flaw]:
    return flaws(connection, ledger.signer.key, anchored=ledger.notes, anchors=[ledger.anchor], level=level)


@efforts(Effort(rows=2, flips=50), Effort(rows=1, flips=None))
def test_every_flipped_byte_of_a_cell_is_told(
    database: Engine,
    database_url: str,
    tmp_path: Path,
    effort: Effort,
    chance: Random,
    figures: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tree, "HEIGHT", 1)  # tiles of two hashes, so that a small ledger has some
    monkeypatch.setattr(tree, "WIDTH", 2)
    ledger = eventful(database, tmp_path)
    counts, unseen = Counter[str](), []
    with insider(database_url) as connection:
        assert found(connection, ledger) == []
        for cell, (expression, parameter) in planned(connection, effort, chance):
            with tried(connection):
                if not flip(connection, cell, expression, parameter):
                    counts["refused"] += 1
                    continue
                counts["flips"] += 1
                if unseen_by(connection, ledger, cell):
                    unseen.append((cell.table, cell.column, cell.value, parameter))
    assert unseen == []
    assert counts["flips"] > len(RECORD)
    figures(f"{counts['flips']} flips, 0 unseen; {counts['refused']} refused by the database itself")


def planned(
    connection: Connection, effort: Effort, chance: Random, *, whole: bool = True
) -> list[tuple[Cell, tuple[str, object]]]:
    """Every flip; or so many, each column in turn, for most bytes are those of a few long documents."""
    sqlite = connection.dialect.name == "sqlite"
    by_column = defaultdict[tuple[str, str], list[tuple[Cell, tuple[str, object]]]](list)
    for cell in cells(connection, effort.rows, chance, whole=whole):
        for change in flips(cell, chance, sqlite=sqlite):  # none of an empty text
            by_column[cell.table, cell.column].append((cell, change))
    if effort.flips is None:
        return list(chain.from_iterable(by_column.values()))
    return [chance.choice(by_column[column]) for column in chance.sample(sorted(by_column), effort.flips)]
