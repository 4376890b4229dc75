"""Stale inputs: payoff quotes past their good-through dates, old book values, old credit reports; days as datetime counts them."""

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dealgate import CompiledPolicy, Deal, DealError, Policy, evaluate
from dealgate.adapters.policies import check_policy, load_policy
from dealgate.adapters.portfolio.engines import open_engine
from dealgate.rules.evaluation import Evaluation
from dealgate.rules.privacy import personal_parts
from dealgate.rules.reading import shipped_measures
from dealgate.rules.review import review_policy
from dealgate.rules.staleness import in_words
from tests.booked import assert_same, random_deals

Document = dict[str, Any]
WritePolicy = Callable[..., str]

EXAMPLE = Path(__file__).parents[2] / "examples" / "stale_inputs.yaml"
LATER = {name for name, measure in shipped_measures().items() if measure.only_where_read}

QUOTE: Document = {
    "kind": "loan", "allowance": "14000.00", "acv": "12500.00", "payoff": "18000.00",
    "lienholder": "First Bank", "payoff_good_through": "2026-12-01", "per_diem": "4.50",
}  # fmt: skip
SECOND: Document = {"kind": "loan", "allowance": "4000.00", "acv": "4000.00", "payoff": "2500.00"}
WORKED: Document = {
    "deal_id": "W-1", "submitted_on": "2026-11-20", "expected_funding_on": "2026-12-15",
    "vehicle": {"condition": "used", "values": [{"basis": "kbb_trade_in", "amount": "29500.00", "as_of": "2026-11-18"}]},
    "cash_price": "30000.00", "sales_tax": "1800.00", "title_and_registration": "600.00",
    "products": [{"kind": "service_contract", "price": "1500.00"}, {"kind": "gap", "price": "800.00"}],
    "trade_ins": [QUOTE, {**SECOND, "payoff_good_through": "2026-12-31", "per_diem": "1.00"}],
    "cash_down": "1000.00", "rebate": "500.00", "term_months": 72, "apr_percent": "9.00",
}  # fmt: skip
"""The worked deal of the domain's reference: its first quote is 14 days old at funding, and the deal 63.00 short."""


def judged(require: str, write_policy: WritePolicy, **changes: Any) -> Evaluation:
    evaluation = evaluate(Deal.read({**WORKED, **changes}), Policy.from_text(write_policy(require)))
    assert evaluation.engine["agreed"]
    return evaluation


def measure(evaluation: Evaluation, name: str) -> Any:
    return evaluation.measures[name]["value"]


def test_the_worked_deal_is_63_dollars_short_two_weeks_after_the_quote(write_policy: WritePolicy) -> None:
    found = judged("payoff_at_funding <= trade_payoff", write_policy)
    expected = {
        "days_past_good_through": 14,
        "per_diem_past_good_through": "63.00",
        "trade_payoff": "20500.00",
        "payoff_at_funding": "20563.00",
        "amount_financed": "35700.00",
        "amount_financed_at_funding": "35763.00",
        "contract_negative_equity": "2500.00",
        "negative_equity_at_funding": "2563.00",
        "book_value_age": 2,
    }
    assert {name: measure(found, name) for name in expected} == expected


LEASE, OWNED = {**QUOTE, "kind": "lease"}, {"kind": "none", "allowance": "9000.00"}


def without(trade: Document, *names: str) -> Document:
    return {name: value for name, value in trade.items() if name not in names}


