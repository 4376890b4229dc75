"""Mapping documents: what is refused when one is loaded, each mistake with its line and column, and what none may leave unsaid."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dealgate.adapters.mappings import SHIPPED, HostMapping, MappingDocumentError, MappingError, load_mapping
from dealgate.adapters.mappings.targets import ITEMS, TARGETS
from dealgate.rules.deal import Applicant, BookValue, Deal, Product, TradeIn, Vehicle

DEAL = """\
  deal_id: {from: number}
  submitted_on: {from: submitted}
  vehicle: {condition: {from: condition, values: {new: new, used: used}}}
  cash_price: {from: price, unit: dollars}
  sales_tax: {from: tax, unit: dollars, absent: zero, because: told so}
  title_and_registration: {absent: zero, because: told so}
  doc_fee: {absent: zero, because: told so}
  products: {absent: none, because: told so}
  trade_ins: {absent: none, because: told so}
  cash_down: {from: down, unit: dollars, absent: error}
  rebate: {absent: zero, because: told so}
  prepaid_finance_charge: {absent: zero, because: told so}
  term_months: {from: months, unit: months}
"""
HEAD = """\
mapping: own
version: "1"
title: A mapping of our own
"""
PAYLOAD: dict[str, Any] = {
    "number": 17,
    "submitted": date(2026, 11, 20),
    "condition": "used",
    "price": Decimal("20000.00"),
    "tax": Decimal("1E+3"),
    "down": 1500,
    "months": 60,
}


def document(deal: str = DEAL, form: str = "object", more: str = "") -> str:
    return f"{HEAD}source: {{format: {form}}}\ndeal:\n{deal}{more}"


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def load(text: str) -> HostMapping:
        path = tmp_path / "own.yaml"
        path.write_text(text, encoding="utf-8")
        return load_mapping(str(path))

    return load


def mistakes(load: Any, text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(MappingDocumentError) as caught:
        load(text)
    return [(problem.place.line, problem.place.column, problem.message) for problem in caught.value.problems]


def without(field: str) -> str:
    return "".join(line for line in DEAL.splitlines(keepends=True) if f"  {field}:" not in line)


def replaced(field: str, by: str) -> str:
    return without(field) + f"  {field}: {by}\n"


def test_the_targets_are_the_fields_of_the_deal_document() -> None:
    named = {name for name in TARGETS if "." not in name} | {name for name in ITEMS if "." not in name}
    assert named == Deal.model_fields.keys() - {"applicant", "vehicle", "metadata"}
    for group, model in (("applicant", Applicant), ("vehicle", Vehicle)):
        below = {name.removeprefix(f"{group}.") for name in (*TARGETS, *ITEMS) if name.startswith(group)}
        assert below == set(model.model_fields)
    for name, item in (("products", Product), ("trade_ins", TradeIn), ("vehicle.values", BookValue)):
        assert ITEMS[name].keys() == item.model_fields.keys()


def test_attributes_of_an_object_are_read_as_they_are_held(load: Any) -> None:
    mapping = load(document())
    deal = mapping.deal(PAYLOAD | {"note": None, "seen_at": datetime(2026, 11, 20, tzinfo=UTC)}).deal
    assert (deal.deal_id, deal.submitted_on, deal.cash_price, deal.sales_tax) == (
        "17",
        date(2026, 11, 20),
        20_000_00,
        1_000_00,
    )
    assert mapping.reads == {"number", "submitted", "condition", "price", "tax", "down", "months"}
    for value, message in (
        (1500.0, "a binary float"),
        (Decimal("NaN"), "not a plain number"),
        (object(), "cannot be read"),
    ):
        with pytest.raises(MappingError, match=message):
            mapping.deal(PAYLOAD | {"down": value})
    with pytest.raises(TypeError, match="attributes of an object"):
        mapping.deal(b"{}")
    stamped = mapping.deal(PAYLOAD | {"submitted": datetime(2026, 11, 20, 23, 59, tzinfo=UTC)})
    assert stamped.document["submitted_on"] == "2026-11-20"


STRUCTURE = (
    "sales_tax",
    "title_and_registration",
    "doc_fee",
    "products",
    "trade_ins",
    "cash_down",
    "rebate",
    "prepaid_finance_charge",
)


@pytest.mark.parametrize("field", STRUCTURE)
def test_no_part_of_the_structure_is_left_unsaid(field: str, load: Any) -> None:
    ((line, _, message),) = mistakes(load, document(without(field)))
    assert line == 6
    assert message == f"nothing is said of {field}: a deal without it counts as zero, and no zero may come unsaid"


@pytest.mark.parametrize("field", ["deal_id", "submitted_on", "cash_price", "term_months", "vehicle"])
def test_what_every_deal_has_is_mapped(field: str, load: Any) -> None:
    ((_, _, message),) = mistakes(load, document(without(field)))
    assert message.startswith("nothing gives ")


NO_FIELDS: Mapping[str, tuple[str, str, str]] = {
    "zero without a reason": ("rebate", "{from: rebate, unit: dollars, absent: zero}", "rebate needs `because:`"),
    "absence unsaid": (
        "rebate",
        "{from: rebate, unit: dollars}",
        "rebate must say what it means that the payload has none",
    ),
    "absence unknown": ("rebate", "{from: rebate, unit: dollars, absent: unknown}", "absent cannot be 'unknown'"),
    "zero of what is not structure": (
        "apr_percent",
        "{from: apr, unit: percent, absent: zero, because: x}",
        "absent cannot be 'zero'",
    ),
    "no price": ("cash_price", "{from: price, unit: dollars, absent: unknown}", "absent cannot be 'unknown'"),
    "no unit": ("cash_price", "price", "cash_price lacks `unit:`"),
    "a wrong unit": ("cash_price", "{from: price, unit: percent}", "unit cannot be 'percent'"),
    "a unit of a text": ("state", "{from: state, unit: dollars}", "state is a text and has no unit"),
    "a literal": ("cash_down", "{from: '`0`', unit: dollars, absent: error}", "a path cannot use a literal"),
    "a silent zero": ("cash_down", "{from: 'down || `0`', unit: dollars, absent: error}", "a path cannot use `||`"),
    "a function": ("cash_down", "{from: 'sum(downs)', unit: dollars, absent: error}", "a path cannot use a function"),
    "everything": ("state", "'@'", "a path cannot use current"),
    "a literal in a list": ("state", "'states[`0`]'", "not a JMESPath: "),
    "no path": ("state", "'a..b'", "not a JMESPath: "),
    "a constant without a reason": ("channel", "{is: direct}", "channel needs `because:`"),
    "a constant of no such word": ("channel", "{is: online, because: x}", "channel cannot be 'online': no such word"),
    "both": ("channel", "{is: direct, from: channel, because: x}", "channel has both `from:` and `is:`"),
    "neither": ("channel", "{absent: error}", "channel says neither `from:` nor `is:`"),
    "words unsaid": ("channel", "channel", "channel lacks `values:`"),
    "words that are not ours": (
        "channel",
        "{from: channel, values: {web: online}}",
        "channel cannot be 'online': no such word",
    ),
    "no form of a date": ("submitted_on", "{from: submitted, format: MM/DD/YY}", "'MM/DD/YY' is no form of a date"),
    "a zero that is unknown": (
        "cash_down",
        "{from: down, unit: dollars, absent: error, zero: unknown}",
        "cash_down cannot be unknown",
    ),
    "a quotient": ("monthly_payment", "{from: a, unit: dollars, over: b}", "a quotient needs `over_unit:`"),
    "a misspelling": ("state", "{form: state}", "state has no entry 'form'"),
    "an unknown field": ("down_payment", "down", "deal has no entry 'down_payment'"),
    "a list without absence": (
        "trade_ins",
        "{each: trades, item: {kind: {is: loan, because: x}}}",
        "trade_ins must say what it means",
    ),
    "a list without a reason": (
        "trade_ins",
        "{each: t, item: {kind: {is: loan, because: x}}, absent: none}",
        "trade_ins needs `because:`",
    ),
    "an item without a kind": (
        "trade_ins",
        "{each: t, absent: error, item: {}}",
        "an item of trade_ins lacks the entry 'kind'",
    ),
}


@pytest.mark.parametrize("case", NO_FIELDS)
def test_a_field_that_makes_no_sense_is_refused_at_its_place(case: str, load: Any) -> None:
    field, written, message = NO_FIELDS[case]
    text = document(replaced(field, written))
    found = [(line, told) for line, _, told in mistakes(load, text) if told.startswith(message)]
    assert found, mistakes(load, text)
    assert found[0][0] == len(text.splitlines())


def test_all_mistakes_are_told_at_once_with_their_columns(load: Any) -> None:
    deal = replaced("rebate", "{from: 'a.b ||', unit: euros, absent: zero}").replace("price, unit", "price, unti")
    found = mistakes(load, document(deal, "yaml", "checks:\n  - {value: a, because: x}\nunread: ignore\n"))
    assert [(line, column) for line, column, _ in found] == sorted((line, column) for line, column, _ in found)
    assert {message for _, _, message in found} == {
        "format cannot be 'yaml'",
        "cash_price has no entry 'unti'",
        "cash_price lacks `unit:`",
        "not a JMESPath: Invalid jmespath expression",
        "unit cannot be 'euros'",
        "rebate needs `because:`",
        "a check needs either `equals: amount_financed` or `plus:` and `minus:`",
        "unread cannot be 'ignore'",
    }


REPLIES: Mapping[str, tuple[str, str]] = {
    "an outcome without a word": (
        "{a: {from: outcome, values: {pass: OK, flag: OK, refer: NO}}}",
        "the host has no word for the outcome decline",
    ),
    "a word for no outcome": (
        "{a: {from: outcome, values: {pass: OK, flag: OK, refer: NO, decline: NO, denied: NO}}}",
        "no outcome is called 'denied'",
    ),
    "what no decision has": ("{a: verdict}", "a decision has no 'verdict'"),
    "no path": ("{a: 'outcome ||'}", "not a JMESPath"),
    "a list": ("[a]", "the fields of a reply must be a mapping"),
    "two constants": ("{a: {is: 1, from: outcome}}", "a constant has neither"),
}


@pytest.mark.parametrize("case", REPLIES)
def test_a_reply_that_makes_no_sense_is_refused(case: str, load: Any) -> None:
    fields, message = REPLIES[case]
    found = mistakes(load, document(more=f"reply:\n  fields: {fields}\n"))
    assert [told for _, _, told in found if told.startswith(message)]


def test_what_is_no_mapping_document_is_refused(load: Any, tmp_path: Path) -> None:
    for text in ("", "[]", "mapping: [", "mapping: own", document().replace("title:", "tittle:"), "a: &x 1\nb: *x"):
        assert mistakes(load, text)
    (tmp_path / "latin.yaml").write_bytes(b"title: \xe9")
    for name in (tmp_path / "latin.yaml", tmp_path / "nowhere.yaml", tmp_path, "\0"):
        with pytest.raises(MappingDocumentError):
            load_mapping(str(name))


def test_more_forms_of_a_document(load: Any) -> None:
    deal = replaced("cash_down", "{from: down, unit: cents, sign: negated, absent: error}").replace(
        "months, unit: months", "years, unit: years"
    )
    deal = deal.replace("{from: submitted}", "{from: submitted, format: MM/DD/YYYY}").replace(
        "price, unit: dollars", "prices, unit: dollars, total: true"
    )
    own = load(
        document(deal, "json").replace("json}", "json, thousands: true}") + "unread: tell\nmetadata: {whole: extra}\n"
    )
    payload = b'{"number": "7", "submitted": "11/20/2026", "condition": "new", "prices": ["1,500.00", "20.50"], "down": -150000,'
    payload += b' "years": 6}'
    mapped = own.deal(payload[:-1] + b', "extra": {"fee": 12.50, "n": 3, "yes": true}, "other_fee": "9.99"}')
    assert mapped.document == {
        "deal_id": "7",
        "submitted_on": "2026-11-20",
        "vehicle": {"condition": "new"},
        "cash_price": "1520.50",
        "cash_down": "1500.00",
        "term_months": 72,
        "metadata": {"whole": {"fee": "12.50", "n": 3, "yes": True}},
    }
    assert mapped.unread == ("other_fee",)
    for changed, message in ((b"-150000", b"150000"), (b"11/20/2026", b"2026-11-20"), (b"1,500.00", b"15,00.00")):
        with pytest.raises(MappingError):
            own.deal(payload.replace(changed, message))


def test_a_text_where_a_path_goes_on_is_not_taken_for_absent(load: Any) -> None:
    own = load(document(replaced("sales_tax", "{from: tax.amount, unit: dollars, absent: zero, because: x}"), "json"))
    payload = (
        b'{"number": "7", "submitted": "2026-11-20", "condition": "new", "price": 1, "down": 0, "months": 6, "tax": %s}'
    )
    assert own.deal(payload % b'{"amount": 5}').deal.sales_tax == 500
    for tax in (b"5", b'[{"amount": 5}, {"amount": 6}]', b'{"amount": {"value": 5}}', b'{"amount": [5, 6]}'):
        with pytest.raises(MappingError):
            own.deal(payload % tax)


def test_ignored_fields_are_left(load: Any) -> None:
    own = load(document(more="ignore: [fees.floor_plan]\n"))
    assert own.deal(PAYLOAD | {"fees": {"floor_plan": {"amount": Decimal("3.50")}}}).unread == ()
    with pytest.raises(MappingError, match="looks like money"):
        own.deal(PAYLOAD | {"fees": {"floor_plan_2": Decimal("3.50")}})


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_mapping_is_read_the_same_from_a_file(name: str, load: Any) -> None:
    shipped = load_mapping(name)
    assert load(shipped.text).name == shipped.name == name


def test_a_part_that_is_only_checked_or_compared_is_not_read(load: Any) -> None:
    check = "checks:\n  - {value: net, plus: gross, minus: owed, because: x}\n"
    with pytest.raises(MappingError) as caught:
        load(document(more=check)).deal(PAYLOAD | {"net": "5.00", "gross": "8.00", "owed": "3.00"})
    assert [problem.source for problem in caught.value.problems] == ["gross", "owed"]
    fee = replaced("doc_fee", "{from: \"fees[?cost == '5.00'].paid\", unit: dollars, absent: zero, because: x}")
    with pytest.raises(MappingError) as caught:
        load(document(fee)).deal(PAYLOAD | {"fees": [{"cost": "5.00", "paid": "4.00"}]})
    assert [problem.source for problem in caught.value.problems] == ["fees[0].cost"]


LISTED = """\
  products:
    - each: "fees[?kind == 'gap']"
      absent: none
      because: told so
      item: {kind: {is: gap, because: told so}, price: {from: price, unit: dollars}}
