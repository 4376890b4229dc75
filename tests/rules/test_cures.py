"""Cures worked out by hand, and on whole deals: what is offered clears the deal, and a cent less does not."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dealgate import CompiledPolicy, Cure, Deal, Policy, Result, evaluate
from dealgate.adapters.policies import check_policy, load_policy
from dealgate.rules.amounts import hundredths
from dealgate.rules.engine import Engine
from dealgate.rules.evaluation import Evaluation
from dealgate.rules.fields import Facts, facts_of
from dealgate.rules.levers import LEVERS, Motion
from dealgate.rules.reference import Reckoning
from dealgate.rules.sweeping import Search, Sweep
from tests.rules.exhaustive_cures import cents, is_cured

Document = dict[str, Any]
Judges = Callable[..., Evaluation]

LTV = "total_ltv <= 125%"


@pytest.fixture(scope="module")
def judge(write_policy: Callable[..., str], small_deal: Callable[..., Deal]) -> Judges:
    """Judge a small deal under a few rules. The deal finances $13,000 on a value of $10,000 where nothing else is said."""

    def judged(
        *rules: Document | str, limits: Document | None = None, measures: Document | None = None, **parts: Any
    ) -> Evaluation:
        policy = Policy.from_text(write_policy(*rules, limits=limits or {}, measures=measures or {}))
        return evaluate(small_deal(**{"cash_price": "13000.00", **parts}), policy)

    return judged


def changes(evaluation: Evaluation) -> Mapping[str, Any]:
    """What each lever has to change by, as the document says it."""
    return {cure["lever"]: cure["change"] for cure in evaluation.document()["cures"]}


def reason(evaluation: Evaluation, lever: str) -> str:
    return next(found.reason for found in evaluation.cures.unfixable if found.lever == lever)


def cure(evaluation: Evaluation, lever: str) -> Cure:
    return next(found for found in evaluation.cures.offered if found.lever == lever)


# Each lever


def test_the_deal_of_the_design_is_cured_by_the_excess_in_cash(
    cases: list[Document], case_policy: CompiledPolicy
) -> None:
    document = evaluate(cases[0]["deal"], case_policy).document()
    assert {name: document["cures"][0][name] for name in ("lever", "change", "to", "clears", "verified")} == {
        "lever": "cash_down",
        "change": "4019.69",
        "to": "5519.69",
        "clears": ["LTV-TOTAL"],
        "verified": True,
    }
    assert document["cures"][0]["explanation"] == "$4,019.69 more cash down, $5,519.69 in all, clears LTV-TOTAL."


def test_more_cash_and_a_lower_price_take_the_excess_off_the_amount(judge: Judges) -> None:
    evaluation = judge(LTV)
    assert changes(evaluation) == {"cash_down": "500.00", "cash_price": "500.00", "collateral_value": "400.00"}
    assert cure(evaluation, "cash_price").to == 12_500_00
    assert cure(evaluation, "collateral_value").to == 10_400_00


def test_the_collateral_value_is_told_as_a_need(judge: Judges) -> None:
    sentence = cure(judge(LTV), "collateral_value").explanation
    assert sentence == (
        "A collateral value of $10,400.00, $400.00 more than it is, would be needed to clear R0: "
        "the book gives the value, nobody at the desk can set it."
    )


def test_the_least_value_is_rounded_up_to_the_cent(judge: Judges) -> None:
    # 10,000.01 / 1.25 is 8,000.008: a value of 8,000.00 is too little by less than a cent.
    values = [{"basis": "jdpower_clean_trade", "amount": "8000.00"}]
    evaluation = judge(LTV, cash_price="10000.01", vehicle={"condition": "used", "values": values})
    assert changes(evaluation)["collateral_value"] == "0.01"


def test_a_higher_value_goes_to_the_basis_that_secures_the_deal(judge: Judges) -> None:
    values = [{"basis": "kbb_trade_in", "amount": "9000.00"}, {"basis": "jdpower_clean_trade", "amount": "10000.00"}]
    evaluation = judge(LTV, vehicle={"condition": "used", "values": values})
    changed = cure(evaluation, "collateral_value").deal
    assert [value.amount for value in changed.vehicle.values] == [9_000_00, 10_400_00]


def test_where_a_policy_computes_the_collateral_value_it_is_the_book_value_that_is_told(judge: Judges) -> None:
    own = {"collateral_value": {"unit": "money", "formula": "80% * listed_value()"}}
    found = cure(judge(LTV, measures=own), "collateral_value")
    assert found.explanation == (
        "A J.D. Power clean trade value of $13,000.00, $3,000.00 more than it is, would be needed to clear R0: the book gives the "
        "value, nobody at the desk can set it."
    )
    other = {"collateral_value": {"unit": "money", "formula": 'book_value("kbb_trade_in")'}}
    values = [{"basis": basis, "amount": "10000.00"} for basis in ("jdpower_clean_trade", "kbb_trade_in")]
    evaluation = judge(LTV, measures=other, vehicle={"condition": "used", "values": values})
    assert reason(evaluation, "collateral_value") == "No higher J.D. Power clean trade value clears R0."


def test_the_cheapest_products_that_suffice_are_dropped(judge: Judges) -> None:
    products = [
        {"kind": "gap", "price": "895.00"},
        {"kind": "service_contract", "price": "2400.00"},
        {"kind": "tire_and_wheel", "price": "300.00"},
    ]
    evaluation = judge("amount_financed <= $15,595.00", products=products)
    found = cure(evaluation, "products")
    assert (found.change, found.to, found.drop) == (1_195_00, 2_400_00, ("gap", "tire_and_wheel"))
    assert found.explanation == "Dropping gap ($895.00) and tire and wheel ($300.00), $1,195.00 in all, clears R0."


def test_of_products_at_one_price_the_first_is_dropped(judge: Judges) -> None:
    products = [{"kind": kind, "price": "600.00"} for kind in ("gap", "service_contract")]
    assert cure(judge("amount_financed <= $13,600", products=products), "products").drop == ("gap",)


def test_of_sets_at_one_price_the_smallest_is_dropped(judge: Judges) -> None:
    prices = {"gap": "400.00", "tire_and_wheel": "200.00", "service_contract": "600.00"}
    products = [{"kind": kind, "price": price} for kind, price in prices.items()]
    assert cure(judge("amount_financed <= $13,600", products=products), "products").drop == ("service_contract",)


def test_the_payoff_of_the_trade_deepest_under_water_is_paid_first(judge: Judges) -> None:
    trades = [
        {"kind": "loan", "allowance": "5000.00", "payoff": "6000.00"},
        {"kind": "lease", "allowance": "1000.00", "payoff": "2500.00"},
    ]
    evaluation = judge("amount_financed <= $12,000", trade_ins=trades)
    found = cure(evaluation, "payoff")  # 13,000 and 2,500 of negative equity: 3,500 too much, 2,500 of it the lease's
    assert (found.change, found.to, found.payoffs) == (3_500_00, 5_000_00, (5_000_00, 0))
    assert found.document()["payoffs"] == ["5000.00", "0.00"]
    assert found.explanation == "$3,500.00 of the payoff paid outside the deal, $5,000.00 left in it, clears R0."


def test_a_longer_term_brings_the_payment_down_to_its_limit(judge: Judges) -> None:
    evaluation = judge("monthly_payment <= $500", cash_price="12000.00", term_months=18, apr_percent="0.00")
    found = cure(evaluation, "term_months")
    assert (found.change, found.to) == (6, 24)  # 12,000 / 24 is 500.00, exactly the limit
    assert found.explanation == "A term of 24 months, 6 months longer, clears R0."
    assert (found.document()["change"], found.document()["to"]) == (6, 24)


def test_a_shorter_and_a_longer_term_are_two_cures(judge: Judges) -> None:
    found = judge("term_months in [48, 60]", term_months=53).cures.offered
    assert [(cure.lever, cure.change, cure.to) for cure in found] == [("term_months", -5, 48), ("term_months", 7, 60)]


def test_one_month_is_said_in_the_singular(judge: Judges) -> None:
    assert (
        cure(judge("term_months <= 71"), "term_months").explanation
        == "A term of 71 months, 1 month shorter, clears R0."
    )


# Several rules, and rules that turn more than once


def test_the_joint_minimum_clears_every_rule_that_binds(judge: Judges) -> None:
    found = cure(judge(LTV, "amount_financed <= $12,000"), "cash_down")
    assert (found.change, found.clears) == (1_000_00, ("R0", "R1"))
    assert found.explanation == "$1,000.00 more cash down, $1,000.00 in all, clears R0 and R1."


def test_a_change_that_breaks_another_rule_is_no_cure(judge: Judges) -> None:
    evaluation = judge(LTV, "amount_financed >= $12,800")
    assert changes(evaluation) == {"collateral_value": "400.00"}
    assert reason(evaluation, "cash_down") == (
        "No cash down short of the whole amount financed clears R0 without breaking R1."
    )
    assert reason(evaluation, "cash_price") == "No lower cash price clears R0 without breaking R1."


def test_a_limit_that_steps_with_the_amount_is_met_at_the_step(judge: Judges) -> None:
    rows = [{"when": "amount_financed > $12,000", "limit": "100%"}, {"limit": "125%"}]
    evaluation = judge("total_ltv <= stepped", limits={"stepped": {"unit": "percent", "rows": rows}})
    assert changes(evaluation)["cash_down"] == "1000.00"  # 130 % against 100 %; at the step 120 % against 125 %


def test_a_rule_kept_at_one_cent_only_is_met_at_this_cent(judge: Judges) -> None:
    assert changes(judge("amount_financed == $12,345.67"))["cash_down"] == "654.33"


def test_the_first_of_two_ranges_that_pass_is_taken(judge: Judges) -> None:
    between = "amount_financed == $12,900 or amount_financed <= $12,000"
    assert changes(judge(between))["cash_down"] == "100.00"
    assert changes(judge(between, "amount_financed != $12,900"))["cash_down"] == "1000.00"


def test_a_rule_against_too_much_cash_bounds_the_cure(judge: Judges) -> None:
    assert changes(judge(LTV, "cash_down <= $500"))["cash_down"] == "500.00"
    assert "cash_down" not in changes(judge(LTV, "cash_down <= $499.99"))


def test_a_layered_rule_is_cleared_with_the_rules_it_rests_on(judge: Judges) -> None:
    layered = {"require": 'not (violated("R0") and violated("R1"))', "otherwise": "decline"}
    found = cure(judge(LTV, "amount_financed <= $12,000", layered), "cash_down")
    assert (found.change, found.clears) == (1_000_00, ("R0", "R1", "R2"))


def test_a_mitigated_rule_is_to_be_cleared_too(judge: Judges) -> None:
    evaluation = judge({"require": LTV, "mitigated_by": {"when": "cash_down <= $400", "to": "flag"}})
    assert evaluation.findings[0].result is Result.MITIGATED
    assert changes(evaluation)["cash_down"] == "500.00"


def test_a_rule_that_no_longer_applies_is_cleared(judge: Judges) -> None:
    evaluation = judge({"require": LTV, "applies": "amount_financed > $12,999.99"})
    assert changes(evaluation)["cash_down"] == "0.01"


# No cure


def test_a_deal_that_breaks_nothing_has_neither_cures_nor_reasons(judge: Judges) -> None:
    document = judge(LTV, cash_price="12500.00").document()
    assert (document["cures"], document["unfixable"]) == ([], [])


def test_a_deal_that_only_cannot_be_judged_has_no_cures(judge: Judges) -> None:
    assert judge("credit_score >= 620").cures == ((), ())


def test_a_lever_that_the_broken_rule_does_not_read_is_told_as_such(judge: Judges) -> None:
    evaluation = judge("term_months <= 60", "mileage < 1000", vehicle={"condition": "used", "mileage": 2000})
    assert reason(evaluation, "cash_down") == "R0 and R1 do not turn on cash down."
    assert reason(evaluation, "term_months") == "R1 does not turn on the term."
    assert [found.lever for found in evaluation.cures.unfixable] == list(LEVERS)


def test_a_rule_that_stays_broken_all_along_is_named(judge: Judges) -> None:
    trade = {"kind": "loan", "allowance": "0.00", "payoff": "100.00"}
    evaluation = judge(LTV, trade_ins=[trade], products=[{"kind": "gap", "price": "99.00"}])
    assert reason(evaluation, "payoff") == "No part of the payoff, paid outside the deal, clears R0."
    assert reason(evaluation, "products") == "No choice of products to drop clears R0."
    assert next(found.rules for found in evaluation.cures.unfixable if found.lever == "payoff") == ("R0",)


def test_where_there_is_nothing_to_change_the_reason_says_so(judge: Judges) -> None:
    evaluation = judge("amount_financed <= $12,000", vehicle={"condition": "used"})
    assert reason(evaluation, "products") == "The deal has no products to drop."
    assert reason(evaluation, "payoff") == "The deal states no payoff."
    evaluation = judge("collateral_value > amount_financed or amount_financed < $1", vehicle={"condition": "used"})
    assert evaluation.cures == ((), ())


def test_no_cure_takes_away_the_whole_loan(judge: Judges) -> None:
    assert changes(judge("amount_financed <= $0.01"))["cash_down"] == "12999.99"
    evaluation = judge("amount_financed <= $0.00")
    assert "cash_down" not in changes(evaluation)
    assert reason(judge("amount_financed > $1", cash_price="0.01"), "cash_down") == "There is no room to change it."


def test_shorter_and_longer_terms_may_fail_for_reasons_of_their_own(judge: Judges) -> None:
    evaluation = judge("term_months > 60 and term_months < 54", "term_months <= 57", term_months=57)
    assert reason(evaluation, "term_months") == ("No term from 1 to 240 months clears R0.")
    evaluation = judge("amount_financed / term_months <= $300", "term_months <= 40", term_months=36)
    assert (
        reason(evaluation, "term_months") == "No shorter term clears R0; no longer one clears R0 without breaking R1."
    )


# What is unknown, and a stated payment


def test_what_was_unknown_may_stay_unknown(judge: Judges) -> None:
    evaluation = judge(LTV, "credit_score >= 620")
    assert changes(evaluation)["cash_down"] == "500.00"
    assert cure(evaluation, "cash_down").clears == ("R0",)


def test_a_change_after_which_a_rule_cannot_be_judged_any_more_is_no_cure(judge: Judges) -> None:
    # Without a rate, the payment of the changed deal is unknown; as stated it was judged.
    evaluation = judge(LTV, "monthly_payment <= $400", monthly_payment="300.00")
    assert reason(evaluation, "cash_down") == (
        "No cash down short of the whole amount financed clears R0 without leaving R1 unjudged."
    )
    assert changes(evaluation) == {"collateral_value": "400.00"}  # a higher book value leaves the payment as stated


def test_a_stated_payment_is_worked_out_anew_and_the_cure_says_so(judge: Judges) -> None:
    evaluation = judge(LTV, monthly_payment="250.00", apr_percent="0.00", term_months=50)
    found = cure(evaluation, "cash_down")
    assert found.explanation == (
        "$500.00 more cash down, $500.00 in all, clears R0. The stated payment is worked out anew: $250.00."
    )
    assert (found.monthly_payment, found.deal.monthly_payment) == (250_00, None)
    assert found.document()["monthly_payment"] == "250.00"
    assert cure(evaluation, "collateral_value").deal.monthly_payment == 250_00


def test_a_payment_that_a_policy_defines_in_its_own_way_is_not_told_as_the_one_to_state(judge: Judges) -> None:
    """Stated again it would be counted with the insurance twice, and the deal would still break the rule."""
    reckoned = "first_known(given_monthly_payment, level_payment(amount_financed, apr_percent, term_months))"
    own = {"monthly_payment": {"unit": "money", "formula": f"{reckoned} + $50"}}
    found = cure(judge("monthly_payment <= $200", measures=own, apr_percent="0", monthly_payment="180.00"), "cash_down")
    assert found.explanation.endswith("clears R0. The stated payment is worked out anew.")
    assert "monthly_payment" not in found.document()
    kept = judge("monthly_payment <= $240", measures=own, apr_percent="0", monthly_payment="200.00")
    assert reason(kept, "cash_down") == (
        "With the payment worked out instead of the stated $200.00 no rule is broken: check the payment."
    )


def test_where_only_the_stated_payment_is_in_the_way_no_lever_is_pulled(judge: Judges) -> None:
    evaluation = judge("monthly_payment <= $260", monthly_payment="270.00", apr_percent="0.00", term_months=50)
    assert evaluation.cures.offered == ()
    assert reason(evaluation, "cash_down") == (
        "With the payment worked out, $260.00, instead of the stated $270.00 no rule is broken: check the payment."
    )


# The proof and its limits


class Doubting:
    """An engine that agrees with the reference on deals without cash down, and differs on all others."""

    def __init__(self, policy: Policy) -> None:
        self.engine = Engine(policy)

    def evaluate(self, facts: Facts, reckoning: Reckoning) -> dict[str, Result]:
        results = self.engine.evaluate(facts, reckoning)
        return dict.fromkeys(results, Result.VIOLATED) if facts["cash_down"] else results


def test_a_change_that_the_engine_does_not_confirm_is_not_offered(
    write_policy: Callable[..., str], small_deal: Callable[..., Deal]
) -> None:
    policy = CompiledPolicy(Policy.from_text(write_policy(LTV)), Doubting)
    evaluation = policy.evaluate(small_deal(cash_price="13000.00"))
    assert list(changes(evaluation)) == ["cash_price", "collateral_value"]
    found = next(found for found in evaluation.cures.unfixable if found.lever == "cash_down")
    assert (found.proved, found.rules) == (False, ("R0",))
    assert found.reason == "A change was found, but the rules engine did not confirm it."


class Failing:
    """An engine that confirms the deal as it is and fails on every changed one."""

    def __init__(self, policy: Policy) -> None:
        self.engine = Engine(policy)
        self.asked = 0

    def evaluate(self, facts: Facts, reckoning: Reckoning) -> dict[str, Result]:
        self.asked += 1
        if self.asked > 1:
            raise TimeoutError
        return self.engine.evaluate(facts, reckoning)


def test_an_engine_that_failed_on_one_cure_is_not_asked_for_another(
    write_policy: Callable[..., str], small_deal: Callable[..., Deal]
) -> None:
    policy = CompiledPolicy(Policy.from_text(write_policy(LTV)), Failing)
    evaluation = policy.evaluate(small_deal(cash_price="13000.00"))
    assert evaluation.cures.offered == ()
    assert [found.lever for found in evaluation.cures.unfixable if not found.proved] == [
        "cash_down",
        "cash_price",
        "collateral_value",
    ]
    assert isinstance(policy.engine, Failing)
    assert policy.engine.asked == 2


def test_where_the_engine_does_not_confirm_the_deal_itself_nothing_is_searched(
    write_policy: Callable[..., str], small_deal: Callable[..., Deal]
) -> None:
    policy = CompiledPolicy(Policy.from_text(write_policy(LTV, "term_months <= 72")), Doubting)
    cures, unfixable = policy.evaluate(small_deal(cash_price="14000.00", cash_down="1.00")).cures
    assert cures == ()
    assert {(found.reason, found.proved) for found in unfixable} == {
        ("Not searched: the rules engine did not confirm the deal as it is.", False)
    }


def test_a_search_that_is_given_up_proves_nothing_and_says_so(judge: Judges) -> None:
    # Never above zero; but a range cannot know that both sides are the same number.
    evaluation = judge("cash_down / amount_financed - cash_down / amount_financed > 0%")
    found = next(found for found in evaluation.cures.unfixable if found.lever == "cash_down")
    assert not found.proved
    assert found.document()["proved"] is False
    assert "was found that clears R0; the search was given up before its end" in found.reason


def test_more_products_than_can_be_tried_are_not_searched(judge: Judges) -> None:
    products = [{"kind": f"product_{number}", "price": "100.00"} for number in range(13)]
    evaluation = judge("amount_financed <= $13,100", products=products)
    found = next(found for found in evaluation.cures.unfixable if found.lever == "products")
    assert (found.reason, found.proved) == ("Not searched: the deal has more than 12 products.", False)


def test_nothing_is_searched_before_somebody_asks(judge: Judges) -> None:
    evaluation = judge(LTV)
    assert evaluation.outcome == "refer"
    assert evaluation.findings
    assert "cures" not in vars(evaluation)
    assert evaluation.cures is evaluation.cures


# On whole deals


def money(least: int, most: int) -> st.SearchStrategy[str]:
    return st.integers(least, most).map(hundredths)


WHOLE_DEALS = st.fixed_dictionaries(
    {
        "deal_id": st.just("D"),
        "submitted_on": st.just("2026-11-20"),
        "applicant": st.fixed_dictionaries(
            {
                "tier": st.sampled_from("ABCD"),
                "credit_score": st.integers(600, 800),
                "monthly_income": money(3_000_00, 9_000_00),
                "monthly_debt": money(0, 2_000_00),
                "covered_borrower": st.booleans(),
                "first_time_buyer": st.booleans(),
            }
        ),
        "vehicle": st.fixed_dictionaries(
            {
                "condition": st.just("used"),
                "model_year": st.integers(2014, 2026),
                "mileage": st.integers(0, 130_000),
                "values": money(8_000_00, 40_000_00).map(
                    lambda amount: [{"basis": "jdpower_clean_trade", "amount": amount}]
                ),
            }
        ),
        "cash_price": money(8_000_00, 50_000_00),
        "cash_down": money(0, 5_000_00),
        "products": st.lists(
            st.fixed_dictionaries(
                {
                    "kind": st.sampled_from(["gap", "service_contract", "tire_and_wheel"]),
                    "price": money(100_00, 3_000_00),
                }
            ),
            max_size=3,
        ),
        "trade_ins": st.lists(
            money(1_000_00, 20_000_00).flatmap(
                lambda allowance: st.fixed_dictionaries(
                    {
                        "kind": st.just("loan"),
                        "allowance": st.just(allowance),
                        "acv": st.just(allowance),
                        "payoff": money(1_000_00, 28_000_00),
                    }
                )
            ),
            max_size=1,
        ),
        "term_months": st.integers(24, 96),
        "apr_percent": st.sampled_from(["0.00", "6.90", "14.99"]),
    }
)
SHIPPED = {name: check_policy(load_policy(name)) for name in ("prime-auto", "subprime-auto")}


def changed(document: Document, lever: str, change: int, drop: tuple[str, ...] = ()) -> Document:
    """The deal's document after a change by hand."""
    match lever:
        case "cash_down":
            return {**document, "cash_down": hundredths(cents(document["cash_down"]) + change)}
        case "cash_price":
            return {**document, "cash_price": hundredths(cents(document["cash_price"]) - change)}
        case "payoff":
            (trade,) = document["trade_ins"]
            return {**document, "trade_ins": [{**trade, "payoff": hundredths(cents(trade["payoff"]) - change)}]}
        case "term_months":
            return {**document, "term_months": document["term_months"] + change}
        case "collateral_value":
            (value,) = document["vehicle"]["values"]
            value = {**value, "amount": hundredths(cents(value["amount"]) + change)}
            return {**document, "vehicle": {**document["vehicle"], "values": [value]}}
    kept = list(document["products"])
    for kind in drop:
        kept.remove(next(product for product in kept if product["kind"] == kind))
    return {**document, "products": kept}


