"""Random histories of deals: submissions, overrides, notices, holds, redactions, policy versions, failures of the engine, and time."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import uuid4

from hypothesis import strategies as st
from sqlalchemy import Connection, func, select

from dealgate import CompiledPolicy, Deal, Policy
from dealgate.models import (
    OverrideError,
    deny_override,
    grant_override,
    record_policy,
    record_submission,
    request_override,
)
from dealgate.models.erasure import NOTICES, ErasureError, NoticeError, hold, record_notice, redact
from dealgate.models.ledger import UnknownDealError
from dealgate.models.recording import DECISION
from dealgate.models.sealing import seal
from dealgate.models.signing import Ed25519Signer
from dealgate.models.standing import STEP
from dealgate.models.versions import VersionError, add_version, approve_version, retire_version
from dealgate.rules.fields import Facts
from dealgate.rules.reference import Reckoning
from tests.models.ledgers import a_signer
from tests.models.samples import NOW, a_deal

POLICY = """
policy: history
version: "1"
title: A policy with limits of every countable kind
effective_from: 2026-11-01
collateral_value: {new: [invoice], used: [jdpower_clean_trade]}
limits:
  max_total_ltv:
    unit: percent
    rows:
      - when: tier == "A" and condition == "used"
        limit: 140%
      - when: tier in ["A", "B"] and term_months <= 72
        limit: 137.5%
      - limit: 130%
  max_ne:
    unit: money
    hit_policy: unique
    on_no_hit: unknown
    rows:
      - when: tier == "A"
        limit: $4,000
      - when: tier != "A"
        limit: $3,000
rules:
  - {id: LTV-TOTAL, title: LTV within the tier's limit, require: total_ltv <= max_total_ltv, otherwise: refer,
     reason: Value or type of collateral not sufficient}
  - {id: NE-ROLLED, title: Little negative equity rolled in, applies: trade_payoff > $0, require: max_ne >= rolled_in_negative_equity,
     otherwise: flag, reason: Unpaid balance on trade-in vehicle exceeds limits}
  - {id: NE-HIDDEN, title: No negative equity hidden, require: hidden_negative_equity < $1, otherwise: refer,
     reason: Value of trade-in vehicle could not be supported}
  - {id: AGE, title: At most three model years old, require: vehicle_age <= 3, otherwise: decline, reason: Age of automobile}
  - {id: MILES, title: At most 31500 miles, require: mileage <= 31500, otherwise: flag, reason: Mileage of automobile}
  - {id: DTI, title: Debts within 45 percent of the income, require: debt_to_income <= 45%, otherwise: refer,
     reason: Excessive obligations in relation to income, mitigated_by: {when: credit_score >= 700, to: flag}}
