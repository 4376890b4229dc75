"""Rates by comparison group. The groups come in a file supplied apart and are joined here, in memory: the database never sees them.

Nothing of them is stored or logged. A count so small that it might tell of a person is suppressed, and with it as many others as it
takes that it cannot be computed from the totals.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, case, select

from dealgate.adapters.compliance.asking import Asked, ReportError
from dealgate.adapters.compliance.intervals import newcombe, wilson
from dealgate.adapters.compliance.known import (
    DECIDED,
    against_policy,
    has_override,
    in_period,
    is_approved,
    is_latest,
)
from dealgate.adapters.compliance.reporting import Column, Share
from dealgate.models.recording import DECISION

LEAST = 11
"""A count from 1 up to one less than this is suppressed: the rule of the US Centers for Medicare & Medicaid Services for small cells."""

LONGEST = 200
AT_ONCE = 5_000

RATES: Mapping[str, str] = {
    "overrides": "deals with an override granted, on either side, among all deals",
    "exceptions": "deals let through against the policy, by an override or by an approval without one, among those outside policy",
    "declines": "deals declined and not let through, or turned down by an override, among all deals",
}


class Group(NamedTuple):
    """A group and its counts: `part` of `whole`. `name` is None for the deals that the file does not name."""

    name: str | None
    deals: int
    part: int
    whole: int


class GroupRate(NamedTuple):
    """What is told of a group; all of it None where it is suppressed. The difference is this group's share less the reference's."""

    group: str | None
    suppressed: bool
    deals: int | None = None
    part: int | None = None
    whole: int | None = None
    rate: Share | None = None
    low: Decimal | None = None
    high: Decimal | None = None
    difference: Decimal | None = None
    difference_low: Decimal | None = None
    difference_high: Decimal | None = None


class GroupRates(NamedTuple):
    """`unmatched` are deals of the file that have no last decision in the period. None where suppressed."""

    rate: str
    reference: str | None
    rows: list[GroupRate]
    deals: int | None
    unmatched: int | None


COLUMNS = (
    Column("group", "text", "the group, as the file has it; unknown for the deals that it does not name"),
    Column("deals", "count", "deals whose last known decision falls into the period"),
    Column("part", "count", "of them, those that the rate counts"),
    Column("whole", "count", "and those among which it counts them"),
    Column("rate", "percent", "the one among the other"),
    Column("low", "percent", "the lower end of its 95 % interval (Wilson)"),
    Column("high", "percent", "the upper end"),
    Column("difference", "points", "from the rate of the reference group, in points of percent"),
    Column("difference_low", "points", "the lower end of its 95 % interval (Newcombe)"),
    Column("difference_high", "points", "the upper end"),
    Column("suppressed", "truth", "whether the row is suppressed: it, or what could be computed from it, is too small"),
)


def read_groups(lines: Iterable[str], name: str) -> dict[str, str]:
    """The group of each deal, from CSV with the header `deal_id,group`. Raises `ReportError` with the line."""
    rows = csv.reader(lines, strict=True)
    found: dict[str, str] = {}
    try:
        header = next(rows, None)
        if header != ["deal_id", "group"]:
            raise ReportError(f"{name}: line 1: the header is another one: write deal_id,group")
        for row in rows:
            where = f"{name}: line {rows.line_num}"
            if len(row) != 2:
                raise ReportError(f"{where}: {len(row)} fields: give deal_id,group")
            deal, group = (cell.strip() for cell in row)
            if not deal or not group or max(len(deal), len(group)) > LONGEST:
                raise ReportError(f"{where}: give a deal_id and a group, each of 1 to {LONGEST} characters")
            if deal in found:
                raise ReportError(f"{where}: the deal {deal!r} stands in the file twice: keep one line for it")
            found[deal] = group
    except csv.Error as error:
        raise ReportError(f"{name}: line {rows.line_num}: not CSV: {error}") from None
    return found


def group_rates(
    connection: Connection,
    asked: Asked,
    groups: Mapping[str, str],
    rate: str,
    *,
    reference: str | None = None,
    least: int = LEAST,
) -> GroupRates:
    """A rate of `RATES` by group, held against a reference group: without one, that with the most deals. Raises `ReportError`."""
    if rate not in RATES:
        raise ReportError(f"no rate is called {rate!r}: use {', '.join(RATES)}")
    if least < 1:
        raise ReportError(f"--least {least}: give 1 or more; 1 suppresses nothing")
    if reference is not None and reference not in groups.values():
        raise ReportError(f"--reference {reference!r}: the file has no such group")
    counted, matched = _count(connection, asked, groups, rate)
    suppressed = suppress(counted, least)
    shown = {one.name for one in counted} - {one.name for one in suppressed}
    chosen = reference or _largest(counted, shown)
    against = next((one for one in counted if one.name == chosen and one.name in shown and one.whole), None)
    rows = [_row(one, against) if one.name in shown else GroupRate(one.name, suppressed=True) for one in counted]
    return GroupRates(rate, chosen, rows, *totals(counted, suppressed, len(groups) - matched, least))


def _deals_statement(asked: Asked) -> Select[Any]:
    return (
        select(
            DECISION.c.deal_id,
            DECISION.c.outcome,
            against_policy().label("against"),
            case((against_policy(), has_override("low", asked.as_of)), else_=False).label("low"),
            case((~against_policy(), has_override("high", asked.as_of)), else_=False).label("high"),
            case((against_policy(), is_approved(asked.as_of)), else_=False).label("approved"),
        )
        .select_from(DECIDED)
        .where(in_period(DECISION.c.decided_at, asked), is_latest(asked.as_of))
    )


def _count(connection: Connection, asked: Asked, groups: Mapping[str, str], rate: str) -> tuple[list[Group], int]:
    """Every deal of the period is read, not those of the file: the file's go nowhere."""
    deals, parts, wholes = Counter[str | None](), Counter[str | None](), Counter[str | None]()
    for row in connection.execute(_deals_statement(asked).execution_options(yield_per=AT_ONCE)):
        group = groups.get(row.deal_id)
        in_part, in_whole = _counts(row, rate)
        deals[group] += 1
        parts[group] += in_part
        wholes[group] += in_whole
    names = [*sorted({*groups.values()}), None]
    counted = [Group(name, deals[name], parts[name], wholes[name]) for name in names]
    return counted, sum(number for name, number in deals.items() if name is not None)


