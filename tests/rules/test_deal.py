"""The deal document: what is taken, what is refused, and that a refusal names every mistake with its remedy."""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from dealgate import Deal, DealError
from dealgate.rules.deal import MAX_ITEMS, PartialDeal
from dealgate.rules.stated_values import MAX_DEPTH

Document = dict[str, Any]

LEAST: Document = {
    "deal_id": "D-1",
    "submitted_on": "2026-11-20",
    "vehicle": {"condition": "used"},
    "cash_price": "10000.00",
    "term_months": 72,
}


def placed(path: str, value: object) -> Document:
    """The least deal with a value put at a path such as `vehicle.values[0].amount`; what the path needs is filled in."""
    usual: Mapping[str, Document] = {
        "products": {"kind": "gap", "price": "1.00"},
        "trade_ins": {"kind": "loan"},
        "values": {"basis": "msrp", "amount": "1.00"},
    }
    document: Document = json.loads(json.dumps(LEAST))
    at = document
    *steps, last = path.split(".")
    for step in steps:
        name = step.removesuffix("[0]")
        at = at.setdefault(name, [dict(usual[name])] if step.endswith("[0]") else {})
        at = at[0] if isinstance(at, list) else at
    at[last] = value
    return document


def problems(document: object) -> dict[str, str]:
    """Every field complained about, with message and remedy."""
    with pytest.raises(DealError) as caught:
        Deal.read(document)
    found = {problem.field: f"{problem.message} | {problem.remedy}" for problem in caught.value.problems}
    assert len(found) == len(caught.value.problems), "a field is complained about twice"
    assert all(problem.message and problem.value and problem.remedy for problem in caught.value.problems)
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return found


def only_problem(document: object) -> tuple[str, str]:
    [(field, words)] = problems(document).items()
    return field, words


def in_short(value: object) -> str:
    """The name of a test case: pytest would write out a number of 5,000 digits, and Python would refuse."""
    return ascii(value)[:40] if isinstance(value, str | float) else type(value).__name__


# What is required, and what absence means

PARTS_OF_THE_STRUCTURE = [
    "sales_tax",
    "title_and_registration",
    "doc_fee",
    "cash_down",
    "rebate",
    "prepaid_finance_charge",
]
UNKNOWN_WHEN_ABSENT = ["monthly_payment", "applicant.monthly_income", "applicant.monthly_debt"]
UNKNOWN_IN_A_TRADE = [f"trade_ins[0].{name}" for name in ("allowance", "acv", "payoff", "per_diem")]
OTHER_MONEY = [*UNKNOWN_WHEN_ABSENT, *UNKNOWN_IN_A_TRADE]
ALWAYS_STATED_MONEY = ["cash_price", "products[0].price", "vehicle.values[0].amount"]
EVERY_MONEY = [*PARTS_OF_THE_STRUCTURE, *OTHER_MONEY, *ALWAYS_STATED_MONEY]


def test_the_least_deal_states_five_fields() -> None:
    assert Deal.read(LEAST).document() == LEAST


@pytest.mark.parametrize("name", ["deal_id", "submitted_on", "cash_price", "vehicle", "term_months"])
def test_a_required_field_that_is_missing_is_named(name: str) -> None:
    document = {key: value for key, value in LEAST.items() if key != name}
    assert only_problem(document) == (name, "required field is missing | Add it.")


@pytest.mark.parametrize(
    "path",
    ["vehicle.condition", "products[0].kind", "products[0].price", "trade_ins[0].kind", "vehicle.values[0].basis"],
)
def test_a_required_part_that_is_missing_is_named_with_its_path(path: str) -> None:
    document = placed(path, "x")
    name = path.rpartition(".")[2]
    holder = document[path.split(".", maxsplit=1)[0].removesuffix("[0]")]
    holder = holder.get("values", [holder])[0] if isinstance(holder, dict) else holder[0]
    del holder[name]
    assert only_problem(document) == (path, "required field is missing | Add it.")


@pytest.mark.parametrize("name", PARTS_OF_THE_STRUCTURE)
def test_an_absent_money_part_of_the_structure_is_zero_and_null_is_refused(name: str) -> None:
    assert getattr(Deal.read(LEAST), name) == 0
    field, words = only_problem(placed(name, None))
    assert (field, "null is not an amount" in words, "leave out a part of" in words) == (name, True, True)