overrides:
  reasons: {STRONG-INCOME: Income well above the tier's requirement, COLLATERAL-DOUBT: The collateral is in doubt}
  authority:
    - {role: credit-manager, max_amount: "$90,000", max_excess: "$90,000", unmeasured: true}
    - {role: director, max_amount: "$900,000", max_excess: "$900,000", unmeasured: true}
  second_person: {above_amount: "$60,000", above_excess: "$4,000"}
  expires_after_days: 10
"""
SECOND = POLICY.replace('version: "1"', 'version: "2"').replace("2026-11-01", "2026-12-01").replace("137.5%", "135%")

BROKEN = "broken"
DAY = timedelta(days=1)
DEALS = ("D-0", "D-1", "D-2", "D-3")

CHANGES: dict[str, Sequence[dict[str, Any]]] = {
    "dealer": ({}, {"dealer_id": "DLR-7"}, {"dealer_id": None}),
    "tier": ({}, {"applicant__tier": "A"}, {"applicant__tier": None}),
    "place": ({}, {"state": "CA", "channel": "direct"}),
    "price": ({}, {"cash_price": "28495.00"}, {"cash_price": "24000.00"}),
    "trade": (
        {},
        *(
            {"trade_ins": [{"kind": "loan", "allowance": allowance, "acv": acv, "payoff": payoff}]}
            for allowance, acv, payoff in (
                ("15500.00", "15500.00", "18000.00"),
                ("17000.00", "15500.00", "18000.00"),
                ("17000.00", None, "18000.00"),
                ("16000.00", "15500.00", None),
            )
        ),
        {"trade_ins": []},
    ),
    "vehicle": (
        {},
        {"vehicle__model_year": 2022},
        {"vehicle__values": [], "vehicle__mileage": 32000},
        {"vehicle__mileage": 29925},  # a width of 5 % below the limit, to the mile
    ),
    "person": (
        {},
        {"applicant__monthly_debt": "3000.00"},
        {"applicant__monthly_debt": "3000.00", "applicant__credit_score": 720},
        {"applicant__monthly_income": None},
    ),
    "day": ({}, {"submitted_on": "2026-11-19"}),
}
"""What may be otherwise than in the sample deal; each submission takes one of each."""

CHOICES = st.tuples(*(st.integers(0, len(found) - 1) for found in CHANGES.values()))
VERSIONS = st.sampled_from(("1", "1", "2", BROKEN))
PEOPLE = st.sampled_from(("ann", "ben", "cyd"))
SAMPLE = (0,) * len(CHANGES)

Step = tuple[Any, ...]


def _maybe(step: Any) -> Any:
    """A step that may be left out."""
    return st.lists(step, max_size=1)


def _story(*parts: Any) -> Any:
    """Steps that have to do with each other, one after the other."""
    return st.tuples(*parts).map(lambda found: [step for part in found for step in part])


def _one(*step: Any) -> Any:
    return st.tuples(*(part if isinstance(part, st.SearchStrategy) else st.just(part) for part in step))


def _always(*step: Any) -> Any:
    return _one(*step).map(lambda taken: [taken])


def _stories(deal: str) -> Any:
    """What may happen to a deal: worked until it fits, an exception made of it, answered in time or late, held, forgotten."""
    submit = _one("submit", deal, CHOICES, VERSIONS)
    again = _one("submit", deal, st.just(SAMPLE), VERSIONS)
    notice = _one("notice", deal, st.sampled_from(NOTICES), st.sampled_from((0, None, 2, 200)))
    wait = _one("time", st.sampled_from((1, 30, 24 * 9, 24 * 29, 24 * 61)))
    asked = _always("request", 0, st.sampled_from(("low", "low", "high")), st.integers(0, 3))
    grant = _one("grant", 0, PEOPLE, st.sampled_from(("credit-manager", "director")))
    return st.one_of(
        _story(_maybe(submit), _always("submit", deal, CHOICES, VERSIONS), _maybe(wait), _maybe(notice), _maybe(wait)),
        _story(
            _always("submit", deal, CHOICES, "1"), asked, _maybe(wait), _maybe(grant), _maybe(grant), _maybe(notice)
        ),
        _story(_always("submit", deal, CHOICES, "2"), asked, _maybe(grant), _maybe(_one("deny", 0)), _maybe(again)),
        _story(_maybe(again), _maybe(again), _maybe(notice), _maybe(_one("redact", 0))),
        _story(_maybe(notice), _maybe(_one("hold", deal, st.booleans())), _maybe(wait)),
    )


STORIES = st.one_of(
    *(_stories(deal) for deal in DEALS),
    _always("seal"),
    st.lists(_one("version", st.sampled_from(("add", "approve", "retire")), st.sampled_from(("1", "2"))), max_size=3),
)
HISTORIES = st.lists(STORIES, min_size=2, max_size=6).map(lambda found: [step for story in found for step in story])

RICH: list[Step] = [
    ("version", "add", "1"),
    ("version", "approve", "1"),
    ("version", "add", "2"),
    ("version", "approve", "2"),
    ("submit", "D-0", (0, 0, 0, 0, 2, 0, 0, 0), "1"),  # over-allowed to hide what is owed
    ("notice", "D-0", "counteroffer", 0),
    ("submit", "D-0", (0, 0, 0, 1, 1, 0, 0, 0), "1"),  # and worked
    ("request", 0, "low", 0),
    ("time", 30),
    ("grant", 0, "ann", "credit-manager"),
    ("submit", "D-1", SAMPLE, "1"),
    ("request", 0, "low", 0),
    ("grant", 0, "ann", "credit-manager"),
    ("grant", 0, "ben", "director"),
    ("notice", "D-1", "approval", 0),
    ("submit", "D-2", (1, 1, 1, 2, 1, 0, 0, 0), "1"),  # lets pass what an override turns down
    ("request", 0, "high", 0),
    ("grant", 0, "cyd", "credit-manager"),
    ("submit", "D-3", (1, 1, 1, 2, 1, 0, 0, 0), "1"),
    ("submit", "D-3", (0, 0, 0, 0, 0, 2, 0, 0), "1"),  # cannot be judged
    ("notice", "D-3", "approval", None),
    ("submit", "D-8", (0, 0, 0, 0, 2, 1, 0, 0), "1"),  # let through against one finding of two
    ("request", 0, "low", 2),
    ("grant", 0, "ann", "director"),
    ("grant", 0, "ben", "director"),
    ("submit", "D-4", SAMPLE, BROKEN),
    ("request", 0, "low", 0),
    ("deny", 0),
    ("submit", "D-5", (0, 0, 0, 2, 1, 0, 0, 0), "1"),
    ("submit", "D-6", (0, 0, 0, 2, 1, 0, 1, 0), "1"),  # the same but for the debts
    ("submit", "D-5", (0, 0, 0, 2, 2, 0, 0, 0), "1"),  # the allowance alone
    ("submit", "D-9", (0, 0, 0, 0, 5, 3, 0, 0), "1"),  # nothing is owed on a trade-in: nothing to hide
    ("submit", "D-9", (0, 0, 0, 1, 5, 3, 0, 0), "1"),
    ("time", 24 * 31),
    ("seal",),
    ("submit", "D-7", (2, 2, 0, 1, 2, 1, 0, 0), "2"),  # over-allowed, and left so
    ("request", 0, "low", 2),
    ("hold", "D-3", True),
    ("notice", "D-1", "adverse_action", 0),
    ("notice", "D-2", "incomplete", 0),
    ("notice", "D-7", "approval", 2000),  # before anything was decided
    ("seal",),
    ("notice", "D-4", "adverse_action", 0),
]
"""One history in which everything happens that a report tells."""


@cache
def signer() -> Ed25519Signer:
    return a_signer()


class _BrokenEngine:
    def evaluate(self, facts: Facts, reckoning: Reckoning) -> Any:
        raise RuntimeError("out of order")


@cache
def policy(name: str) -> CompiledPolicy:
    read = Policy.from_text(SECOND if name == "2" else POLICY, "history.yaml")
    return CompiledPolicy(read, lambda _policy: _BrokenEngine()) if name == BROKEN else CompiledPolicy(read)


class History:
    """Takes the steps of a history, in the caller's transaction. Steps that are refused leave nothing."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.now = NOW
        self.moments = [NOW]

    def take(self, steps: Sequence[tuple[Any, ...]]) -> None:
        for kind, *given in steps:
            with suppress(OverrideError, NoticeError, ErasureError, UnknownDealError, VersionError):
                getattr(self, f"_{kind}")(*given)
            self.now += timedelta(seconds=1)
            self.moments.append(self.now)

    def submit(self, deal_id: str, version: str = "1", **changes: Any) -> str:
        compiled = policy(version)
        deal = Deal.read(a_deal(deal_id=deal_id, **changes))
        record_policy(self.connection, compiled.policy, compiled.policy.self_contained, self.now)
        evaluation = compiled.evaluate(deal)
        return record_submission(
            self.connection, deal, evaluation, decision_id=str(uuid4()), now=self.now, actor="desk"
        ).decision_id

    def notice(self, deal_id: str, kind: str, sent_at: datetime | None = None) -> None:
        record_notice(self.connection, deal_id, kind, sent_at or self.now, self.now, actor="ops")

    def _submit(self, deal_id: str, choices: Sequence[int], version: str) -> None:
        changes: dict[str, Any] = {}
        for found, index in zip(CHANGES.values(), choices, strict=True):
            changes |= found[index]
        self.submit(deal_id, version, **changes)

    def _request(self, which: int, side: str, named: int) -> None:
        decision_id = self._one_of(DECISION.c.decision_id, which)
        rules = [["LTV-TOTAL"], ["LTV-TOTAL", "NE-HIDDEN"], ["AGE"], ["DTI"]][named] if side == "low" else []
        reason = "STRONG-INCOME" if side == "low" else "COLLATERAL-DOUBT"
        request_override(
            self.connection, decision_id, rules, self.now, actor="asker", reason=reason, note="Why.", side=side
        )

    def _grant(self, which: int, actor: str, role: str) -> None:
        override_id = self._one_of(STEP.c.override_id, which)
        grant_override(self.connection, override_id, self.now, actor=actor, role=role)

    def _deny(self, which: int) -> None:
        deny_override(self.connection, self._one_of(STEP.c.override_id, which), self.now, actor="cyd", note="No.")

    def _notice(self, deal_id: str, kind: str, hours_ago: int | None) -> None:
        """Sent so many hours ago, or at the very moment of the deal's last decision."""
        decided = select(func.max(DECISION.c.decided_at)).where(DECISION.c.deal_id == deal_id)
        at = self.connection.execute(decided).scalar() if hours_ago is None else self.now - timedelta(hours=hours_ago)
        self.notice(deal_id, kind, at)

    def _hold(self, deal_id: str, placed: bool) -> None:
        hold(self.connection, deal_id, "A letter from counsel.", self.now, actor="counsel", placed=placed)

    def _redact(self, which: int) -> None:
        decision_id = self._one_of(DECISION.c.decision_id, which)
        redact(self.connection, decision_id, ["/deal/applicant/credit_score"], "Asked for.", self.now, actor="ops")

    def _version(self, step: str, name: str) -> None:
        one = policy(name).policy
        if step == "add":
            add_version(self.connection, one, one.self_contained, self.now, actor="author")
        elif step == "approve":
            approve_version(self.connection, one, self.now, actor="approver")
        else:
            retire_version(self.connection, one.sha256, self.now, actor="author")

    def _seal(self) -> None:
        seal(self.connection, signer(), self.now)

    def _time(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    def _one_of(self, column: Any, which: int) -> str:
        """One of the latest few; there may be none."""
        found = self.connection.execute(select(column).order_by(column.table.c[0].desc()).limit(3)).scalars().all()
        if not found:
            raise OverrideError("nothing is there yet")
        chosen: str = found[which % len(found)]
        return chosen