def _counts(row: Any, rate: str) -> tuple[bool, bool]:
    """Whether a deal is in the part, and in the whole."""
    let_through = bool(row.against and (row.low or row.approved))
    if rate == "overrides":
        return bool(row.low or row.high), True
    if rate == "exceptions":
        return let_through, bool(row.against)
    return bool(row.high or (row.outcome == "decline" and not let_through)), True


def suppress(groups: Sequence[Group], least: int) -> list[Group]:
    """The groups that are suppressed: those with a small count, and the next smallest until what the suppressed ones have together is
    small in nothing and of more than one group.

    The totals can be known, so the counts of the suppressed together can be computed; no one of them can.
    """
    suppressed = [one for one in groups if _is_telling(one, least)]
    others = sorted(
        (one for one in groups if one not in suppressed and one.deals), key=lambda one: (one.deals, str(one.name))
    )
    while suppressed and others and (len(suppressed) == 1 or _is_telling(_together(suppressed), least)):
        suppressed.append(others.pop(0))
    return suppressed


def totals(
    groups: Sequence[Group], suppressed: Sequence[Group], unmatched: int, least: int
) -> tuple[int | None, int | None]:
    """All deals, and the unmatched ones of the file, as far as they may be told.

    The file less what is unmatched are the deals with a group, and all deals less these are those without: while these are suppressed,
    neither is told.
    """
    if any(one.name is None for one in suppressed):
        return None, None
    return sum(one.deals for one in groups), None if _is_small(unmatched, least) else unmatched


def _together(groups: Sequence[Group]) -> Group:
    return Group(None, *(sum(getattr(one, name) for one in groups) for name in ("deals", "part", "whole")))


def _is_telling(one: Group, least: int) -> bool:
    """Whether a count is small, or what is left beside it."""
    numbers = (one.deals, one.whole, one.deals - one.whole, one.part, one.whole - one.part)
    return any(_is_small(number, least) for number in numbers)


def _is_small(number: int, least: int) -> bool:
    return 0 < number < least


def _largest(groups: Sequence[Group], shown: set[str | None]) -> str | None:
    named = [one for one in groups if one.name is not None and one.name in shown and one.whole]
    return max(named, key=lambda one: (one.deals, one.name)).name if named else None


def _row(one: Group, reference: Group | None) -> GroupRate:
    if not one.whole:
        return GroupRate(one.name, False, one.deals, one.part, one.whole, Share(one.part, one.whole))
    interval = wilson(one.part, one.whole)
    told = GroupRate(
        one.name, False, one.deals, one.part, one.whole, Share(one.part, one.whole), interval.low, interval.high
    )
    if reference is None or reference.name == one.name:
        return told
    difference = Decimal(one.part) / one.whole - Decimal(reference.part) / reference.whole
    ends = newcombe(one.part, one.whole, reference.part, reference.whole)
    return told._replace(difference=difference, difference_low=ends.low, difference_high=ends.high)


def rows_of(rates: GroupRates) -> Iterator[dict[str, Any]]:
    for row in rates.rows:
        yield {column.name: getattr(row, column.name) for column in COLUMNS}
