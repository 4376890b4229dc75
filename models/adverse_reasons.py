"""Which reasons a notice of adverse action may give for a decision."""

from collections.abc import Mapping
from typing import Any

from dealgate.models.joining import Writable
from dealgate.models.overrides import policy_that_decided
from dealgate.models.standing import overrides_of
from dealgate.rules.authority import Side
from dealgate.rules.overriding import overrides_of_policy


def reasons_to_give(session: Writable, decision: Mapping[str, Any]) -> list[str]:
    """The decision's principal reasons; before them those of persons who turned the deal down against it."""
    turned_down = [
        one
        for one in overrides_of(session, decision["deal_id"])
        if one.side is Side.HIGH and one.decision_id == decision["decision_id"] and len(one.grants) >= one.persons
    ]
    words = overrides_of_policy(policy_that_decided(session, decision)).reasons if turned_down else {}
    return list(dict.fromkeys([*(words[one.reason] for one in turned_down), *decision["reasons"]]))
