"""Money that a payload states and no deal may lose: net figures without their parts, elements that no filter selects, parts left out."""

from collections.abc import Mapping
from typing import Any

import pytest

from dealgate.adapters.mappings import SHIPPED, HostMapping, load_mapping
from tests.adapters.mappings import hosts
from tests.adapters.mappings.test_shipped_mappings import BARE, DEAL, told

TRADE: dict[str, Any] = {"AppraisalSource": "Allowance", "AppraisalValue": "1500.00", "AmountOwed": "2700.00"}
ACV: dict[str, Any] = {
    "AppraisalSource": "ACV",
    "AppraisalValue": "900.00",
    "Allowance": "1000.00",
    "AmountOwed": "3000.00",
}
GROSS = {"GrossTradeIn": "1500.00", "BalanceAmount": "2700.00"}


@pytest.fixture(scope="module")
def mappings() -> Mapping[str, HostMapping]:
    return {name: load_mapping(name) for name in SHIPPED}


def messages(mapping: HostMapping, payload: bytes) -> dict[str, str]:
    """What is said of each place."""
    return {place: message for _, place, message in told(mapping, payload)}


@pytest.mark.parametrize("trades", [None, []])
def test_a_net_trade_without_trades_is_refused(trades: Any, mappings: Mapping[str, HostMapping]) -> None:
    dealertrack = hosts.dealertrack(BARE, NetTrade="-4000.00", TradeIns=trades or [])
    if trades is None:
        dealertrack = dealertrack.replace(b'"TradeIns": [], ', b"")
    assert messages(mappings["dealertrack"], dealertrack)["NetTrade"].startswith("none of its parts is stated")
    routeone = hosts.routeone(BARE, NetTradeAllowanceAmount="-4000.00")
    assert messages(mappings["routeone"], routeone)["NetTradeAllowanceAmount"].startswith("none of its parts is stated")


def test_a_net_trade_of_zero_needs_no_trades_and_is_told(mappings: Mapping[str, HostMapping]) -> None:
    mapped = mappings["routeone"].deal(hosts.routeone(BARE, NetTradeAllowanceAmount="0.00"))
    assert [place.rpartition(".")[2] for place in mapped.unread] == ["NetTradeAllowanceAmount"]
    assert "0.00 was not checked" in mapped.remarks[0]


def test_a_net_figure_of_which_a_part_is_left_out_is_not_checked_and_not_read(
    mappings: Mapping[str, HostMapping],
) -> None:
    trades = [GROSS, {"GrossTradeIn": "800.00"}]
    zero = mappings["routeone"].deal(hosts.routeone(BARE, TradeInFinancing=trades, NetTradeAllowanceAmount="0.00"))
    assert "was not checked" in zero.remarks[0]
    stated = hosts.routeone(BARE, TradeInFinancing=trades, NetTradeAllowanceAmount="-400.00")
    assert messages(mappings["routeone"], stated) == {
        "NetTradeAllowanceAmount": "looks like money and nothing reads it"
    }
    null = hosts.dealertrack(BARE, TradeIns=[TRADE, TRADE | {"AmountOwed": None}], NetTrade="300.00")
    assert messages(mappings["dealertrack"], null) == {"NetTrade": "looks like money and nothing reads it"}


def test_the_net_trade_is_that_of_all_trades(mappings: Mapping[str, HostMapping]) -> None:
    for trades, net in (([TRADE], "-1200.00"), ([ACV], "-2000.00"), ([TRADE, ACV], "-3200.00")):
        mapped = mappings["dealertrack"].deal(hosts.dealertrack(BARE, TradeIns=trades, NetTrade=net))
        assert (mapped.remarks, mapped.unread) == ((), ())
    wrong = messages(mappings["dealertrack"], hosts.dealertrack(BARE, TradeIns=[TRADE, ACV], NetTrade="-1200.00"))
    assert wrong["NetTrade"].startswith("does not agree with -3200.00")


TAXES: Mapping[str, list[dict[str, str]]] = {
    "no amount": [{"TaxType": "Sales"}],
    "one of two without an amount": [{"TaxType": "Sales", "TaxAmount": "80.00"}, {"TaxType": "Sales"}],
}


@pytest.mark.parametrize("case", TAXES)
def test_a_total_has_an_amount_of_each_element(case: str, mappings: Mapping[str, HostMapping]) -> None:
    ((field, place, message),) = told(mappings["routeone"], hosts.routeone(BARE, Tax=TAXES[case]))
    assert (field, place) == ("sales_tax", "TaxAmount")
    assert message == f"is missing in 1 of {len(TAXES[case])} elements that should have it"


def test_a_total_of_no_element_is_what_the_mapping_says_of_absence(mappings: Mapping[str, HostMapping]) -> None:
    assert mappings["routeone"].deal(hosts.routeone(BARE, Tax=[])).deal.sales_tax == 0
    assert mappings["routeone"].deal(hosts.routeone(DEAL)).deal.sales_tax == 1_874_69