"""
FEES = {"fees": [{"kind": "gap", "price": "5.00"}, {"kind": "note", "about": "the gap"}]}


@pytest.mark.parametrize(
    "more",
    [
        "metadata: {notes: \"fees[?kind == 'note']\"}\n",
        "metadata: {notes: fees}\n",
        "ignore: [fees]\n",
    ],
)
def test_an_element_is_selected_by_whatever_carries_it_along(more: str, load: Any) -> None:
    deal = without("products") + LISTED
    with pytest.raises(MappingError, match=r"fees\[1\].*no `each:` selects"):
        load(document(deal)).deal(PAYLOAD | FEES)
    assert load(document(deal, more=more)).deal(PAYLOAD | FEES).deal.products[0].price == 500


def test_what_a_field_selects_is_selected_and_what_a_path_only_passes_is_not(load: Any) -> None:
    fees = {"fees": [FEES["fees"][0], {"kind": "doc", "price": "7.00"}]}
    fee = replaced("doc_fee", "{from: \"fees[?kind == 'doc'].price\", unit: dollars, absent: zero, because: told so}")
    none = "  products: {absent: none, because: told so}\n"
    selecting = load(document(fee.replace(none, "") + LISTED))
    deal = selecting.deal(PAYLOAD | fees).deal
    assert (deal.doc_fee, deal.products[0].price) == (700, 500)
    passing = load(document(without("products") + LISTED, more="metadata: {prices: 'fees[].price'}\n"))
    with pytest.raises(MappingError, match=r"fees\[1\].*no `each:` selects"):
        passing.deal(PAYLOAD | fees)


def test_the_lists_that_lead_to_a_list_are_held_against_their_conditions_too(load: Any) -> None:
    deal = without("products") + LISTED.replace("fees[?kind == 'gap']", "menus[?sold == 'yes'].fees[]")
    sold, dropped = {"sold": "yes", "fees": FEES["fees"][:1]}, {"sold": "perhaps", "fees": [{"price": None}]}
    assert load(document(deal)).deal(PAYLOAD | {"menus": [sold]}).deal.products
    with pytest.raises(MappingError, match=r"menus\[1\].*no `each:` selects"):
        load(document(deal)).deal(PAYLOAD | {"menus": [sold, dropped]})


TRADES = (
    "trade_ins:\n    each: trade\n    absent: none\n    because: x\n    item: {kind: {is: loan, because: x},"
    " lienholder: '\"@by\"'}\n"
)


def test_an_element_of_attributes_alone_is_there_also_where_what_is_empty_is_absent(load: Any) -> None:
    form = "xml, empty: absent"
    own = load(document(without("trade_ins") + f"  {TRADES}", form))
    parts = "".join(f"<{name}>{value}</{name}>" for name, value in (PAYLOAD | {"tax": "10"}).items())
    traded = own.deal(f'<deal>{parts}<trade by="First Bank"/><trade/></deal>')
    assert [trade.lienholder for trade in traded.deal.trade_ins] == ["First Bank"]
    check = "checks:\n  - {each: trade, value: '\"@net\"', plus: '\"@gross\"', because: x}\n"
    own = load(document(without("trade_ins") + f"  {TRADES}", form, check))
    with pytest.raises(MappingError, match="none of its parts is stated"):
        own.deal(f'<deal>{parts}<trade net="5.00"/></deal>')


def test_a_check_whose_condition_cannot_be_answered_is_a_problem(load: Any) -> None:
    check = "checks:\n  - {each: 'trades[?n < `5`]', value: net, plus: gross, because: x}\n"
    with pytest.raises(MappingError, match="cannot be answered here"):
        load(document(more=check)).deal(PAYLOAD | {"trades": [{"n": "3"}]})


def test_a_row_that_cannot_be_read_is_one_error_and_the_others_go_on(load: Any) -> None:
    good = PAYLOAD | {"tax": "10.00", "price": "20000.00"}
    bad, after = load(document()).read_rows([good | {"down": 1500.5}, good])
    assert isinstance(bad, MappingError)
    assert [(problem.mapping, problem.source) for problem in bad.problems] == [("own", "row 1: down")]
    assert after.deal.cash_down == 1_500_00


@pytest.mark.parametrize("digits", ["1" * 30 + "E+3", "1E+11", "123456789E+11"])
def test_a_large_amount_of_a_database_is_refused_and_never_raises_anything_else(digits: str, load: Any) -> None:
    with pytest.raises(MappingError) as caught:
        load(document()).deal(PAYLOAD | {"price": Decimal(digits)})
    assert [problem.source for problem in caught.value.problems] == ["price"]


@pytest.mark.parametrize("number", ["sNaN", "NaN", "Infinity"])
def test_no_number_is_carried_along_as_it_is_written(number: str, load: Any) -> None:
    mapped = load(document(more="metadata: {n: n}\n")).deal(PAYLOAD | {"n": Decimal(number)})
    assert mapped.document["metadata"] == {"n": number}


@pytest.mark.parametrize(
    ("share", "message"),
    [("12%", "not a plain number"), ("-0.12", "below zero"), (["", "0.2"], "stands 2 times")],
)
def test_a_divisor_that_is_wrong_is_told_under_its_own_name(share: Any, message: str, load: Any) -> None:
    payment = "{from: paid, unit: dollars, over: share, over_unit: fraction, rounding: half_up}"
    deal = DEAL + f"  monthly_payment: {payment}\n"
    with pytest.raises(MappingError, match=message) as caught:
        load(document(deal)).deal(PAYLOAD | {"paid": "60.00", "share": share})
    ((field, source, value),) = [(one.field, one.source, one.value) for one in caught.value.problems]
    assert (field, source.partition("[")[0]) == ("monthly_payment", "share")
    assert "60.00" not in value


def test_a_total_of_values_side_by_side_has_none_that_is_empty(load: Any) -> None:
    own = load(
        document(
            replaced("rebate", "{from: 'off[]', unit: dollars, total: true, absent: zero, because: x}"),
            "xml, empty: absent",
        )
    )
    parts = "".join(f"<{name}>{value}</{name}>" for name, value in (PAYLOAD | {"tax": "10"}).items())
    assert own.deal(f"<deal>{parts}<off>5.00</off><off>6.00</off></deal>").deal.rebate == 11_00
    with pytest.raises(MappingError, match="rebate: is missing in 1 of 2 elements"):
        own.deal(f"<deal>{parts}<off>5.00</off><off/></deal>")