@pytest.mark.parametrize("path", [*OTHER_MONEY, "apr_percent", "channel", "dealer_id", "state", "applicant.tier"])
def test_anything_else_absent_or_null_is_unknown_not_zero(path: str) -> None:
    document = placed(path, None)
    assert Deal.read(document).document() == document
    name = path.rpartition(".")[2]
    holder: Any = Deal.read(document)
    for step in path.split(".")[:-1]:
        holder = getattr(holder, step.removesuffix("[0]"))
        holder = holder[0] if isinstance(holder, list) else holder
    assert getattr(holder, name) is None


def test_an_example_may_leave_out_what_a_deal_may_not_and_it_is_unknown() -> None:
    partial = PartialDeal.read({})
    assert (partial.cash_price, partial.term_months, partial.submitted_on, partial.vehicle.condition) == (None,) * 4
    assert (partial.sales_tax, partial.products, partial.trade_ins) == (0, [], [])


# Money and rates


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("0", "0.00"),
        ("12.5", "12.50"),
        ("1500.00", "1500.00"),
        (15500, "15500.00"),
        (0, "0.00"),
        (Decimal("12.50"), "12.50"),
        (Decimal("1e2"), "100.00"),
        ("-0.00", "0.00"),
        ("10000000.00", "10000000.00"),
        (10_000_000, "10000000.00"),
    ],
)
def test_money_is_read_to_the_cent_from_texts_whole_numbers_and_decimals(written: object, stored: str) -> None:
    for path in EVERY_MONEY:
        if (path, stored) != ("monthly_payment", "0.00"):
            assert Deal.read(placed(path, written)).document() == placed(path, stored)


@pytest.mark.parametrize("zero", ["0.00", "0", 0, "-0.00", Decimal(0)])
def test_a_payment_of_zero_is_what_hosts_fill_in_and_is_refused(zero: object) -> None:
    field, words = only_problem(placed("monthly_payment", zero))
    assert (field, words) == (
        "monthly_payment",
        "no loan has a payment of zero | Give the payment, or null to have it reckoned.",
    )
    assert Deal.read(placed("monthly_payment", "0.01")).monthly_payment == 1


def test_a_model_year_is_at_most_two_after_the_year_of_submission() -> None:
    assert Deal.read(placed("vehicle.model_year", 2028)).vehicle.model_year == 2028
    assert only_problem(placed("vehicle.model_year", 2029)) == (
        "vehicle.model_year",
        "more than 2 years after the deal is submitted, on 2026-11-20 | Give the model year of the vehicle.",
    )
    assert PartialDeal.read({"vehicle": {"model_year": 2099}}).vehicle.model_year == 2099, "not submitted on any day"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("GAP", "'gap'"),
        ("Gap Insurance", "'gap_insurance'"),
        ("tire-&-wheel", "'tire_wheel'"),
        ("gap ", "'gap'"),
        ("gap\n", "'gap'"),
        ("gäp", "'g_p'"),
        ("_gap", "'gap'"),
        ("3M", "'gap' or 'service_contract'"),
        ("保険", "'gap' or 'service_contract'"),
    ],
)
def test_a_kind_of_product_has_one_spelling(written: str, meant: str) -> None:
    field, words = only_problem(placed("products[0].kind", written))
    assert field == "products[0].kind"
    assert words.startswith("not a kind of product: lower-case letters, digits and underscores")
    assert words.endswith(f"Write it as the policy does, such as {meant}.")


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (12.5, "a binary float is not exact"),
        (float("nan"), "a binary float is not exact"),
        (True, "not an amount of money"),
        ([1], "not an amount of money"),
        ({"amount": "1"}, "not an amount of money"),
        ("1.005", "more than 2 decimal places"),
        (Decimal("1.500"), "more than 2 decimal places"),
        ("-1.00", "must not be negative"),
        (-1, "must not be negative"),
        ("10000000.01", "above the largest amount, $10,000,000.00"),
        ("1" * 40, "not an amount of money"),
        (10**30, "not an amount of money"),
        (10**5000, "not an amount of money"),
        (Decimal("1e999999"), "not an amount of money"),
        (Decimal("1e-999999"), "not an amount of money"),
        (Decimal("0e-999999999"), "not an amount of money"),
        (Decimal("NaN"), "not an amount of money"),
        (Decimal("Infinity"), "not an amount of money"),
        ("", "not an amount of money"),
        ("1,500.00", "not an amount of money"),
        ("12.", "not an amount of money"),
        (".5", "not an amount of money"),
        ("+12", "not an amount of money"),
        ("1e2", "not an amount of money"),
        (" 12", "not an amount of money"),
        ("12\n", "not an amount of money"),
        ("١٢", "not an amount of money"),
        ("12\0", "not an amount of money"),
        ("\ud800", "not an amount of money"),
    ],
    ids=in_short,
)
def test_what_is_not_an_exact_amount_is_refused(written: object, words: str) -> None:
    for path in EVERY_MONEY:
        field, said = only_problem(placed(path, written))
        assert (field, words in said) == (path, True), said