UNSELECTED: Mapping[str, Any] = {
    "another source": [{"AppraisalSource": "Dealer", "LienHolder": "First Bank"}],
    "no source": [{"LienHolder": "First Bank", "AmountOwed": None}],
    "amounts in words": [{"AppraisalSource": "Dealer", "AmountOwed": "twelve thousand"}],
    "a text": ["a pick-up truck"],
    "nothing known": [{}],
    "one that is no list": {"AppraisalSource": "ACV", "LienHolder": "First Bank"},
}


@pytest.mark.parametrize("case", UNSELECTED)
def test_an_element_that_no_filter_selects_is_refused(case: str, mappings: Mapping[str, HostMapping]) -> None:
    trades = UNSELECTED[case]
    found = told(mappings["dealertrack"], hosts.dealertrack(BARE, TradeIns=trades))
    place = "TradeIns[0]" if isinstance(trades, list) else "TradeIns"
    assert found == [("trade_ins", place, "is an element that no `each:` selects")]


def test_the_element_that_is_not_selected_is_named(mappings: Mapping[str, HostMapping]) -> None:
    trades = [TRADE, TRADE | {"AppraisalSource": "Dealer", "AppraisalValue": None, "AmountOwed": None}]
    found = told(mappings["dealertrack"], hosts.dealertrack(BARE, TradeIns=trades))
    assert [place for _, place, _ in found] == ["TradeIns[1]"]


MONEY: Mapping[str, str] = {
    "DepositPaid": "1500",
    "PriorLoanUnpaid": "8000",
    "CashDiscount": "1000",
    "PrepaidRate": "500.00",
    "TradeId": "1500.00",
    "paidrate": "500",
    "depositpaid_1": "1500",
    "PriorLien": "8000",
    "Loan2": "8000",
    "PrepaidPlan": "1500",
    "Maintenance": "900",
    "DealerDiscount": "900",
    "OtherDebt": "900",
    "TrueValue": "900",
    "ServiceAgreement": "900",
    "DepositKept": "12k",
    "DepositHeld": "US$12000",
    "DepositLeft": "CAD 12000",
    "DepositAbout": "~12000",
    "DepositLeast": "12000+",
    "DepositEven": "12000.-",
    "DepositWords": "12 thousand",
    "DepositDollars": "12000 dollars",
    "Remark": "€900",
}


@pytest.mark.parametrize("name", MONEY)
def test_money_however_it_is_named_and_written_is_refused(name: str, mappings: Mapping[str, HostMapping]) -> None:
    found = messages(mappings["dealertrack"], hosts.dealertrack(BARE, **{name: MONEY[name]}))
    assert found == {name: "looks like money and nothing reads it"}


NO_MONEY: Mapping[str, str] = {
    "PaymentId": "1500",
    "payment_id": "1500",
    "LoanNumber": "1500",
    "CashVINNo": "1500",
    "PaymentRate": "5.125",
    "FeePercent": "12.50%",
    "TradeModel": "F150",
    "Deposit": "0.00",
    "Note": "12000",
}


@pytest.mark.parametrize("name", NO_MONEY)
def test_a_number_that_labels_is_listed(name: str, mappings: Mapping[str, HostMapping]) -> None:
    assert mappings["dealertrack"].deal(hosts.dealertrack(BARE, **{name: NO_MONEY[name]})).unread == (name,)


def test_a_truth_that_is_carried_along_is_not_the_one_in_a_list(mappings: Mapping[str, HostMapping]) -> None:
    vehicle = {"Condition": "Used", "CertifiedUsed": True}
    found = told(mappings["dealertrack"], hosts.dealertrack(BARE, Vehicle=vehicle, TradeIns=[True]))
    assert [message for _, _, message in found] == ["is an element that no `each:` selects"]


@pytest.mark.parametrize("amount", ["1.500", "15.000", "-1.500"])
def test_an_amount_of_which_nobody_can_tell_whether_its_point_parts_thousands_is_refused(
    amount: str, mappings: Mapping[str, HostMapping]
) -> None:
    refused = messages(mappings["dealertrack"], hosts.dealertrack(BARE, CashDown=amount))
    assert refused["CashDown"].startswith("a point and three digits may stand for thousands")


@pytest.mark.parametrize(("amount", "read"), [("1500.000", "1500.00"), ("0.500", "0.50"), ("1.50", "1.50")])
def test_an_amount_whose_point_can_only_part_cents_is_read(
    amount: str, read: str, mappings: Mapping[str, HostMapping]
) -> None:
    assert mappings["dealertrack"].deal(hosts.dealertrack(BARE, CashDown=amount)).document["cash_down"] == read


def test_a_number_has_no_separators(mappings: Mapping[str, HostMapping]) -> None:
    payload = hosts.dealertrack(BARE, CashDown="1.500").replace(b'"1.500"', b"1.500")
    assert mappings["dealertrack"].deal(payload).document["cash_down"] == "1.50"
