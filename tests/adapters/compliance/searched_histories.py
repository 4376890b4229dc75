"""A history that a test makes step by step, kept beside the database in plain Python: what a query must find is worked out from it."""

from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Engine

from dealgate import Deal
from dealgate.models import deny_override, grant_override, record_policy, record_submission, request_override
from dealgate.models.erasure import record_notice
from tests.models.samples import NOW, OVERRIDABLE, a_deal, compiled

POLICIES = (
    OVERRIDABLE,
    OVERRIDABLE.replace('version: "1"', 'version: "2"').replace("limit: 125%", "limit: 139%"),
)
PEOPLE = ("ann", "ben", "cyd", "dee")
MINUTE = timedelta(minutes=1)


class Asked(NamedTuple):
    """An override as the test asked for it."""

    side: str
    reason: str
    at: datetime
    persons: int
    grants: list[tuple[str, datetime]]
    denials: list[datetime]


class Told(NamedTuple):
    """A decision as its document says, and what happened to it."""

    decision: dict[str, Any]
    deal: dict[str, Any]
    actor: str | None
    at: datetime
    overrides: list[Asked]


class Sent(NamedTuple):
    kind: str
    sent_at: datetime
    told_at: datetime


class History:
    def __init__(self, database: Engine, seed: int, *, start: datetime = NOW) -> None:
        self.database, self.pick, self.now = database, Random(seed), start
        self.decisions: list[Told] = []
        self.notices: dict[str, list[Sent]] = {}

    def happen(self, steps: int) -> None:
        """So many things, one after the other; every so often two at one moment."""
        for _ in range(steps):
            self.now += self.pick.choice((0, 1, 1, 90)) * MINUTE
            self.pick.choice((self.submit, self.submit, self.override, self.override, self.notify))()

    def submit(self) -> None:
        pick = self.pick
        deal = Deal.read(
            a_deal(
                deal_id=f"D-{pick.randrange(6)}",
                dealer_id=pick.choice(("DLR-1", "DLR-2", None)),
                state=pick.choice(("TX", "OH", None)),
                channel=pick.choice(("indirect", "direct")),
                applicant__tier=pick.choice(("A", "B", None)),
                applicant__credit_score=pick.choice((600, 700, None)),
                cash_price=pick.choice(("20000.00", "29995.00", "36000.00")),
                cash_down=pick.choice(("1400.00", "1400.01", "6000.00")),
                vehicle__values=pick.choice(([{"basis": "jdpower_clean_trade", "amount": "27000.00"}], [])),
            )
        )
        policy, actor = compiled(pick.choice(POLICIES)), pick.choice((*PEOPLE, None))
        with self.database.begin() as connection:
            record_policy(connection, policy.policy, policy.policy.self_contained, self.now)
            made = record_submission(
                connection,
                deal,
                policy.evaluate(deal),
                decision_id=str(UUID(int=pick.getrandbits(128), version=4)),
                now=self.now,
                actor=actor,
            )
        self.decisions.append(Told(dict(made.decision), deal.document(), actor, self.now, []))

    def override(self) -> None:
        """Of a deal's last decision: asked for, then perhaps granted or denied."""
        pick = self.pick
        latest = list({one.deal["deal_id"]: one for one in self.decisions}.values())
        if not latest:
            return
        told = pick.choice(latest)
        side = "high" if told.decision["outcome"] in {"pass", "flag"} else "low"
        rules = [one["rule"] for one in told.decision["findings"] if one["severity"] in {"refer", "decline"}]
        reason = pick.choice(("STRONG-INCOME", "COLLATERAL-DOUBT"))
        words = {"actor": "ann", "reason": reason, "note": "Why.", "side": side}
        with self.database.begin() as connection:
            taken = request_override(
                connection, told.decision["decision_id"], rules if side == "low" else [], self.now, **words
            ).override
        asked = Asked(side, reason, self.now, taken.persons, [], [])
        told.overrides.append(asked)
        for person in pick.sample(("ben", "cyd"), pick.randrange(taken.persons + 1)):
            self.now += MINUTE
            with self.database.begin() as connection:
                grant_override(connection, taken.override_id, self.now, actor=person, role="credit-manager")
            asked.grants.append((person, self.now))
        if len(asked.grants) < taken.persons and pick.random() < 0.5:
            self.now += MINUTE
            with self.database.begin() as connection:
                deny_override(connection, taken.override_id, self.now, actor="dee", note="No.")
            asked.denials.append(self.now)

    def notify(self) -> None:
        if not self.decisions:
            return
        deal_id = self.pick.choice(self.decisions).deal["deal_id"]
        sent = self.now - self.pick.choice((0, 0, 5, 200)) * MINUTE
        kind = self.pick.choice(("adverse_action", "approval"))
        with self.database.begin() as connection:
            record_notice(connection, deal_id, kind, sent, self.now, actor="notices")
        self.notices.setdefault(deal_id, []).append(Sent(kind, sent, self.now))

    def ids(self) -> list[str]:
        """The latest first; of one moment, the last recorded."""
        order = sorted(enumerate(self.decisions), key=lambda one: (one[1].at, one[0]), reverse=True)
        return [told.decision["decision_id"] for _, told in order]

    def moments(self) -> list[datetime]:
        """At which something was recorded, and one before."""
        told = [one.at for one in self.decisions] + [one.told_at for sent in self.notices.values() for one in sent]
        for asked in (override for one in self.decisions for override in one.overrides):
            told += [asked.at, *(at for _, at in asked.grants), *asked.denials]
        return [NOW - MINUTE, *sorted(told)]
