"""A few thousand real submissions to make a long history of: deals of a synthetic book, submitted one to four times under five
versions of a policy, evaluated and recorded by the gate's own code, with overrides and notices by the doors that record them.
"""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

import polars as pl
from sqlalchemy import Connection, Engine

from dealgate import CompiledPolicy, Deal, Policy
from dealgate.adapters.policies import load_policy
from dealgate.adapters.portfolio.flat import checked_layout
from dealgate.adapters.portfolio.generating import block
from dealgate.adapters.portfolio.rows import document_of
from dealgate.models import Base, OverrideError, grant_override, record_policy, record_submission, request_override
from dealgate.models.erasure import record_notice
from dealgate.models.overrides import deny_override
from dealgate.rules.amounts import hundredths
from dealgate.rules.engine import EngineError

VERSIONS = 5
DAYS = 913
"""Thirty months."""

DAY = re.compile(r"\d{4}-\d\d-\d\d")
SUBMISSIONS = (0.55, 0.25, 0.13, 0.07)
"""Shares of deals submitted once, twice, three and four times."""

OVERRIDES = """
overrides:
  reasons: {STRONG-INCOME: Income well above the tier's requirement, LOYAL-CUSTOMER: Paid an earlier loan as agreed,
    MANUFACTURER-PROGRAM: A program of the manufacturer, COLLATERAL-DOUBT: The collateral is in doubt}
  authority:
    - {role: underwriter, max_amount: "$45,000", max_excess: "$4,000", sides: [low]}
    - {role: credit-manager, max_amount: "$150,000", max_excess: "$60,000", unmeasured: true}
  second_person: {above_amount: "$60,000", above_excess: "$9,000"}
  expires_after_days: 30
"""
GRANTORS = tuple(f"{name}.{family}" for name in ("ann", "ben", "cyd", "dee") for family in ("abel", "bose", "chan"))
TABLES = (
    "submission", "trade_in", "decision", "finding", "ledger_entry", "override_step", "override_finding", "notice",
)  # fmt: skip


class Version(NamedTuple):
    """A policy version and the moment from which it is in force; the next one's is its end."""

    policy: Policy
    text: str
    start: datetime


def policy_versions(end: datetime) -> list[Version]:
    """The shipped policy as it might have been over thirty months: the LTV limits move from one version to the next."""
    shipped = load_policy("prime-auto").text.partition("\nexamples:")[0] + "\n" + OVERRIDES
    shipped = shipped.replace('"2026.11"', '"VERSION"').replace("2026-11-01", "FROM")
    found = []
    for number in range(VERSIONS):
        start = (end - timedelta(days=DAYS) * (VERSIONS - number) / VERSIONS).replace(hour=0, minute=0, second=0)
        limit = f"limit: {125 - 2 * (number % 3)}%"
        text = shipped.replace("VERSION", f"{start:%Y.%m.%d}").replace("FROM", f"{start:%Y-%m-%d}")
        text = text.replace("limit: 125%", limit)
        found.append(Version(Policy.from_text(text, "prime-auto.yaml"), text, start))
    return found


def fill(engine: Engine, versions: list[Version], deals: int, seed: int) -> None:
    """So many deals under each version. Beginning at its start, as if all had come at once; `history` moves them in time."""
    book = block(0, deals * len(versions), seed)
    rows, layout = book.to_dicts(), checked_layout(book.schema)
    pick = Random(seed)
    for number, version in enumerate(versions):
        compiled, failing = CompiledPolicy(version.policy), CompiledPolicy(version.policy, _Failing)
        with engine.begin() as connection:
            record_policy(connection, version.policy, version.text, version.start)
            for index, row in enumerate(rows[number * deals : (number + 1) * deals]):
                document = _dated(document_of(row, layout), version.start)
                _submit_all(connection, compiled if index else failing, document, version.start, pick)


class _Failing:
    """A rules engine that fails on every deal: `history` lets it happen to few."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def evaluate(self, facts: Any, reckoning: Any) -> Any:
        raise EngineError("the engine gave no answer")


def _dated(document: dict[str, Any], start: datetime) -> dict[str, Any]:
    """The deal of a synthetic book, on the version's first day, with a vehicle, a report and values as old then as they were."""
    later = start.date() - date.fromisoformat(document["submitted_on"])
    dated = _moved(document, later)
    if "model_year" in dated["vehicle"]:
        dated["vehicle"]["model_year"] += start.year - int(document["submitted_on"][:4])
    return dict(dated)


def _moved(part: Any, later: timedelta) -> Any:
    """With every day so much later."""
    if isinstance(part, dict):
        return {name: _moved(value, later) for name, value in part.items()}
    if isinstance(part, list):
        return [_moved(value, later) for value in part]
    return str(date.fromisoformat(part) + later) if isinstance(part, str) and DAY.fullmatch(part) else part


