"""Each shipped mapping on payloads good and bad: what it reads, and what it says of what it cannot read."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from dealgate.adapters.mappings import SHIPPED, HostMapping, MappedDeal, MappingError, load_mapping
from dealgate.adapters.mappings.checking import amount_financed
from dealgate.adapters.policies import load_policy
from dealgate.rules.fields import facts_of
from dealgate.rules.reference import compile_reference
from tests.adapters.mappings import hosts
from tests.adapters.mappings.hosts import absee_parts, as_read, csv_cells, csv_text, dealertrack_parts, xml
from tests.booked import random_deals

TRADE = {"kind": "loan", "allowance": "15500.00", "payoff": "19000.00", "lienholder": "First Bank & Trust"}
SECOND = {"kind": "loan", "allowance": "4000.00", "payoff": "0.00"}
DEAL: dict[str, Any] = {
    "deal_id": "D-1",
    "submitted_on": "2026-11-20",
    "channel": "indirect",
    "dealer_id": "DLR-0042",
    "state": "TX",
    "applicant": {"credit_score": 684, "monthly_income": "5200.00"},
    "vehicle": {
        "vin": "1HGCV1F30NA000001",
        "condition": "used",
        "model_year": 2023,
        "mileage": 31200,
        "values": [{"basis": "jdpower_clean_trade", "amount": "27000.00"}],
    },
    "cash_price": "29995.00",
    "sales_tax": "1874.69",
    "title_and_registration": "380.00",
    "products": [{"kind": "credit_life", "price": "895.00"}],
    "trade_ins": [TRADE],
    "cash_down": "1500.00",
    "rebate": "500.00",
    "term_months": 72,
    "apr_percent": "7.90",
    "monthly_payment": "651.12",
}
BARE: dict[str, Any] = {
    "deal_id": "D-2",
    "submitted_on": "2026-11-20",
    "vehicle": {"condition": "new"},
    "cash_price": "20000.00",
    "cash_down": "0.00",
    "term_months": 60,
}
LOAN: dict[str, Any] = {
    "deal_id": "0001083199-01/1",
    "submitted_on": "2019-08-01",
    "state": "VT",
    "applicant": {"credit_score": 735},
    "vehicle": {"condition": "used", "model_year": 2017, "values": [{"basis": "reported_value", "amount": "29295.00"}]},
    "cash_price": "29019.59",
    "term_months": 76,
    "apr_percent": "6.87",
    "monthly_payment": "477.01",
}

WRITERS: Mapping[str, Callable[..., bytes]] = {
    "routeone": hosts.routeone,
    "meridianlink": hosts.meridianlink,
    "dealertrack": hosts.dealertrack,
    "csv": hosts.flat,
}
DEALERS = pytest.mark.parametrize("name", WRITERS)


@pytest.fixture(scope="module")
def mappings() -> Mapping[str, HostMapping]:
    return {name: load_mapping(name) for name in SHIPPED}


def told(mapping: HostMapping, payload: Any) -> list[tuple[str, str, str]]:
    """Field, place in the payload and message of each problem."""
    with pytest.raises(MappingError) as caught:
        mapping.deal(payload)
    for problem in caught.value.problems:
        assert problem.mapping == mapping.name
        assert problem.remedy
    return [
        (problem.field, problem.source.rpartition(".")[2].strip('"'), problem.message)
        for problem in caught.value.problems
    ]


def stated_by(name: str, deal: Mapping[str, Any]) -> dict[str, Any]:
    """The deal as far as the host can state it: where it cannot, the mapping says so."""
    found = as_read(deal)
    if name in ("routeone", "dealertrack"):
        found["channel"] = "indirect"
    return found


@DEALERS
def test_a_deal(name: str, mappings: Mapping[str, HostMapping]) -> None:
    mapped = mappings[name].deal(WRITERS[name](DEAL))
    assert as_read(mapped.document) == stated_by(name, DEAL)
    assert (mapped.unread, mapped.remarks) == ((), ())


@DEALERS
def test_a_payment_of_zero_is_not_stated(name: str, mappings: Mapping[str, HostMapping]) -> None:
    mapped = mappings[name].deal(WRITERS[name](DEAL | {"monthly_payment": "0.00"}))
    unstated = {field: part for field, part in DEAL.items() if field != "monthly_payment"}
    assert as_read(mapped.document) == stated_by(name, unstated)


@DEALERS
def test_a_deal_with_two_trade_ins(name: str, mappings: Mapping[str, HostMapping]) -> None:
    deal = DEAL | {"trade_ins": [TRADE, SECOND]}
    assert as_read(mappings[name].deal(WRITERS[name](deal)).document) == stated_by(name, deal)


@DEALERS
def test_what_the_host_does_not_state_is_unknown(name: str, mappings: Mapping[str, HostMapping]) -> None:
    mapped = mappings[name].deal(WRITERS[name](BARE))
    assert as_read(mapped.document) == stated_by(name, BARE)
    assert mapped.deal.apr_percent is None
    assert mapped.deal.applicant.credit_score is None


@DEALERS
def test_a_trade_of_which_nothing_more_is_known_is_a_trade(name: str, mappings: Mapping[str, HostMapping]) -> None:
    deal = BARE | {"trade_ins": [{"kind": "loan", "lienholder": "First Bank"}]}
    assert as_read(mappings[name].deal(WRITERS[name](deal)).document) == stated_by(name, deal)


NO_AMOUNTS = [
    "1e3",
    "1,500.00",
    "$1500",
    "N/A",
    "NaN",
    "1500.005",
    "-1500.00",
    "10000000.01",
    "Infinity",
    "0x10",
    "15 00",
    "١٥٠٠",
]


@DEALERS
@pytest.mark.parametrize("amount", NO_AMOUNTS)
def test_what_is_not_plainly_an_amount_is_refused_by_name(
    name: str, amount: str, mappings: Mapping[str, HostMapping]
) -> None:
    found = told(mappings[name], WRITERS[name](DEAL | {"cash_down": amount}))
    assert [(field, bool(place)) for field, place, _ in found] == [("cash_down", True)]


CASH = {"routeone": "DownPaymentAmount", "meridianlink": "down_payment", "dealertrack": "CashDown", "csv": "cash_down"}


@DEALERS
def test_cash_that_is_not_stated_is_not_zero(name: str, mappings: Mapping[str, HostMapping]) -> None:
    empty = told(mappings[name], WRITERS[name](DEAL | {"cash_down": ""}))
    assert [(field, message) for field, _, message in empty if field] == [
        ("cash_down", "the payload states nothing" if name == "csv" else "stands there empty")
    ]
    absent = told(mappings[name], WRITERS[name](DEAL).replace(CASH[name].encode(), b"HowMuchDown"))
    assert ("cash_down", "the payload states nothing") in [(field, message) for field, _, message in absent]
    assert [place.strip("@") for field, place, _ in absent if not field] == ["HowMuchDown"] or name == "csv"


def test_a_null_is_not_zero(mappings: Mapping[str, HostMapping]) -> None:
    for part, field in (
        ("CashDown", "cash_down"),
        ("Rebate", "rebate"),
        ("SalesTax", "sales_tax"),
        ("Gap", "products[0].price"),
    ):
        found = told(mappings["dealertrack"], hosts.dealertrack(DEAL, **{part: None}))
        assert [(wrong, message) for wrong, _, message in found] == [(field, "stands there empty")]
    assert mappings["dealertrack"].deal(hosts.dealertrack(DEAL, RequestedAPR=None)).deal.apr_percent is None


@DEALERS
def test_money_under_a_name_that_nothing_reads_is_refused(name: str, mappings: Mapping[str, HostMapping]) -> None:
    payload = WRITERS[name](DEAL, CashFromBuyer="2500")
    ((field, place, message),) = told(mappings[name], payload)
    assert (field, message) == ("", "looks like money and nothing reads it")
    assert place.strip("@").endswith("CashFromBuyer")


@DEALERS
def test_what_is_not_money_and_unread_is_listed(name: str, mappings: Mapping[str, HostMapping]) -> None:
    mapped = mappings[name].deal(WRITERS[name](DEAL, SalesPerson="A. Bell"))
    assert [path.rpartition(".")[2].strip("@") for path in mapped.unread] == ["SalesPerson"]


FINANCED = {
    "routeone": "NetAmountFinanced",
    "meridianlink": "amount_requested",
    "dealertrack": "UnpaidBalance",
    "csv": "amount_financed",
}


@DEALERS
def test_a_stated_amount_financed_must_be_what_follows_from_the_parts(
    name: str, mappings: Mapping[str, HostMapping]
) -> None:
    follows = "34644.69"  # 29,995.00 + 1,874.69 + 380.00 + 895.00 + 19,000.00 - 15,500.00 - 1,500.00 - 500.00
    assert mappings[name].deal(WRITERS[name](DEAL, **{FINANCED[name]: follows})).remarks == ()
    ((_, _, message),) = told(mappings[name], WRITERS[name](DEAL, **{FINANCED[name]: "34644.70"}))
    assert message.startswith("does not agree with 34644.69")


@DEALERS
def test_a_figure_that_cannot_be_checked_is_told(name: str, mappings: Mapping[str, HostMapping]) -> None:
    deal = DEAL | {"trade_ins": [{"kind": "loan", "allowance": "100.00"}]}
    (remark,) = mappings[name].deal(WRITERS[name](deal, **{FINANCED[name]: "34644.69"})).remarks
    assert remark.endswith("34644.69 was not checked: trade_ins[0].payoff is not stated")


@DEALERS
def test_a_payload_of_another_host_is_refused(name: str, mappings: Mapping[str, HostMapping]) -> None:
    for other, write in WRITERS.items():
        if other != name:
            assert told(mappings[name], write(DEAL))


def test_net_trade_must_be_gross_less_balance(mappings: Mapping[str, HostMapping]) -> None:
    trade = {"GrossTradeIn": "1500.00", "BalanceAmount": "2700.00"}
    good = hosts.routeone(
        DEAL, TradeInFinancing=[trade | {"NetTradeAmount": "-1200.00"}], NetTradeAllowanceAmount="-1200.00"
    )
    assert mappings["routeone"].deal(good).deal.trade_ins[0].payoff == 2_700_00
    bad = hosts.routeone(DEAL, TradeInFinancing=[trade | {"NetTradeAmount": "1200.00"}], NetTradeAllowanceAmount="0.00")
    assert {place for _, place, _ in told(mappings["routeone"], bad)} == {"NetTradeAmount", "NetTradeAllowanceAmount"}


def test_units_that_the_payload_states_are_heeded(mappings: Mapping[str, HostMapping]) -> None:
    yearly = hosts.routeone(DEAL).replace(b'period="MO"', b'period="YR"')
    ((field, place, message),) = told(mappings["routeone"], yearly)
    assert (field, place) == ("applicant.monthly_income", "Income")
    assert "is 'YR'" in message
    without = hosts.routeone(DEAL).replace(b'length="Months"', b"")
    assert [field for field, _, _ in told(mappings["routeone"], without)] == ["term_months"]


def test_a_rate_is_read_as_the_mapping_says_and_never_guessed(mappings: Mapping[str, HostMapping]) -> None:
    assert (
        mappings["dealertrack"].deal(hosts.dealertrack(DEAL | {"apr_percent": "0.07"})).document["apr_percent"]
        == "0.07"
    )
    loan = xml("assetData", {"assets": absee_parts(LOAN) | {"originalInterestRatePercentage": "0.053900000000000003"}})
    assert mappings["absee"].deal(loan).document["apr_percent"] == "5.39"
    percent = hosts.meridianlink(DEAL | {"apr_percent": "0.053900000000000003"})
    assert [field for field, _, _ in told(mappings["meridianlink"], percent)] == ["apr_percent"]


def test_two_names_of_one_figure_must_agree(mappings: Mapping[str, HostMapping]) -> None:
    alike = hosts.meridianlink(DEAL, total_sales_price="29995.00")
    assert mappings["meridianlink"].deal(alike).document["cash_price"] == "29995.00"
    ((field, _, message),) = told(mappings["meridianlink"], hosts.meridianlink(DEAL, total_sales_price="28995.00"))
    assert (field, message) == ("cash_price", "two places that should state one value differ")


def test_an_appraisal_is_an_allowance_or_an_acv_as_its_source_says(mappings: Mapping[str, HostMapping]) -> None:
    trades = dealertrack_parts(DEAL)["TradeIns"]
    acv = hosts.dealertrack(DEAL, TradeIns=[trades[0] | {"AppraisalSource": "ACV"}])
    assert mappings["dealertrack"].deal(acv).document["trade_ins"] == [
        {"kind": "loan", "acv": "15500.00", "payoff": "19000.00", "lienholder": "First Bank & Trust"}
    ]
    unknown = hosts.dealertrack(DEAL, TradeIns=[trades[0] | {"AppraisalSource": "Auction"}])
    assert {place for _, place, _ in told(mappings["dealertrack"], unknown)} == {
        "TradeIns[0]",
        "AppraisalValue",
        "AmountOwed",
    }


def test_json_numbers_stay_decimal(mappings: Mapping[str, HostMapping]) -> None:
    text = hosts.dealertrack(DEAL).replace(b'"29995.00"', b"29995.10")
    assert mappings["dealertrack"].deal(text).document["cash_price"] == "29995.10"
    for number, message in (
        (b"1e3", "not a plain number"),
        (b"29995.001", "a fraction of a cent"),
        (b"true", "not a plain number"),
    ):
        found = told(mappings["dealertrack"], hosts.dealertrack(DEAL).replace(b'"29995.00"', number))
        assert [(field, text) for field, _, text in found] == [("cash_price", message)]
    with pytest.raises(MappingError, match="a binary float is not exact"):
        mappings["dealertrack"].deal(dealertrack_parts(DEAL) | {"CashSellingPrice": 29995.1})


def test_what_the_deal_document_refuses_is_told_at_its_place_in_the_payload(
    mappings: Mapping[str, HostMapping],
) -> None:
    deal = DEAL | {"state": "Texas", "applicant": {"credit_score": 1200}}
    found = told(mappings["dealertrack"], hosts.dealertrack(deal))
    assert {(field, place) for field, place, _ in found} == {
        ("state", "State"),
        ("applicant.credit_score", "CreditScore"),
    }


def test_more_trades_than_the_flat_file_has_columns_for_are_refused(mappings: Mapping[str, HostMapping]) -> None:
    found = told(mappings["csv"], hosts.flat(DEAL | {"trade_ins": [SECOND, SECOND, SECOND, TRADE]}))
    assert {place for _, place, _ in found} == {"line 2: trade_in_4_allowance", "line 2: trade_in_4_payoff"}


def test_every_row_of_a_file_is_a_deal_or_says_what_is_wrong(mappings: Mapping[str, HostMapping]) -> None:
    rows = [csv_cells(DEAL), csv_cells(BARE) | {"term_months": "sixty"}, csv_cells(BARE)]
    found = list(mappings["csv"].read(csv_text(rows)))
    assert [isinstance(one, MappedDeal) for one in found] == [True, False, True]
    assert isinstance(found[1], MappingError)
    assert found[1].deal_id == "D-2"
    assert [problem.source for problem in found[1].problems] == ["line 3: term_months"]
    with pytest.raises(MappingError, match="not exactly one deal"):
        mappings["csv"].deal(csv_text(rows))


def test_a_filing(mappings: Mapping[str, HostMapping]) -> None:
    paid = absee_parts(LOAN) | {
        "paymentToIncomePercentage": "0.137",
        "reportingPeriodActualEndBalanceAmount": "25565.38",
    }
    exhibit = xml("assetData", {"assets": [paid, absee_parts(LOAN | {"monthly_payment": "0.00"})]}, "urn:any")
    first, second = mappings["absee"].deals(exhibit)
    assert first.document["applicant"]["monthly_income"] == "3481.82"
    assert first.document["metadata"] == {"synthetic": ["submitted_on", "applicant.monthly_income", "cash_price"]}
    assert first.unread == ("reportingPeriodActualEndBalanceAmount",)
    assert as_read(second.document) == as_read(
        {name: part for name, part in LOAN.items() if name != "monthly_payment"} | {"deal_id": "0001083199-01/2"}
    )


def test_the_flat_file_has_columns_for_the_days_of_funding_and_of_the_credit_report(
    mappings: Mapping[str, HostMapping],
) -> None:
    days = {"expected_funding_on": "2026-12-15", "credit_report_as_of": "2026-10-21"}
    mapped = mappings["csv"].deal(hosts.flat(DEAL, **days))
    assert str(mapped.deal.expected_funding_on) == days["expected_funding_on"]
    assert str(mapped.deal.applicant.credit_report_as_of) == days["credit_report_as_of"]
    assert mapped.unread == ()
    found = told(mappings["csv"], hosts.flat(DEAL, expected_funding_on="12/15/2026"))
    assert [(field, place) for field, place, _ in found] == [("expected_funding_on", "line 2: expected_funding_on")]


def test_a_stated_amount_financed_is_held_against_the_shipped_measure() -> None:
    reference = compile_reference(load_policy("prime-auto").policy)
    known = 0
    for deal in random_deals(6, 200):
        measured = reference(facts_of(deal)).measures["amount_financed"]
        follows = amount_financed(deal)
        assert measured[:2] == ((None, 1) if isinstance(follows, str) else (follows, 1))
        known += isinstance(follows, int)
    assert 20 < known < 180


BAD_LOANS: Mapping[str, tuple[dict[str, str], str]] = {
    "negative": ({"originalLoanAmount": "-5.00"}, "cash_price"),
    "a word": ({"originalLoanTerm": "seventy"}, "term_months"),
    "an unknown code": ({"vehicleNewUsedCode": "9"}, "vehicle.condition"),
    "an unknown book": ({"vehicleValueSourceCode": "7"}, "vehicle.values[0].basis"),
    "a book without a value": ({"vehicleValueAmount": ""}, "vehicle.values[0].amount"),
    "another date": ({"originationDate": "13/2019"}, "submitted_on"),
    "no amount": ({"originalLoanAmount": ""}, "cash_price"),
    "a rate in percent": ({"originalInterestRatePercentage": "68.7"}, "apr_percent"),
}


@pytest.mark.parametrize("case", BAD_LOANS)
def test_a_loan_that_cannot_be_read(case: str, mappings: Mapping[str, HostMapping]) -> None:
    parts, field = BAD_LOANS[case]
    found = told(mappings["absee"], xml("assetData", {"assets": absee_parts(LOAN) | parts}))
    assert [wrong for wrong, _, _ in found] == [field]


@pytest.mark.parametrize("name", SHIPPED)
def test_what_a_mapping_reads_is_known_before(name: str, mappings: Mapping[str, HostMapping]) -> None:
    reads = mappings[name].reads
    assert {
        "routeone": "DataArea",
        "meridianlink": "LOAN_INFO",
        "dealertrack": "CashDown",
        "csv": "cash_down",
        "absee": "assetNumber",
    }[name] in reads