@pytest.mark.parametrize(
    ("written", "stored"), [("7.9", "7.90"), ("0", "0.00"), (8, "8.00"), ("7.1234", "7.1234"), ("999.9999", "999.9999")]
)
def test_a_rate_is_read_in_percent_to_four_places(written: object, stored: str) -> None:
    assert Deal.read(placed("apr_percent", written)).document()["apr_percent"] == stored


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (7.9, "a binary float is not exact"),
        ("7.90%", "not a rate in percent"),
        ("7.12345", "more than 4 decimal places"),
        ("1000", "not a rate in percent"),
        ("-1", "must not be negative"),
        (True, "not a rate in percent"),
    ],
)
def test_what_is_not_an_exact_rate_is_refused(written: object, words: str) -> None:
    field, said = only_problem(placed("apr_percent", written))
    assert field == "apr_percent"
    assert words in said


# Every other field, at its boundaries

GOOD = [
    ("deal_id", "x"),
    ("deal_id", "x" * 100),
    ("submitted_on", "2024-02-29"),
    ("channel", "indirect"),
    ("channel", "direct"),
    ("dealer_id", "DLR 7 ü"),
    ("state", "TX"),
    ("applicant.tier", "B"),
    ("applicant.credit_score", 250),
    ("applicant.credit_score", 900),
    ("applicant.first_time_buyer", True),
    ("applicant.covered_borrower", False),
    ("vehicle.vin", "1HGCV1F30NA000001"),
    ("vehicle.vin", "A1234"),
    ("vehicle.condition", "new"),
    ("vehicle.model_year", 1900),
    ("vehicle.model_year", 2028),
    ("vehicle.mileage", 0),
    ("vehicle.mileage", 10_000_000),
    ("vehicle.values", []),
    ("vehicle.values[0].basis", "house value"),
    ("vehicle.values[0].as_of", "2026-01-31"),
    ("products", []),
    ("products[0].kind", "gap"),
    ("trade_ins", []),
    ("trade_ins[0].kind", "lease"),
    ("trade_ins[0].kind", "none"),
    ("trade_ins[0].lienholder", "First Bank"),
    ("trade_ins[0].payoff_good_through", "2026-12-01"),
    ("term_months", 1),
    ("term_months", 600),
    ("metadata", {}),
    ("metadata", {"any": ["thing", 1, None, True, {"deep": "er"}]}),
    ("metadata", {"any": [2**53 - 1, -(2**53) + 1, 2**53, -(10**17), 1e300]}),
]

