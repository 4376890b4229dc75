"""Watching a host's own tables: triggers note every change of what a guard reads, whoever makes it and by whatever way.

A note is written in the transaction of the change. The guard takes it away once it has decided; what is left was changed behind it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, cast

from sqlalchemy import Connection, Table, delete, insert, inspect, select
from sqlalchemy.exc import NoSuchTableError

from dealgate.migrations.watch_triggers import Triggers, Watched, create, drop, problems_of
from dealgate.models.watch_tables import WatchedTable

WATCHED = cast("Table", WatchedTable.__table__)

Names = str | Sequence[str]
Mode = Literal["record", "refuse"]


class Child(NamedTuple):
    """A table whose rows are part of the watched ones, and the columns of it that count.

    `owner` is its column that names the row it belongs to, `referred_by` the column there that names this one by its `key`: one of
    the two. `of` is the table it belongs to, where that is another child.
    """

    table: str
    columns: Names
    owner: Names = ()
    referred_by: Names = ()
    key: Names = "id"
    of: str = ""


def watch(
    connection: Connection,
    table: str,
    *,
    columns: Names,
    key: Names = "id",
    children: Sequence[Child] = (),
    mode: Mode = "record",
) -> None:
    """Put the triggers on a host's table and its children. For the host's own revision: `watch(op.get_bind(), ...)`.

    A table that is watched already is watched anew, as said now. With `refuse`, a transaction with a change that nobody has decided
    cannot commit. Raises `ValueError` for what is not there or does not fit.
    """
    parts = [Watched(table, _names(key), _names(columns))]
    for one in children:
        owner, referred_by = _names(one.owner), _names(one.referred_by)
        parts.append(Watched(one.table, _names(one.key), _names(one.columns), owner, referred_by, one.of or table))
    _check(connection, parts, mode)
    _check_names(connection, parts)
    unwatch(connection, table)
    definition = json.dumps({"mode": mode, "parts": parts})
    connection.execute(insert(WATCHED), {"table_name": table, "definition": definition})
    create(connection, parts, mode)


def unwatch(connection: Connection, table: str) -> None:
    """Take the triggers away again. What they noted stays until it is answered."""
    for parts, _ in _definitions(connection, table):
        drop(connection, parts)
    connection.execute(delete(WATCHED).where(WATCHED.c.table_name == table))


def unwatch_all(connection: Connection) -> None:
    for parts, _ in _definitions(connection):
        unwatch(connection, parts[0].table)


def watched_columns(connection: Connection, table: str) -> Mapping[str, set[str]]:
    """The columns that are watched for the rows of a table, by the table they stand in; empty where it is not watched."""
    return {part.table: set(part.compared(parts)) for parts, _ in _definitions(connection, table) for part in parts}


def problems(connection: Connection) -> list[str]:
    """Every trigger of a watched table that is missing or other than it should be; one sentence each."""
    return [problem for parts, mode in _definitions(connection) for problem in problems_of(connection, parts, mode)]


def _definitions(connection: Connection, table: str | None = None) -> list[tuple[list[Watched], str]]:
    statement = select(WATCHED.c.definition).order_by(WATCHED.c.table_name)
    if table is not None:
        statement = statement.where(WATCHED.c.table_name == table)
    documents = map(json.loads, connection.execute(statement).scalars().all())
    return [([Watched(*part) for part in document["parts"]], document["mode"]) for document in documents]


def _names(names: Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _check(connection: Connection, parts: Sequence[Watched], mode: str) -> None:
    if mode not in {"record", "refuse"}:
        raise ValueError(f"mode is {mode!r}: give 'record' or 'refuse'")
    by_table = {part.table: part for part in parts}
    if len(by_table) < len(parts):
        raise ValueError("a table is named twice: give each child once, with all its columns")
    for part in parts:
        _check_columns(connection, part.table, part.compared(parts))
    for child in parts[1:]:
        _check_place(child, by_table, parts[0].table)


def _check_names(connection: Connection, parts: Sequence[Watched]) -> None:
    """Of a_b under a, and b under a_a, one would take the place of the other's triggers."""
    taken = dict[str, str]()
    others = [one for one, _ in _definitions(connection) if one[0].table != parts[0].table]
    for one in (*others, parts):
        triggers = Triggers(connection, one, "record")
        for part in one:
            here, there = f"{part.table!r} under {triggers.top!r}", taken.get(triggers.name(part.table, ""))
            if there is not None:
                raise ValueError(f"the triggers on {here} would be named as those on {there}: rename one of the tables")
            taken[triggers.name(part.table, "")] = here


def _check_columns(connection: Connection, table: str, columns: Sequence[str]) -> None:
    schema, _, name = table.rpartition(".")
    try:
        there = {column["name"] for column in inspect(connection).get_columns(name, schema or None)}
    except NoSuchTableError:
        raise ValueError(
            f"there is no table {table!r}: watch it in the revision that makes it, or after that"
        ) from None
    for column in columns:
        if column not in there:
            raise ValueError(f"the table {table!r} has no column {column!r}; it has {', '.join(sorted(there))}")


def _check_place(child: Watched, by_table: Mapping[str, Watched], top: str) -> None:
    if bool(child.owner) == bool(child.referred_by):
        raise ValueError(f"child {child.table!r}: give either owner or referred_by")
    part, passed = child, {child.table}
    while part.table != top:
        if part.of not in by_table or part.of in passed - {top}:
            raise ValueError(
                f"child {child.table!r}: of={part.of!r} leads to no watched table; name {top!r} or another child"
            )
        parent = by_table[part.of]
        ends = (part.owner, parent.key) if part.owner else (part.referred_by, part.key)
        if len(ends[0]) != len(ends[1]):
            raise ValueError(f"child {part.table!r}: {ends[0]} and the key {ends[1]} differ in length")
        passed.add(part.of)
        part = parent
