"""What the error of a veto says: it ends up in logs, where nothing personal belongs."""

from collections.abc import Callable

from dealgate import CompiledPolicy, Deal, DeclinedError, Policy
from dealgate.adapters.attempts import Attempt, Concluded
from dealgate.adapters.policies import PolicyDocument
from dealgate.adapters.programs import Answer
from dealgate.rules.engine import Engine
from dealgate.rules.evaluation import EvaluatesRules
from dealgate.rules.fields import Facts
from dealgate.rules.reference import Reckoning, Result
from tests.models.samples import NOW, a_deal

POLICY = """
policy: vetoing
version: "1"
title: A rule on the price
effective_from: 2026-01-01
collateral_value: {new: [invoice], used: [jdpower_clean_trade]}
rules:
  - {id: PRICE, title: No price above the greatest, require: "cash_price <= $20,000", otherwise: decline,
     reason: Amount of credit requested}
"""
ON_INCOME = """
  - {id: PTI, title: Payment within a tenth of the income, require: payment_to_income <= 10%, otherwise: decline,
     reason: Income insufficient for amount of credit requested}
"""


def declined(
    policy: str, engine: Callable[[Policy], EvaluatesRules] = Engine, *, cured: bool = True, **fields: object
) -> DeclinedError:
    deal = Deal.read(a_deal(deal_id="A-1", **fields))
    read = Policy.from_text(policy)
    evaluation = CompiledPolicy(read, engine).evaluate(deal)
    document = {"decision_id": "E", "deal_id": "A-1", **evaluation.document()}
    assert bool(document["cures"]) is cured
    attempt = Attempt(deal, Concluded(Answer(evaluation, PolicyDocument(policy, read)), [], NOW), "E")
    return DeclinedError("Application 1", document, evaluation.personal.rules, attempt)


def test_it_tells_no_cure_from_which_the_income_follows() -> None:
    """How much more cash down keeps a rule on the income tells the income to the cent."""
    error = declined(POLICY.replace("$20,000", "$90,000") + ON_INCOME.strip("\n"))
    assert str(error).splitlines() == [
        "Application 1 is not written: vetoing 1 declines deal A-1.",
        "PTI: Payment within a tenth of the income",
        "What would cure it may tell of the applicant: the decision has it.",
    ]


def test_it_tells_none_either_where_the_rule_on_the_income_is_kept() -> None:
    """It bounds how far a lever may go."""
    error = declined(POLICY + ON_INCOME.strip("\n"), applicant__monthly_income="99000.00")
    words = str(error).splitlines()
    assert words[1].startswith("PRICE: Cash price is $")
    assert words[2:] == ["What would cure it may tell of the applicant: the decision has it."]


def test_it_tells_the_cures_where_no_rule_rests_on_the_applicant() -> None:
    assert "Cure: " in str(declined(POLICY))


def test_it_says_that_nothing_cures_the_deal_only_where_that_was_proved() -> None:
    never = POLICY.replace("cash_price <= $20,000", "state != 'TX'")
    assert str(declined(never, cured=False)).endswith("No single change cures it.")

    def failing(_policy: Policy) -> EvaluatesRules:
        return Failing()

    words = "Whether a single change cures it was not searched to the end."
    assert str(declined(POLICY, failing, cured=False)).endswith(words)
    unknown = "on_unknown: decline\n" + POLICY.replace("cash_price <= $20,000", "apr_percent <= 20%")
    assert str(declined(unknown, cured=False, apr_percent=None)).endswith("Supply it and submit the deal again.")


class Failing:
    def evaluate(self, facts: Facts, reckoning: Reckoning) -> dict[str, Result]:
        raise RuntimeError("no engine today")
