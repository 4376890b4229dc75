"""How the rows of a decision table changed: which row became which, and the table with one such change alone."""

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from functools import partial
from typing import NamedTuple

from dealgate.rules.policy import Limit, Row


class RowChange(NamedTuple):
    """A row before and after, each with its position in its own table; one of them is None for a row that came or went.

    `table` makes the first table with this change and no other.
    """

    before: Row | None
    after: Row | None
    position: int
    table: Callable[[], Limit]


class Reordered(NamedTuple):
    """The rows that both tables have, by their positions in the first, in the order of the second."""

    positions: tuple[int, ...]
    table: Callable[[], Limit]


Pairs = dict[int, int]
"""Positions in the first table, each with that in the second."""


def row_changes(first: Limit, second: Limit) -> Iterator[RowChange | Reordered]:
    """The changes from one table to another that is read by the same hit policy, from top to bottom."""
    pairs = _paired(first.rows, second.rows)
    for position, other in sorted(pairs.items()):
        before, after = first.rows[position], second.rows[other]
        if (before.when, before.limit) != (after.when, after.limit):
            yield RowChange(before, after, position, partial(_spliced, first, position, 1, (after,)))
    if (order := sorted(pairs, key=pairs.__getitem__)) != sorted(pairs):
        yield Reordered(tuple(order), partial(_in_order, first, order))
    for position, row in enumerate(first.rows):
        if position not in pairs:
            yield RowChange(row, None, position, partial(_spliced, first, position, 1, ()))
    partners = {other: position for position, other in pairs.items()}
    place = 0  # a new row stands behind the one that it stands behind in its own table
    for position, row in enumerate(second.rows):
        if position not in partners:
            yield RowChange(None, row, position, partial(_spliced, first, place, 0, (row,)))
        else:
            place = max(place, partners[position] + 1)


def _spliced(table: Limit, position: int, count: int, rows: tuple[Row, ...]) -> Limit:
    """The table with other rows in the place of so many."""
    return replace(table, rows=(*table.rows[:position], *rows, *table.rows[position + count :]))


def _in_order(table: Limit, order: Sequence[int]) -> Limit:
    """The rows that both tables have change places among themselves; the others stay where they are."""
    found = list(table.rows)
    for place, position in zip(sorted(order), order, strict=True):
        found[place] = table.rows[position]
    return replace(table, rows=tuple(found))


# Which row became which


def _paired(rows: Sequence[Row], others: Sequence[Row]) -> Pairs:
    """Rows with the same condition belong together wherever they stand, the rest where they stand between the same neighbours."""
    pairs: Pairs = {}
    _pair_alike(pairs, [(row.when, row.limit) for row in rows], [(row.when, row.limit) for row in others])
    _pair_alike(pairs, [row.when for row in rows], [row.when for row in others])
    matcher = SequenceMatcher(None, _names(rows, pairs, 0), _names(others, pairs, 1), autojunk=False)
    taken = set(pairs.values())
    for tag, start, end, other_start, other_end in matcher.get_opcodes():
        if tag == "replace":
            left = [position for position in range(start, end) if position not in pairs]
            right = [position for position in range(other_start, other_end) if position not in taken]
            pairs |= dict(zip(left, right, strict=False))
    return pairs


def _pair_alike(pairs: Pairs, keys: Sequence[Hashable], other_keys: Sequence[Hashable]) -> None:
    """Pair positions with equal keys that have no partner yet, in their order."""
    taken, waiting = set(pairs.values()), dict[Hashable, deque[int]]()
    for position, key in enumerate(other_keys):
        if position not in taken:
            waiting.setdefault(key, deque()).append(position)
    for position, key in enumerate(keys):
        if position not in pairs and waiting.get(key):
            pairs[position] = waiting[key].popleft()


def _names(rows: Sequence[Row], pairs: Pairs, side: int) -> list[int]:
    """A number for each row, the same in both tables for rows that belong together."""
    known = {pair[side]: pair[0] for pair in pairs.items()}
    return [known.get(position, -1 - side - 2 * position) for position in range(len(rows))]
