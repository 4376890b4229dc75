"""The decision about a deal that no policy in force answers for, or not exactly one: it is referred, and the reason says why."""

from collections.abc import Sequence
from functools import cache

from dealgate.rules.deal import PartialDeal
from dealgate.rules.evaluation import CompiledPolicy, Evaluation
from dealgate.rules.fields import Facts
from dealgate.rules.finding import INCOMPLETE, Evidence, Finding
from dealgate.rules.policy import Outcome, Policy
from dealgate.rules.reading import POLICY_IN_FORCE
from dealgate.rules.reference import Reckoning, Result

UNANSWERED = Policy.from_text(
    """
policy: unanswered
version: "1"
title: No limits; what is recorded where not exactly one policy in force answers for a deal
effective_from: 2026-01-01
collateral_value: {new: [invoice, msrp], used: [jdpower_clean_trade, kbb_trade_in, blackbook_average]}
rules:
  - {id: TERM, title: The loan has a term, require: term_months >= 1, otherwise: refer, reason: Length of maturity requested}
""",
    "unanswered",
)


class _Agreeing:
    """There is nothing here for the rules engine to confirm: the deal is referred whatever it says."""

    def evaluate(self, facts: Facts, reckoning: Reckoning) -> dict[str, Result]:
        return reckoning.results


@cache
def _compiled() -> CompiledPolicy:
    return CompiledPolicy(UNANSWERED, lambda _policy: _Agreeing())


def unanswered(deal: PartialDeal, reason: str, missing: Sequence[str] = ()) -> Evaluation:
    """Refer a deal, for a reason about the policies rather than the deal."""
    evidence = Evidence(f"{reason[:1].upper()}{reason[1:]}. The deal is referred; a person decides.")
    title = "Exactly one policy in force answers for the deal"
    told = INCOMPLETE if missing else None
    finding = Finding(
        POLICY_IN_FORCE, title, Result.NOT_EVALUABLE, Outcome.REFER, told, tuple(missing), (), False, lambda: evidence
    )
    return _compiled().referred(deal, finding)