BAD = [
    ("deal_id", "", "at least 1 character"),
    ("deal_id", "x" * 101, "at most 100 characters"),
    ("deal_id", 7, "valid string"),
    ("deal_id", None, "valid string"),
    ("deal_id", "a\0b", "match pattern"),
    ("deal_id", "a\nb", "match pattern"),
    ("deal_id", "\ud800", "unicode"),
    ("submitted_on", "2026-02-30", "valid date"),
    ("submitted_on", "2026-2-3", "not a calendar date"),
    ("submitted_on", "20.11.2026", "not a calendar date"),
    ("submitted_on", "2026-11-20T00:00:00", "not a calendar date"),
    ("submitted_on", "2026-11-20\n", "not a calendar date"),
    ("submitted_on", "٢٠٢٦-11-20", "not a calendar date"),
    ("submitted_on", 0, "not a calendar date"),
    ("submitted_on", 86_400.0, "not a calendar date"),
    ("submitted_on", Decimal(86_400), "not a calendar date"),
    ("submitted_on", datetime(2026, 11, 20, tzinfo=UTC), "not a calendar date"),
    ("submitted_on", None, "not a calendar date"),
    ("channel", "internet", "'indirect' or 'direct'"),
    ("channel", "Direct", "'indirect' or 'direct'"),
    ("state", "tx", "match pattern"),
    ("state", "TEX", "match pattern"),
    ("state", "TX\n", "match pattern"),
    ("applicant", None, "valid dictionary"),
    ("applicant.tier", 2, "valid string"),
    ("applicant.credit_score", 249, "greater than or equal to 250"),
    ("applicant.credit_score", 901, "less than or equal to 900"),
    ("applicant.credit_score", "684", "valid integer"),
    ("applicant.credit_score", 684.0, "valid integer"),
    ("applicant.credit_score", True, "valid integer"),
    ("applicant.first_time_buyer", 1, "valid boolean"),
    ("vehicle", None, "valid dictionary"),
    ("vehicle", [], "valid dictionary"),
    ("vehicle.vin", "1HGCV1F30NA00000I", "match pattern"),
    ("vehicle.vin", "A123", "at least 5 characters"),
    ("vehicle.condition", "certified", "'new' or 'used'"),
    ("vehicle.condition", None, "'new' or 'used'"),
    ("vehicle.model_year", 1899, "greater than or equal to 1900"),
    ("vehicle.model_year", 2101, "less than or equal to 2100"),
    ("vehicle.mileage", -1, "greater than or equal to 0"),
    ("vehicle.mileage", 10_000_001, "less than or equal to 10000000"),
    ("vehicle.mileage", 31200.5, "valid integer"),
    ("vehicle.values", None, "valid list"),
    ("vehicle.values", {}, "valid list"),
    ("products", [{"kind": "gap", "price": "1"}] * (MAX_ITEMS + 1), "at most 100 items"),
    ("products[0].kind", "", "at least 1 character"),
    ("trade_ins", None, "valid list"),
    ("trade_ins[0].kind", "cash", "'loan', 'lease' or 'none'"),
    ("trade_ins[0].payoff_good_through", "soon", "not a calendar date"),
    ("trade_ins[0].lienholder", "\0", "match pattern"),
    ("term_months", 0, "greater than or equal to 1"),
    ("term_months", 601, "less than or equal to 600"),
    ("term_months", 10**5000, "less than or equal to 600"),
    ("term_months", "72", "valid integer"),
    ("term_months", Decimal(72), "valid integer"),
    ("term_months", True, "valid integer"),
    ("term_months", None, "valid integer"),
    ("metadata", [], "valid dictionary"),
    ("metadata", {"x": float("nan")}, "JSON cannot carry"),
    ("metadata", {"x": [float("inf")]}, "JSON cannot carry"),
    ("metadata", {"x": Decimal("1e400")}, "JSON cannot carry"),
    ("metadata", {"x": 10**5000}, "JSON cannot carry"),
    ("metadata", {"x": [2**53 + 1]}, "JSON cannot carry"),
    ("metadata", {"x": -(2**53) - 1}, "JSON cannot carry"),
    ("metadata", {"x": "\ud800"}, "JSON cannot carry"),
    ("metadata", {"\udfff": 1}, "JSON cannot carry"),
]


@pytest.mark.parametrize(("path", "value"), GOOD, ids=in_short)
def test_a_field_takes_what_it_is_for_and_gives_it_back(path: str, value: object) -> None:
    assert Deal.read(placed(path, value)).document() == placed(path, value)


@pytest.mark.parametrize(("path", "value", "words"), BAD, ids=in_short)
def test_a_field_refuses_what_it_is_not_for(path: str, value: object, words: str) -> None:
    field, said = only_problem(placed(path, value))
    assert field == path
    assert words in said


def test_a_date_of_the_host_is_taken_as_it_is() -> None:
    assert Deal.read(placed("submitted_on", date(2026, 11, 20))) == Deal.read(LEAST)