@pytest.mark.parametrize(
    ("trades", "funding", "days", "per_diem"),
    [
        ([QUOTE], "2026-11-30", 0, "0.00"),
        ([QUOTE], "2026-12-01", 0, "0.00"),
        ([QUOTE], "2026-12-02", 1, "4.50"),
        ([LEASE], "2026-12-03", 2, "9.00"),
        ([{**QUOTE, "payoff_good_through": "2027-12-31"}], "2028-03-01", 61, "274.50"),
        ([{**QUOTE, "payoff_good_through": "2028-02-28"}], "2028-03-01", 2, "9.00"),
        ([{**QUOTE, "payoff_good_through": "2027-02-28"}], "2027-03-01", 1, "4.50"),
        ([{**QUOTE, "payoff_good_through": "2028-02-29"}], "2028-02-29", 0, "0.00"),
        ([QUOTE, {**QUOTE, "payoff_good_through": "2026-12-03", "per_diem": "1.00"}], "2026-12-04", 3, "14.50"),
        ([{**QUOTE, "payoff_good_through": "2026-12-31"}, QUOTE], "2026-12-05", 4, "18.00"),
        ([], None, 0, "0.00"),
        ([OWNED], None, 0, "0.00"),
        ([{**OWNED, "payoff_good_through": "2020-01-01", "per_diem": "4.50"}], "2026-12-15", 0, "0.00"),
        ([{**QUOTE, "payoff": "0.00"}], None, 0, "0.00"),
        ([QUOTE], None, None, None),
        ([without(QUOTE, "payoff_good_through")], "2026-12-01", None, None),
        ([QUOTE, without(QUOTE, "payoff_good_through")], "2026-12-15", None, None),
        ([without(QUOTE, "payoff")], "2026-12-01", None, "0.00"),
        ([without(QUOTE, "payoff")], "2026-12-02", None, None),
        ([without(QUOTE, "per_diem")], "2026-12-01", 0, "0.00"),
        ([without(QUOTE, "per_diem")], "2026-12-02", 1, None),
    ],
)  # fmt: skip
def test_a_quote_goes_stale_by_the_day(
    trades: list[Document], funding: str | None, days: int | None, per_diem: str | None, write_policy: WritePolicy
) -> None:
    found = judged("days_past_good_through <= 0", write_policy, trade_ins=trades, expected_funding_on=funding)
    assert (measure(found, "days_past_good_through"), measure(found, "per_diem_past_good_through")) == (days, per_diem)
    expected = "not_evaluable" if days is None else "violated" if days else "pass"
    assert found.results == {"R0": expected}


