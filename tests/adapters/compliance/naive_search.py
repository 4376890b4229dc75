"""What a query means, once more and in plain Python, over documents instead of columns."""

from datetime import datetime
from fractions import Fraction
from operator import eq, ge, gt, le, lt
from typing import Any

from dealgate.adapters.compliance.query import Condition, Query
from tests.adapters.compliance.searched_histories import Asked, History, Told

COMPARED = {"<": lt, "<=": le, "=": eq, ">=": ge, ">": gt}


def found(history: History, query: Query) -> list[str]:
    """Ids of decisions, in no order."""
    return [one.decision["decision_id"] for one in history.decisions if holds(history, one, query)]


def holds(history: History, told: Told, query: Query) -> bool:
    decision, deal = told.decision, told.deal
    applicant = deal.get("applicant", {})
    plain = (
        (query.deals, deal["deal_id"]),
        (query.dealers, deal.get("dealer_id")),
        (query.states, deal.get("state")),
        (query.channels, deal.get("channel")),
        (query.tiers, applicant.get("tier")),
        (query.outcomes, decision["outcome"]),
        (query.policies, decision["policy"]["name"]),
        (query.versions, decision["policy"]["version"]),
        (query.actors, told.actor),
    )
    return (
        all(not wanted or value in wanted for wanted, value in plain)
        and (query.decided_from is None or told.at >= query.decided_from)
        and (query.decided_before is None or told.at < query.decided_before)
        and (query.as_of is None or told.at <= query.as_of)
        and all(_measured(decision["measures"], one) for one in query.measures)
        and _with_finding(decision, query)
        and _with_override(told, query)
        and _with_notice(history, told, query)
    )


def _measured(measures: dict[str, Any], one: Condition) -> bool:
    measure = measures[one.measure]
    if measure["value"] is None:
        return False
    value = Fraction(measure["value"])
    if measure["unit"] == "percent":
        value = 100 * Fraction(measure["numerator"]) / Fraction(measure["denominator"])
    return bool(COMPARED[one.operator](value, Fraction(one.bound)))


def _with_finding(decision: dict[str, Any], query: Query) -> bool:
    if not (query.rules or query.results or query.reasons):
        return True
    return any(
        one["result"] in {"violated", "mitigated", "not_evaluable"}
        and (not query.rules or one["rule"] in query.rules)
        and (not query.results or one["result"] in query.results)
        and (not query.reasons or one.get("reason") in query.reasons)
        for one in decision["findings"]
    )


def _with_override(told: Told, query: Query) -> bool:
    if not (query.override or query.override_side or query.grantors or query.override_reasons):
        return True
    known = [one for one in told.overrides if _known(one.at, query)]
    if query.override == "none":
        return not known
    return any(_is_asked_of(one, query) for one in known)


def _is_asked_of(one: Asked, query: Query) -> bool:
    grants = [person for person, at in one.grants if _known(at, query)]
    denied = any(_known(at, query) for at in one.denials)
    state = {None: True, "asked": True, "granted": len(grants) >= one.persons, "denied": denied}[query.override]
    return (
        state
        and query.override_side in {None, one.side}
        and (not query.override_reasons or one.reason in query.override_reasons)
        and (not query.grantors or bool(set(grants) & set(query.grantors)))
    )


def _with_notice(history: History, told: Told, query: Query) -> bool:
    if not query.notices:
        return True
    sent = history.notices.get(told.deal["deal_id"], [])
    kinds = {one.kind for one in sent if one.sent_at >= told.at and _known(one.told_at, query)}
    return not kinds if query.notices == ("none",) else bool(kinds & set(query.notices))


def _known(at: datetime, query: Query) -> bool:
    return query.as_of is None or at <= query.as_of