def test_metadata_may_be_nested_to_the_stated_depth_and_no_deeper() -> None:
    nested: Any = "end"
    for _ in range(MAX_DEPTH - 1):
        nested = [nested]
    assert Deal.read(placed("metadata", {"x": nested})).metadata == {"x": nested}
    assert only_problem(placed("metadata", {"x": [nested]}))[0] == "metadata"


def test_metadata_of_any_depth_is_a_refusal_and_never_a_crash() -> None:
    nested: Any = []
    for _ in range(20_000):
        nested = [nested]
    assert only_problem(placed("metadata", {"x": nested}))[0] == "metadata"


# Unknown fields: a typo must not drop a cash down payment


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("cash_dwon", "Did you mean 'cash_down'?"),
        ("applicant.teir", "Did you mean 'tier'?"),
        ("vehicle.milage", "Did you mean 'mileage'?"),
        ("vehicle.values[0].ammount", "Did you mean 'amount'?"),
        ("products[0].prize", "Did you mean 'price'?"),
        ("trade_ins[0].pay_off", "Did you mean 'payoff'?"),
    ],
)
def test_an_unknown_field_is_named_with_the_one_that_was_meant(path: str, remedy: str) -> None:
    assert only_problem(placed(path, "1.00")) == (path, f"unknown field | {remedy}")


@pytest.mark.parametrize(
    ("path", "known"), [("zzz", "deal_id"), ("applicant.zzz", "credit_score"), ("trade_ins[0].zzz", "allowance")]
)
def test_an_unknown_field_like_no_other_is_told_what_is_known_there(path: str, known: str) -> None:
    words = only_problem(placed(path, 1))[1]
    assert f"Known here: {known}" in words or f", {known}," in words
    assert "'metadata'" in words


def test_what_the_host_wants_carried_along_no_field_is_mistaken_for() -> None:
    assert Deal.read(placed("metadata", {"cash_dwon": "1.00"})).cash_down == 0


# What the parts must be together


def test_two_values_on_one_basis_are_refused() -> None:
    values = [
        {"basis": "msrp", "amount": "1.00"},
        {"basis": "invoice", "amount": "1"},
        {"basis": "msrp", "amount": "2.00"},
    ]
    field, words = only_problem(placed("vehicle.values", values))
    assert field == "vehicle"
    assert "two values on the basis 'msrp'" in words


def test_a_trade_that_owes_nothing_has_no_payoff() -> None:
    field, words = only_problem(placed("trade_ins", [{"kind": "none", "payoff": "0.01"}]))
    assert field == "trade_ins[0]"
    assert "owes nothing" in words
    assert Deal.read(placed("trade_ins", [{"kind": "none", "payoff": "0.00"}])).trade_ins[0].payoff == 0


def test_every_mistake_is_told_at_once_with_path_value_and_remedy() -> None:
    document = {
        "deal_id": "",
        "submitted_on": "yesterday",
        "vehicle": {"condition": "used", "vlaues": [], "values": [{"basis": "msrp", "amount": "1.234"}]},
        "cash_price": -5,
        "trade_ins": [{"kind": "loan"}, {"kind": "loan", "payoff": 19000.0}],
        "term": 72,
    }
    with pytest.raises(DealError) as caught:
        Deal.read(document)
    told = {problem.field: problem for problem in caught.value.problems}
    assert set(told) == {
        "deal_id",
        "submitted_on",
        "vehicle.vlaues",
        "vehicle.values[0].amount",
        "cash_price",
        "trade_ins[1].payoff",
        "term",
        "term_months",
    }
    assert told["trade_ins[1].payoff"].value == "19000.0"
    assert str(told["vehicle.values[0].amount"]) == (
        "vehicle.values[0].amount: more than 2 decimal places (got '1.234')."
        ' Round it as the contract does, for example "1500.00".'
    )


@pytest.mark.parametrize("document", [None, [], 3, "x", True, [LEAST]])
def test_what_is_not_an_object_is_refused(document: object) -> None:
    assert only_problem(document)[0] == "(document)"


def test_a_long_value_is_cut_short_in_the_message() -> None:
    with pytest.raises(DealError) as caught:
        Deal.read(placed("term_months", "9" * 1000))
    assert len(caught.value.problems[0].value) == 60


def test_what_was_read_does_not_change() -> None:
    deal = Deal.read(LEAST)
    with pytest.raises(ValueError, match="frozen"):
        deal.cash_price = 1
