"""Versions that only look on: what they make of a deal is stored apart, and neither it nor their failing touches the decision."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from dealgate.models.joining import connection_of, still_stands
from dealgate.models.ledger import table
from dealgate.models.policy_tables import ShadowDecision
from dealgate.models.versions import ALL_DEALS, Shadow
from dealgate.rules.deal import Deal
from dealgate.rules.evaluation import CompiledPolicy, Evaluation

log = logging.getLogger("dealgate")

INSERT_LOOK = insert(table(ShadowDecision))


class Look(NamedTuple):
    """What one version would have made of a deal: the outcome, and each rule whose result differs from the live one's."""

    sha256: str
    outcome: str | None
    live_outcome: str
    flips: Mapping[str, tuple[str | None, str | None]]
    failure: str | None = None


def looks_at(shadow: Shadow, deal_id: str) -> bool:
    """Whether a deal belongs to the share that a version looks at: the same deals every time, others for another version."""
    place = int.from_bytes(hashlib.sha256(f"{shadow.sha256}/{deal_id}".encode()).digest()[:8])
    return place % ALL_DEALS < shadow.share


def look(sha256: str, version: CompiledPolicy | None, failure: str, deal: Deal, live: Evaluation) -> Look:
    """Never raises."""
    if version is None:
        return Look(sha256, None, live.outcome.value, {}, failure)
    try:
        seen = version.evaluate(deal)
        if not seen.engine["agreed"]:
            return Look(sha256, None, live.outcome.value, {}, seen.findings[-1].explanation)
        return Look(sha256, seen.outcome.value, live.outcome.value, _flips(live.results, seen.results))
    except Exception as error:
        return Look(sha256, None, live.outcome.value, {}, f"{type(error).__name__}: {error}")


def record_looks(session: Session | Connection, decision_id: str, looks: Sequence[Look], now: datetime) -> None:
    """Store looks beside the decision, in its transaction; what cannot be stored is logged, and the decision stands if that does."""
    if not looks:
        return
    rows = [
        {
            "decision_id": decision_id,
            "recorded_at": now,
            **one._asdict(),
            "flips": json.dumps(one.flips, separators=(",", ":")),
        }
        for one in looks
    ]
    try:
        with session.begin_nested():
            session.execute(INSERT_LOOK, rows)
    except SQLAlchemyError:
        if not still_stands(connection_of(session)):
            raise
        log.critical(
            "what %d shadow versions made of decision %s was not stored", len(looks), decision_id, exc_info=True
        )


def _flips(live: Mapping[str, str], seen: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    return {
        rule: (_word(live.get(rule)), _word(seen.get(rule)))
        for rule in dict.fromkeys([*live, *seen])
        if live.get(rule) != seen.get(rule)
    }


def _word(result: str | None) -> str | None:
    return None if result is None else str(result)