@pytest.mark.parametrize(
    ("require", "changes", "missing"),
    [
        ("days_past_good_through <= 0", {"expected_funding_on": None}, ["expected_funding_on"]),
        ("days_past_good_through <= 0", {"trade_ins": [{"kind": "loan"}]}, ["trade_ins[0].payoff"]),
        ("days_past_good_through <= 0", {"trade_ins": [QUOTE, SECOND]}, ["trade_ins[1].payoff_good_through"]),
        ("payoff_at_funding <= $1", {"trade_ins": [without(QUOTE, "per_diem")]}, ["trade_ins[0].per_diem"]),
        ("credit_report_age <= 30", {}, ["applicant.credit_report_as_of"]),
        ("book_value_age <= 30", {"vehicle": {"condition": "used"}}, ["vehicle.values[jdpower_clean_trade | kbb_trade_in]"]),
        (
            "book_value_age <= 30",
            {"vehicle": {"condition": "used", "values": [{"basis": "kbb_trade_in", "amount": "1.00"}]}},
            ["vehicle.values[kbb_trade_in].as_of (on or before submitted_on)"],
        ),
        (
            'days(book_value_as_of("msrp"), submitted_on) <= 30',
            {},
            ["vehicle.values[msrp].as_of (on or before submitted_on)"],
        ),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(
    require: str, changes: Document, missing: list[str], write_policy: WritePolicy
) -> None:
    (finding,) = judged(require, write_policy, **changes).findings
    assert finding.result == "not_evaluable"
    assert list(finding.missing) == missing


@pytest.mark.parametrize(
    ("values", "age"),
    [
        ([("kbb_trade_in", "2026-11-20")], 0),
        ([("kbb_trade_in", "2026-10-20")], 31),
        ([("kbb_trade_in", "2026-11-21")], None),
        ([("kbb_trade_in", "2026-10-20"), ("jdpower_clean_trade", "2026-11-10")], 10),
        ([("kbb_trade_in", "2026-10-20"), ("jdpower_clean_trade", None)], None),
        ([("msrp", "2026-10-20")], None),
    ],
)
def test_the_age_is_that_of_the_value_that_was_taken(
    values: list[tuple[str, str | None]], age: int | None, write_policy: WritePolicy
) -> None:
    carried = [{"basis": basis, "amount": "29500.00", "as_of": as_of} for basis, as_of in values]
    found = judged("book_value_age <= 30", write_policy, vehicle={"condition": "used", "values": carried})
    assert measure(found, "book_value_age") == age


@pytest.mark.parametrize(
    ("require", "changes", "words"),
    [
        (
            "days_past_good_through <= 0", {},
            "Days past payoff quote is 14; the policy allows 0. 14 over. The payoff quote of First Bank was good through "
            "Dec 1, 2026; funding is expected 14 days later; at $4.50 a day, $63.00 is missing. Ask for a quote that is good "
            "through Dec 15, 2026.",
        ),
        (
            "days_past_good_through <= 0",
            {"trade_ins": [without(QUOTE, "lienholder", "per_diem")], "expected_funding_on": "2026-12-02"},
            "Days past payoff quote is 1; the policy allows 0. 1 over. The payoff quote for trade-in 1 was good through "
            "Dec 1, 2026; funding is expected 1 day later. Ask for a quote that is good through Dec 2, 2026.",
        ),
        (
            "book_value_age <= 30",
            {"vehicle": {"condition": "used", "values": [{"basis": "kbb_trade_in", "amount": "1.00", "as_of": "2026-10-01"}]}},
            "Book value age in days is 50; the policy allows 30. 20 over. The vehicle has a KBB trade-in value of Oct 1, 2026, "
            "50 days before the deal was submitted. Look it up again.",
        ),
        (
            'days(book_value_as_of("kbb_trade_in"), submitted_on) <= 1', {},
            'Days(book_value_as_of("kbb_trade_in"), submitted_on) is 2; the policy allows 1. 1 over. The vehicle has a KBB trade-in '
            "value of Nov 18, 2026, 2 days before the deal was submitted. Look it up again.",
        ),
        (
            "credit_report_age < 31", {"applicant": {"credit_report_as_of": "2026-10-20"}},
            "Credit report age in days is 31; the policy allows less than 31. Exactly at the limit. The credit report is of "
            "Oct 20, 2026, 31 days before the deal was submitted. A new one is needed.",
        ),
        (
            "amount_financed_at_funding <= $35,700", {},
            "Amount financed at funding is $35,763.00; the policy allows $35,700.00. $63.00 over. The payoff quote of First Bank "
            "was good through Dec 1, 2026; funding is expected 14 days later; at $4.50 a day, $63.00 is missing. Ask for a quote "
            "that is good through Dec 15, 2026.",
        ),
        ("amount_financed <= $35,000", {}, "Amount financed is $35,700.00; the policy allows $35,000.00. $700.00 over."),
    ],
)  # fmt: skip
def test_a_dealer_reads_which_input_is_stale_and_what_to_ask_for(
    require: str, changes: Document, words: str, write_policy: WritePolicy
) -> None:
    (finding,) = judged(require, write_policy, **changes).findings
    told = finding.explanation
    assert told[0].lower() + told[1:] == words[0].lower() + words[1:]


def test_what_two_parts_of_a_comparison_read_is_told_once(write_policy: WritePolicy) -> None:
    (finding,) = judged(
        'days(book_value_as_of("kbb_trade_in"), submitted_on) + book_value_age <= 1', write_policy
    ).findings
    assert finding.explanation.count("The vehicle has a KBB trade-in value of Nov 18, 2026") == 1


def test_no_lever_of_the_structure_is_said_to_mend_a_date(write_policy: WritePolicy) -> None:
    evaluation = judged("credit_report_age <= 30", write_policy, applicant={"credit_report_as_of": "2026-10-01"})
    assert evaluation.cures.offered == ()
    assert {unfixable.rules for unfixable in evaluation.cures.unfixable} == {("R0",)}
    assert all("not turn on" in unfixable.reason for unfixable in evaluation.cures.unfixable)


def test_the_date_of_a_report_is_of_a_consumer_report_and_not_personal(write_policy: WritePolicy) -> None:
    policy = Policy.from_text(write_policy("credit_report_age <= 30", "book_value_age <= 30"))
    report, value = evaluate(Deal.read(WORKED), policy).findings
    assert (report.used_consumer_report, value.used_consumer_report) == (True, False)
    assert not personal_parts(policy).rules
    assert personal_parts(Policy.from_text(write_policy("payoff_at_funding <= $1"))).rules == {"R0"}
    assert not personal_parts(policy).measures & LATER


@pytest.mark.parametrize(
    ("changes", "field", "value", "words"),
    [
        ({"expected_funding_on": "2026-11-19"}, "expected_funding_on", "'2026-11-19'", "before the deal is submitted, on 2026-11-20"),
        (
            {"applicant": {"credit_report_as_of": "2026-11-21"}},
            "applicant.credit_report_as_of", "'2026-11-21'", "after the deal is submitted, on 2026-11-20",
        ),
        ({"expected_funding_on": "2026-12-32"}, "expected_funding_on", "'2026-12-32'", "date"),
        ({"trade_ins": [{"kind": "loan", "payoff_good_through": "12/01/26"}]}, "trade_ins[0].payoff_good_through", "'12/01/26'", "date"),
    ],
)  # fmt: skip
def test_a_date_that_cannot_be_is_refused(changes: Document, field: str, value: str, words: str) -> None:
    with pytest.raises(DealError) as caught:
        Deal.read({**WORKED, **changes})
    (problem,) = caught.value.problems
    assert (problem.field, problem.value) == (field, value)
    assert words in problem.message
    assert problem.remedy


def test_every_date_that_cannot_be_is_told_at_once() -> None:
    with pytest.raises(DealError) as caught:
        Deal.read(
            {
                **WORKED,
                "expected_funding_on": "2026-11-19",
                "applicant": {"credit_report_as_of": "2026-11-21"},
                "rebate": "-1",
            }
        )
    assert {problem.field for problem in caught.value.problems} == {
        "expected_funding_on", "applicant.credit_report_as_of", "rebate",
    }  # fmt: skip


def test_the_days_of_submission_itself_are_taken() -> None:
    day = "2026-11-20"
    Deal.read({**WORKED, "expected_funding_on": day, "applicant": {"credit_report_as_of": day}})


# The language


@given(start=st.dates(), end=st.dates(), whole=st.integers(-4_000_000, 4_000_000))
@settings(max_examples=60)
def test_days_are_what_datetime_counts(start: date, end: date, whole: int) -> None:
    text = json.dumps(
        {
            "policy": "days", "version": "1", "title": "Days", "effective_from": "2026-01-01",
            "measures": {"between": {"unit": "count", "formula": "greatest(trade_ins, days(submitted_on, payoff_good_through))"}},
            "rules": [
                {"id": "AT-MOST", "title": "T", "require": f"sum(trade_ins, days(payoff_good_through, submitted_on)) <= {whole}",
                 "otherwise": "flag", "reason": "R"},
                {"id": "ORDER", "title": "T", "require": "count(trade_ins, payoff_good_through <= submitted_on) == 1",
                 "otherwise": "flag", "reason": "R"},
            ],
        }
    )  # fmt: skip
    trade = {"kind": "loan", "payoff_good_through": end.isoformat()}
    found = evaluate(
        Deal.read({**without(WORKED, "expected_funding_on"), "submitted_on": start.isoformat(), "trade_ins": [trade]}),
        Policy.from_text(text),
    )
    midnight = datetime.min.time()
    days = (datetime.combine(end, midnight) - datetime.combine(start, midnight)) // timedelta(days=1)
    assert found.engine["agreed"]
    assert measure(found, "between") == max(0, days)
    assert found.results == {
        "AT-MOST": "pass" if -days <= whole else "violated",
        "ORDER": "pass" if end <= start else "violated",
    }


CALENDAR = [
    date.min, date(1, 12, 31), date(4, 2, 29), date(1582, 10, 15), date(1900, 2, 28), date(1900, 3, 1), date(1999, 12, 31),
    date(2000, 2, 29), date(2000, 12, 31), date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1), date(2024, 12, 31),
    date(2026, 11, 20), date(2100, 2, 28), date(2100, 3, 1), date(2400, 2, 29), date.max,
]  # fmt: skip


DATED_RULES = (
    "days_past_good_through <= 0",
    "book_value_age <= 30",
    "sum(trade_ins, days(submitted_on, payoff_good_through)) >= 0",
    'days(book_value_as_of("invoice"), listed_value_as_of()) == 0',
    "greatest(trade_ins, payoff * 33%, payoff_good_through >= submitted_on) <= $100",
    "greatest(trade_ins, -payoff) == $0",
    "greatest(trade_ins, payoff / per_diem) <= 200%",
    "year(listed_value_as_of()) == year(submitted_on)",
)
DATED = json.dumps(
    {
        "policy": "dated", "version": "1", "title": "Dated", "effective_from": "2026-01-01",
        "collateral_value": {"new": ["invoice", "msrp"], "used": ["jdpower_clean_trade", "kbb_trade_in"]},
        "rules": [
            {"id": f"R{number}", "title": require, "require": require, "otherwise": "flag", "reason": "R"}
            for number, require in enumerate(DATED_RULES)
        ],
    }
)  # fmt: skip


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
def test_days_and_the_greatest_as_columns_over_the_whole_calendar(engine: str, tmp_path: Path) -> None:
    """The shipped measures of these deals come on Spark too, in tests/adapters/portfolio, where it is started once."""
    assert_same(open_engine(engine), Policy.from_text(DATED), [*random_deals(7, 300), *dated_deals()], tmp_path)


def dated_deals() -> list[Deal]:
    deals = []
    for number, submitted in enumerate(CALENDAR):
        for place, other in enumerate(CALENDAR):
            trade = {
                "kind": "loan",
                "payoff_good_through": other.isoformat(),
                "payoff": f"{place}00.00",
                "per_diem": "7.00",
            }
            values = [{"basis": "kbb_trade_in", "amount": "10000.00", "as_of": other.isoformat()}]
            if place % 3 == 0:
                values.append({"basis": "invoice", "amount": "9000.00", "as_of": CALENDAR[number - 1].isoformat()})
            if place % 5 == 0:
                values.append({"basis": "jdpower_clean_trade", "amount": "9500.00"})
            document = {
                **without(WORKED, "expected_funding_on"), "deal_id": f"C-{number}-{place}", "submitted_on": submitted.isoformat(),
                "vehicle": {"condition": ("used", "new")[place % 2], "values": values},
                "trade_ins": [trade, {**trade, "payoff": "350.00"}, OWNED][: place % 4],
            }  # fmt: skip
            deals.append(Deal.read(document))
    return deals


# Policies


def test_what_came_later_stands_in_the_content_of_those_that_read_it(write_policy: WritePolicy) -> None:
    """So the hash of every policy that was recorded before is what it was."""
    plain = Policy.from_text(write_policy("total_ltv <= 125%"))
    assert not LATER & plain.content["measures"].keys()
    reads = Policy.from_text(write_policy("payoff_at_funding <= $20,000"))
    assert LATER & reads.content["measures"].keys() == {"payoff_at_funding", "per_diem_past_good_through"}
    for policy in (plain, reads):
        assert Policy.from_text(policy.canonical).sha256 == policy.sha256


def test_a_policy_of_one_s_own_says_nothing_of_when_its_measures_are_recorded(write_policy: WritePolicy) -> None:
    measures = {"own": {"unit": "count", "formula": "book_value_age", "recorded": "where_read"}}
    with pytest.raises(ValueError, match="recorded"):
        Policy.from_text(write_policy("own <= 30", measures=measures))


def test_the_example_holds_and_nothing_about_it_is_doubtful() -> None:
    document = load_policy(str(EXAMPLE))
    check_policy(document)
    review = review_policy(document.text)
    assert (review.errors, review.warnings) == ((), ())


@pytest.mark.parametrize(
    ("require", "holds"),
    [
        ("days_past_good_through >= 0", True),
        ("book_value_age >= 0", True),
        ("credit_report_age >= 0", True),
        ("days(submitted_on, expected_funding_on) >= 0", True),
        ("payoff_at_funding >= trade_payoff", True),
        ("greatest(trade_ins, payoff - acv) >= $0", True),
        ("days_past_good_through <= 1000", False),
        ("book_value_age <= 30", False),
        ("year(expected_funding_on) == year(submitted_on)", False),
        ("greatest(trade_ins, days(payoff_good_through, submitted_on)) <= days(submitted_on, expected_funding_on)", False),
    ],
)  # fmt: skip
def test_what_is_proved_of_dates(require: str, holds: bool, write_policy: WritePolicy) -> None:
    """A promise that nothing can break is reported; one that some deal breaks is shown by a deal that can be submitted."""
    text = write_policy("term_months <= 72", guarantees=[{"never": f"not ({require})"}])
    review = review_policy(text)
    if holds:
        assert review.proved == 1, review.errors
        return
    (refuted,) = review.errors
    assert refuted.witness
    policy = Policy.from_text(text)
    evaluation = CompiledPolicy(Policy.from_text(write_policy(require))).evaluate(Deal.read(refuted.witness))
    assert evaluation.results == {"R0": "violated"}
    assert policy.guarantees


def test_a_quotient_by_nothing_is_unknown_to_the_proofs_too(write_policy: WritePolicy) -> None:
    for divisor in ("0", "-5"):
        limits = {"never_known": {"unit": "money", "rows": [{"limit": f"cash_price / {divisor}"}]}}
        review = review_policy(write_policy("cash_down <= $5", "cash_down <= never_known", limits=limits))
        told = [str(problem) for problem in (*review.errors, *review.warnings)]
        assert any("R1" in problem or "never_known" in problem for problem in told), told
        assert not any("R0" in problem for problem in told), told


def test_days_are_written_as_a_dealer_reads_them() -> None:
    assert [in_words(date(2026, 12, 1)), in_words(date(2028, 2, 29))] == ["Dec 1, 2026", "Feb 29, 2028"]