@pytest.mark.parametrize("name", SHIPPED)
@given(document=WHOLE_DEALS)
@settings(max_examples=150)
def test_a_cure_applied_to_the_deal_passes_and_one_cent_less_does_not(name: str, document: Document) -> None:
    policy = SHIPPED[name]
    before = policy.evaluate(Deal.read(document))
    assume(before.cures.offered)
    results = {finding.rule: finding.result for finding in before.findings}
    for found in before.cures.offered:
        if found.lever == "products":
            continue  # against every other choice in test_cures_exhaustively
        after = policy.evaluate(Deal.read(changed(document, found.lever, found.change)))
        assert after.engine["agreed"]
        assert is_cured(results, {finding.rule: finding.result for finding in after.findings})
        assert facts_of(found.deal) == facts_of(Deal.read(changed(document, found.lever, found.change)))
        step = 1 if found.change > 0 else -1
        less = policy.evaluate(Deal.read(changed(document, found.lever, found.change - step)))
        assert not is_cured(results, {finding.rule: finding.result for finding in less.findings})


def test_a_search_that_fails_costs_its_lever_and_not_the_decision(
    judge: Judges, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Sweep, motion: Motion) -> Search:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(Sweep, "along", fails)
    document = judge(LTV, products=[{"kind": "gap", "price": "600.00"}]).document()
    assert (document["outcome"], document["findings"][0]["result"]) == ("refer", "violated")
    assert document["cures"] == []
    failed = [found for found in document["unfixable"] if "ZeroDivisionError: a mistake of ours" in found["reason"]]
    assert {found["lever"] for found in failed} >= {"cash_down", "cash_price"}
    assert all(found["rules"] == ["R0"] and not found["proved"] for found in failed)