def _submit_all(
    connection: Connection, policy: CompiledPolicy, document: dict[str, Any], start: datetime, pick: Random
) -> None:
    now = start
    for number in range(pick.choices(range(1, 5), SUBMISSIONS)[0]):
        if number:
            now += timedelta(minutes=pick.choice((7, 45, 180, 1_500, 4_400)), microseconds=pick.randrange(10**6))
            document = _worked(document, pick)
        deal = Deal.read(document)
        made = record_submission(
            connection,
            deal,
            policy.evaluate(deal),
            decision_id=str(UUID(int=pick.getrandbits(128), version=4)),
            now=now,
            actor="los",
        )
    granted = _override(connection, made.decision, now, pick)
    _notify(connection, made.decision, granted, now, pick)


def _worked(document: dict[str, Any], pick: Random) -> dict[str, Any]:
    """The deal as the desk submits it again: one part of its structure moved, the payoff never."""
    worked = deepcopy(document)
    lever = pick.choice(("cash_down", "cash_price", "allowance", "allowance", "products", "term"))
    trades = worked.get("trade_ins") or []
    if lever == "allowance" and trades:
        more = pick.randrange(200, 2_000) * 100
        for part, by in ((trades[0], more), (worked, more)):
            name = "allowance" if part is trades[0] else "cash_price"
            part[name] = hundredths(_cents(part[name]) + by)
    elif lever == "products":
        worked["products"] = worked.get("products", [])[1:]
    elif lever == "term":
        worked["term_months"] = min(84, worked["term_months"] + 12)
    elif lever == "cash_price":
        worked["cash_price"] = hundredths(_cents(worked["cash_price"]) - pick.randrange(100, 900) * 100)
    else:
        worked["cash_down"] = hundredths(_cents(worked.get("cash_down", "0")) + pick.randrange(2, 25) * 10_000)
    return worked


def _cents(amount: str) -> int:
    whole, _, part = str(amount).partition(".")
    return int(whole) * 100 + int((part + "00")[:2])


def _override(connection: Connection, decision: Mapping[str, Any], now: datetime, pick: Random) -> bool:
    """Of a part of what is not simply passed, and now and then on the high side. Whether the deal is let through by it."""
    open_rules = [one["rule"] for one in decision["findings"] if one["severity"] in {"refer", "decline"}]
    side = "low" if open_rules else "high"
    if pick.random() > (0.2 if side == "low" else 0.004):
        return False
    low = ("STRONG-INCOME", "LOYAL-CUSTOMER", "MANUFACTURER-PROGRAM")
    asker, *others = pick.sample(GRANTORS, 3)
    words = {
        "actor": asker,
        "reason": pick.choice(low) if open_rules else "COLLATERAL-DOUBT",
        "note": "Worked by the desk.",
    }
    moments = _later(now, pick)
    try:
        with connection.begin_nested():
            taken = request_override(connection, decision["decision_id"], open_rules, next(moments), side=side, **words)
            return _settle(connection, taken.override, others, moments, pick) and side == "low"
    except OverrideError:
        return False


def _settle(
    connection: Connection, override: Any, others: list[str], moments: Iterator[datetime], pick: Random
) -> bool:
    """Denied, granted by as many as it takes, or left waiting."""
    chance = pick.random()
    if chance < 0.15:
        deny_override(connection, override.override_id, next(moments), actor=others[0], note="Too far over.")
    elif chance < 0.92:
        for person in others[: override.persons]:
            grant_override(connection, override.override_id, next(moments), actor=person, role="credit-manager")
    return 0.15 <= chance < 0.92


def _later(now: datetime, pick: Random) -> Iterator[datetime]:
    while True:
        now += timedelta(minutes=pick.randrange(3, 900), microseconds=pick.randrange(10**6))
        yield now


NOTICES = {
    "passed": (("approval", 0.60), (None, 1)),
    "let through": (("approval", 0.90), (None, 1)),
    "refer": (("adverse_action", 0.85), ("counteroffer", 0.93), ("approval", 0.95), (None, 1)),
    "decline": (("adverse_action", 0.97), (None, 1)),
}
"""Up to which chance a deal of that kind gets which notice: a few approvals stand against an open finding."""


def _notify(connection: Connection, decision: Mapping[str, Any], granted: bool, now: datetime, pick: Random) -> None:
    outcome = decision["outcome"]
    of_kind = "let through" if granted else "passed" if outcome in {"pass", "flag"} else outcome
    chance = pick.random()
    kind = next(name for name, until in NOTICES[of_kind] if chance <= until)
    if kind:
        sent = now + timedelta(days=pick.randrange(1, 29), minutes=pick.randrange(600))
        told = sent + timedelta(minutes=pick.randrange(1, 90))
        record_notice(connection, decision["deal_id"], kind, sent, told, actor="notices")


def read(engine: Engine) -> dict[str, pl.DataFrame]:
    """The recorded rows, table by table, by the table's name without the prefix."""
    found = {}
    with engine.connect() as connection:
        for name in TABLES:
            table = Base.metadata.tables[f"dealgate_{name}"]
            rows = connection.execute(table.select()).all()
            columns = {column.name: [row[at] for row in rows] for at, column in enumerate(table.columns)}
            found[name] = pl.DataFrame(columns, infer_schema_length=None, strict=False)
    return found


def utc_now() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
