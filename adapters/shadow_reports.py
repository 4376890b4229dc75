"""What a shadow version would have made of the deals: how often it agrees, which rules flip, and some deals that show it."""

import json
from collections import Counter
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from dealgate.models.ledger import table
from dealgate.models.policy_tables import ShadowDecision
from dealgate.models.recording import DECISION

MOST_EXAMPLES = 10

SHADOW = table(ShadowDecision)


class ShadowReport(NamedTuple):
    """Counts of submissions: by live and shadow outcome, and by rule, live and shadow result. `failed` were not evaluated."""

    sha256: str
    outcomes: dict[tuple[str, str], int]
    flips: dict[tuple[str, str | None, str | None], int]
    failed: int
    failures: list[str]
    examples: list[dict[str, Any]]

    @property
    def looked_at(self) -> int:
        return sum(self.outcomes.values())

    @property
    def agreed(self) -> int:
        return sum(number for (live, seen), number in self.outcomes.items() if live == seen)

    def document(self) -> dict[str, Any]:
        return {
            "sha256": self.sha256,
            "looked_at": self.looked_at,
            "agreed": self.agreed,
            "failed": self.failed,
            "failures": self.failures,
            "outcomes": [
                {"live": live, "shadow": seen, "submissions": number} for (live, seen), number in self.outcomes.items()
            ],
            "flips": [
                {"rule": rule, "live": live, "shadow": seen, "submissions": number}
                for (rule, live, seen), number in self.flips.items()
            ],
            "examples": self.examples,
        }


def shadow_report(connection: Connection, sha256: str) -> ShadowReport:
    looks = select(SHADOW.c.live_outcome, SHADOW.c.outcome, func.count()).where(SHADOW.c.sha256 == sha256)
    pairs = looks.where(SHADOW.c.failure.is_(None)).group_by(SHADOW.c.live_outcome, SHADOW.c.outcome)
    outcomes = {(live, seen): number for live, seen, number in connection.execute(pairs)}
    flips: Counter[tuple[str, str | None, str | None]] = Counter()
    told = select(SHADOW.c.flips, func.count()).where(SHADOW.c.sha256 == sha256, SHADOW.c.flips != "{}")
    for text, number in connection.execute(told.group_by(SHADOW.c.flips)):
        for rule, (live, seen) in json.loads(text).items():
            flips[rule, live, seen] += number
    failed = select(SHADOW.c.failure, func.count()).where(SHADOW.c.sha256 == sha256, SHADOW.c.failure.is_not(None))
    failures = connection.execute(failed.group_by(SHADOW.c.failure).order_by(func.count().desc())).all()
    return ShadowReport(
        sha256,
        outcomes,
        dict(flips.most_common()),
        sum(number for _, number in failures),
        [text for text, _ in failures[:MOST_EXAMPLES]],
        _examples(connection, sha256),
    )


def _examples(connection: Connection, sha256: str) -> list[dict[str, Any]]:
    """The latest deals that would have come out otherwise."""
    statement = (
        select(SHADOW.c.decision_id, DECISION.c.deal_id, SHADOW.c.live_outcome, SHADOW.c.outcome, SHADOW.c.flips)
        .join(DECISION, DECISION.c.decision_id == SHADOW.c.decision_id)
        .where(SHADOW.c.sha256 == sha256, SHADOW.c.outcome != SHADOW.c.live_outcome)
        .order_by(SHADOW.c.id.desc())
        .limit(MOST_EXAMPLES)
    )
    return [
        {
            "deal_id": row.deal_id,
            "decision_id": row.decision_id,
            "live": row.live_outcome,
            "shadow": row.outcome,
            "flips": json.loads(row.flips),
        }
        for row in connection.execute(statement)
    ]
