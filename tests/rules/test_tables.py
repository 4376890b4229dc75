"""Limits as tables: every hit policy, kept in the document, in CSV, in Excel or in a DMN file, and every way to get one wrong."""

import json
from collections.abc import Callable, Mapping
from io import BytesIO
from random import Random
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook

from dealgate import CompiledPolicy, Deal, Policy
from dealgate.rules.cells import CellError, cell_condition
from dealgate.rules.document import PolicyError
from dealgate.rules.fields import Unit, facts_of
from dealgate.rules.table_files import MOST_ROWS, TableError
from tests.rules.dmn_models import data, decision, document, output, table

Document = dict[str, Any]

HEAD = {"policy": "p", "version": "1", "title": "T", "effective_from": "2026-01-01"}
BASES = {"new": ["invoice"], "used": ["jdpower_clean_trade"]}


def policy(limits: Document, files: Mapping[str, bytes] | None = None, require: str | None = None) -> Policy:
    """A policy of some limits, all read by one rule."""
    default = " and ".join(f"cash_price >= {name}" for name in limits)
    rule = {"id": "R", "title": "R", "otherwise": "refer", "reason": "r", "require": require or default}
    written = {**HEAD, "collateral_value": BASES, "limits": limits, "rules": [rule]}

    def find(name: str) -> bytes:
        if name not in (files or {}):
            raise TableError(f"{name} cannot be read: there is no such file")
        return (files or {})[name]

    return Policy.from_text(json.dumps(written, indent=1), "p.yaml", find)


def problems(limits: Document, files: Mapping[str, bytes] | None = None) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        policy(limits, files)
    return [f"{problem.message} {problem.suggestion}".strip() for problem in caught.value.problems]


def workbook(rows: list[list[Any]], sheet: str = "LTV", formats: Mapping[str, str] | None = None) -> bytes:
    book = Workbook()
    page = book.active
    assert page is not None
    page.title = sheet
    for row in rows:
        page.append(row)
    for name, number_format in (formats or {}).items():
        page[name].number_format = number_format
    file = BytesIO()
    book.save(file)
    return file.getvalue()


def csv(*lines: str) -> bytes:
    return "\n".join(lines).encode()


# Hit policies of limits

ROWS = [
    {"when": "credit_score >= 700", "limit": "$300"},
    {"when": "credit_score >= 600", "limit": "$200"},
    {"when": "term_months > 60", "limit": "$100"},
]


def limit_of(stated: Document, **applicant: Any) -> tuple[str | None, str | None, list[str]]:
    """The limit that a deal over 72 months got, the row it came from, and what was missing."""
    found = CompiledPolicy(policy({"cap": {"unit": "money", **stated}}, require="cash_price <= cap"))
    deal = {"deal_id": "D", "submitted_on": "2026-11-20", "cash_price": "1.00", "term_months": 72}
    finding = found.evaluate(Deal.read(deal | {"vehicle": {"condition": "new"}, "applicant": applicant})).document()
    assert finding["engine"]["agreed"]
    (shown,) = finding["findings"]
    return shown.get("limit"), shown.get("limit_origin"), shown.get("missing", [])


@pytest.mark.parametrize(
    ("stated", "score", "expected"),
    [
        ({"hit_policy": "first", "default": "$1"}, 720, ("300.00", [])),
        ({"hit_policy": "first", "default": "$1"}, 500, ("100.00", [])),
        ({"hit_policy": "unique", "default": "$1"}, 500, ("100.00", [])),
        ({"hit_policy": "unique", "default": "$1"}, 650, (None, ["cap (several rows hold)"])),
        ({"hit_policy": "unique", "default": "$1"}, None, (None, ["applicant.credit_score"])),
        ({"hit_policy": "any", "default": "$1"}, 500, ("100.00", [])),
        ({"hit_policy": "any", "default": "$1"}, 650, (None, ["cap (several rows hold)"])),
        ({"hit_policy": "any", "default": "$1"}, None, (None, ["applicant.credit_score"])),
        ({"hit_policy": "priority", "output_values": ["$100", "$200", "$300"], "default": "$1"}, 720, ("100.00", [])),
        ({"hit_policy": "priority", "output_values": ["$200", "$300", "$100"], "default": "$1"}, 720, ("200.00", [])),
        ({"hit_policy": "priority", "output_values": ["$100", "$200", "$300"], "default": "$1"}, None, ("100.00", [])),
        (
            {"hit_policy": "priority", "output_values": ["$300", "$200", "$100"], "default": "$1"},
            None,
            (None, ["applicant.credit_score"]),
        ),
        ({"hit_policy": "collect", "aggregate": "sum", "default": "$1"}, 720, ("600.00", [])),
        ({"hit_policy": "collect", "aggregate": "min", "default": "$1"}, 720, ("100.00", [])),
        ({"hit_policy": "collect", "aggregate": "max", "default": "$1"}, 720, ("300.00", [])),
        ({"hit_policy": "collect", "aggregate": "max", "default": "$1"}, None, (None, ["applicant.credit_score"])),
    ],
)
def test_each_hit_policy_settles_a_limit(
    stated: Document, score: int | None, expected: tuple[str | None, list[str]]
) -> None:
    applicant = {} if score is None else {"credit_score": score}
    limit, _, missing = limit_of(stated | {"rows": ROWS}, **applicant)
    assert (limit, missing) == expected


@pytest.mark.parametrize("stated", [{"hit_policy": "first"}, {"hit_policy": "unique"}, {"hit_policy": "any"},
                                    {"hit_policy": "collect", "aggregate": "sum"}])  # fmt: skip
def test_where_no_row_holds_the_default_stands_or_the_limit_is_unknown(stated: Document) -> None:
    rows = {"rows": ROWS[:1]}
    assert limit_of(stated | rows | {"default": "$9"}, credit_score=300)[0] == "9.00"
    assert limit_of(stated | rows | {"default": "$9", "on_no_hit": "default"}, credit_score=300)[0] == "9.00"
    assert limit_of(stated | rows | {"on_no_hit": "unknown"}, credit_score=300) == (None, None, ["cap (no row holds)"])


def test_a_table_that_goes_by_words_gives_every_deal_its_own_row_however_often_it_was_asked(
    small_deal: Callable[..., Deal],
) -> None:
    """Its answers are remembered by all the words it reads; there are more combinations here than are kept."""
    rows = [
        {"when": 'tier == "A" and condition == "new"', "limit": "$10"},
        {"when": "first_time_buyer", "limit": "$20"},
        {"when": 'dealer_id in ["D-7", "D-8"] or tier != "A"', "limit": "$30"},
    ]
    compiled = CompiledPolicy(policy({"by_words": {"unit": "money", "rows": rows, "on_no_hit": "unknown"}}))
    pick = Random(7)
    for _ in range(4_000):
        tier, first = pick.choice(["A", "B", "Z", None]), pick.choice([True, False, None])
        dealer, condition = f"D-{pick.randrange(500)}", pick.choice(["new", "used"])
        applicant = {"tier": tier, "first_time_buyer": first}
        deal = small_deal(dealer_id=dealer, vehicle={"condition": condition}, applicant=applicant)
        found = compiled.reference(facts_of(deal)).limits["by_words"]
        assert found == _by_words(tier, first, dealer, condition), (tier, first, dealer, condition)


def _by_words(tier: str | None, first: bool | None, dealer: str, condition: str) -> tuple[int | None, int, int]:
    if condition == "new" and tier == "A":
        return 1_000, 1, 0
    if (condition == "new" and tier is None) or first is None:
        return None, 1, -1
    if first:
        return 2_000, 1, 1
    if dealer in {"D-7", "D-8"} or (tier is not None and tier != "A"):
        return 3_000, 1, 2
    return None, 1, -1


def test_any_wants_the_same_limit_from_every_row_that_holds() -> None:
    rows = [
        {"when": "term_months > 60", "limit": "$5"},
        {"when": "term_months > 48", "limit": "2 * $2.50"},
        {"limit": "$5"},
    ]
    assert limit_of({"hit_policy": "any", "rows": rows})[0] == "5.00"


def test_rows_that_hold_are_counted() -> None:
    rows = [{"when": row["when"], "limit": "1"} for row in ROWS]
    counted = {"unit": "count", "hit_policy": "collect", "aggregate": "count", "rows": rows}
    found = CompiledPolicy(policy({"cap": counted}, require="term_months <= cap"))
    deal = {"deal_id": "D", "submitted_on": "2026-11-20", "cash_price": "1.00", "vehicle": {"condition": "new"}}
    for score, term, count in ((700, 72, 3), (600, 60, 1), (500, 12, 0)):
        read = Deal.read({**deal, "term_months": term, "applicant": {"credit_score": score}})
        assert found.evaluate(read).document()["findings"][0]["limit"] == count


def test_the_row_that_gave_a_limit_is_evidence_also_the_default() -> None:
    last = limit_of({"hit_policy": "unique", "rows": ROWS, "default": "$1"}, credit_score=500)[1]
    default = limit_of({"hit_policy": "any", "rows": ROWS[:1], "default": "$1"}, credit_score=300)[1]
    several = {"hit_policy": "collect", "aggregate": "sum", "rows": ROWS, "default": "$1"}
    assert (last, default) == ("p.yaml:27", "p.yaml:24")
    assert limit_of(several, credit_score=500)[1] == "p.yaml:28"
    assert limit_of(several, credit_score=700)[1] is None  # no single row


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"hit_policy": "rule_order", "rows": ROWS}, "hit_policy rule_order gives a list A limit is one number: use first"),
        ({"hit_policy": "output_order", "rows": ROWS}, "hit_policy output_order gives a list"),
        ({"hit_policy": "collect", "rows": ROWS}, "aggregate is missing: collect without it gives a list"),
        ({"aggregate": "sum", "rows": ROWS}, "aggregate goes with hit_policy collect"),
        ({"hit_policy": "collect", "aggregate": "mean", "rows": ROWS}, "aggregate cannot be 'mean'"),
        ({"hit_policy": "collect", "aggregate": "count", "rows": ROWS}, "limit cap counts its rows, so its unit is count"),
        ({"hit_policy": "priority", "rows": ROWS, "default": "$1"}, "output_values are missing"),
        ({"output_values": ["$1"], "rows": ROWS, "default": "$1"}, "output_values go with hit_policy priority"),
        ({"hit_policy": "priority", "output_values": ["$100", "$200"], "rows": ROWS, "default": "$1"},
         "is not among output_values"),
        ({"hit_policy": "priority", "output_values": ["$100", "5%"], "rows": ROWS, "default": "$1"},
         "this is a percent, where a money is needed"),
        ({"hit_policy": "priority", "output_values": ["$1", "$100"], "rows": [{"when": "state == \"TX\"", "limit": "$100"},
          {"limit": "$1"}]}, "the row before it in the order of priority matches every deal"),
        ({"hit_policy": "unique", "rows": [*ROWS, {"limit": "$1"}]}, "so with hit_policy unique no other row may"),
        ({"hit_policy": "unique", "rows": ROWS}, "limit cap has a gap"),
        ({"hit_policy": "collect", "aggregate": "sum", "rows": ROWS}, "limit cap has a gap"),
        ({"rows": [*ROWS, {"limit": "$1"}], "default": "$1"}, "this default can never be used"),
        ({"rows": [*ROWS, {"limit": "$1"}], "on_no_hit": "unknown"}, "on_no_hit: unknown can never come about here"),
        ({"rows": ROWS, "on_no_hit": "default"}, "on_no_hit: default needs the entry 'default'"),
        ({"rows": ROWS, "on_no_hit": "pass"}, "on_no_hit cannot be 'pass'"),
        ({"rows": ROWS, "default": "5%"}, "this is a percent, where a money is needed"),
        ({}, "limit cap lacks the entry 'rows'"),
        ({"rows": [ROWS[0]] * (MOST_ROWS + 1)}, "limit cap has 5,001 rows; at most 5,000 are read"),
    ],
)  # fmt: skip
def test_a_hit_policy_that_makes_no_sense_is_refused_with_the_remedy(stated: Document, words: str) -> None:
    assert any(words in problem for problem in problems({"cap": {"unit": "money", **stated}}))


@pytest.mark.parametrize("hit_policy", ["unique", "any"])
def test_the_content_of_a_policy_keeps_what_settles_its_limits(hit_policy: str) -> None:
    stated: Document = {"unit": "money", "hit_policy": hit_policy, "rows": ROWS}
    hashes = set()
    for more in ({"default": "$1"}, {"default": "$2"}, {"on_no_hit": "unknown"}):
        found = policy({"cap": stated | more})
        assert Policy.from_text(found.canonical).sha256 == found.sha256
        assert Policy.from_text(found.self_contained).sha256 == found.sha256
        hashes.add(found.sha256)
    assert len(hashes) == 3


def test_a_table_by_priority_is_one_by_first_in_another_order() -> None:
    stated = {"hit_policy": "priority", "output_values": ["$100", "$300", "$200"], "rows": ROWS, "default": "$1"}
    ranked = policy({"cap": {"unit": "money", **stated}})
    ordered = policy({"cap": {"unit": "money", "rows": [ROWS[2], ROWS[0], ROWS[1], {"limit": "$1"}]}})
    assert ranked.sha256 == ordered.sha256


# The same limits from YAML, CSV, Excel and DMN

CSV = csv(
    "Tier;Condition;Term months;Payment to income;Limit;note",
    '"""A"",""B""";new;<= 72;-;130%;the best',
    "A, B;used;[24..72];<= 15 %;125.5 %;",
    ";;;;;",
    'not("A", "B");-;(0..60);< 10%, [12%..14%];115%;',
    "C;;36, 48;;112.25%;",
    "-;-;-;-;100 %;",
)
EXCEL_ROWS: list[list[Any]] = [
    ["Tier", "Condition", "Term months", "Payment to income", "Limit", "note"],
    ['"A","B"', "new", "<= 72", "-", 1.3, "the best"],
    ["A, B", "used", "[24..72]", "<= 15 %", 1.255, None],
    [None, None, None, None, None, None],
    ['not("A", "B")', None, "(0..60)", "< 10%, [12%..14%]", 1.15, None],
    ["C", None, "36, 48", None, 1.1225, None],
    ["-", "-", "-", "-", 1, None],
]
DMN_ROWS = [
    ('"A","B"', '"new"', "<= 72", "-", '"130 %"'),
    ('"A", "B"', '"used"', "[24..72]", '<= "15 %"', '"125.5 %"'),
    ('not("A", "B")', "-", "(0..60)", '< "10 %", ["12 %".."14 %"]', '"115 %"'),
    ('"C"', "-", "36, 48", "-", '"112.25 %"'),
    ("-", "-", "-", "-", '"100 %"'),
]
YAML_ROWS = [
    {"when": 'tier in ["A", "B"] and condition == "new" and term_months <= 72', "limit": "130%"},
    {"when": 'tier in ["A", "B"] and condition == "used" and term_months >= 24 and term_months <= 72 '
             "and payment_to_income <= 15%", "limit": "125.5%"},
    {"when": 'not tier in ["A", "B"] and term_months > 0 and term_months < 60 '
             "and (payment_to_income < 10% or payment_to_income >= 12% and payment_to_income <= 14%)", "limit": "115%"},
    {"when": 'tier == "C" and term_months in [36, 48]', "limit": "112.25%"},
    {"limit": "100%"},
]  # fmt: skip


@pytest.fixture(scope="module")
def sources() -> dict[str, Policy]:
    formats = {f"E{row}": "0.00%" for row in (2, 3, 5, 6, 7)}
    names = [data(name) for name in ("tier", "condition", "term_months", "payment_to_income")]
    inputs = ["tier", "condition", "Term months", "payment_to_income"]
    files = {
        "limits.csv": CSV,
        "limits.xlsx": workbook(EXCEL_ROWS, formats=formats),
        "limits.dmn": document(*names, decision("Max LTV", table("FIRST", inputs, DMN_ROWS))),
    }
    stated: dict[str, Document] = {
        "yaml": {"rows": YAML_ROWS},
        "csv": {"table": "limits.csv"},
        "excel": {"table": "limits.xlsx", "sheet": "LTV"},
        "dmn": {"table": "limits.dmn", "decision": "Max LTV"},
    }
    return {
        name: policy({"max_ltv": {"unit": "percent", **limit}}, files, "total_ltv <= max_ltv")
        for name, limit in stated.items()
    }


def random_deal(pick: Random) -> Deal:
    price = pick.randrange(500_000, 5_000_000)
    applicant = {"tier": pick.choice("ABCDE"), "monthly_income": f"{pick.randrange(1_000, 15_000)}.00"}
    for name in list(applicant):
        if pick.random() < 0.1:
            del applicant[name]
    worth = f"{price // pick.choice((90, 100, 110, 120, 130))}.00"
    values = [{"basis": basis, "amount": worth} for basis in ("invoice", "jdpower_clean_trade")]
    return Deal.read(
        {
            "deal_id": "D", "submitted_on": "2026-11-20", "cash_price": f"{price // 100}.{price % 100:02d}",
            "vehicle": {"condition": pick.choice(("new", "used")), "values": values if pick.random() < 0.9 else []},
            "applicant": applicant, "apr_percent": f"{pick.randrange(0, 25)}.9",
            "term_months": pick.choice((0, 12, 23, 24, 36, 48, 59, 60, 61, 72, 73, 84)) or 1,
        }
    )  # fmt: skip


def test_yaml_csv_excel_and_dmn_give_the_same_decisions_on_5000_deals(sources: dict[str, Policy]) -> None:
    compiled = {name: CompiledPolicy(found) for name, found in sources.items()}
    pick = Random(20_261_120)
    limits: set[object] = set()
    for _ in range(5_000):
        deal = random_deal(pick)
        found = {}
        for name, one in compiled.items():
            evaluation = one.evaluate(deal)
            (finding,) = (finding.document() for finding in evaluation.findings)
            finding.pop("limit_origin", None)
            found[name] = (evaluation.outcome, finding, evaluation.engine["agreed"])
        limits.add(found["yaml"][1].get("limit"))
        assert found["csv"] == found["yaml"]
        assert found["excel"] == found["yaml"]
        assert found["dmn"] == found["yaml"]
    assert limits == {None, "130.00", "125.50", "115.00", "112.25", "100.00"}  # every row took part


def test_the_hash_is_that_of_the_rows_whatever_file_they_come_from(sources: dict[str, Policy]) -> None:
    assert len({sources[name].sha256 for name in sources}) == 1
    for found in sources.values():
        again = Policy.from_text(found.self_contained)
        assert again.sha256 == found.sha256
        assert again.limits == found.limits


def test_a_row_knows_its_file_its_sheet_and_its_line(sources: dict[str, Policy]) -> None:
    origins = {name: [row.origin for row in found.limits["max_ltv"].rows] for name, found in sources.items()}
    assert origins["csv"][:3] == ["limits.csv, line 2", "limits.csv, line 3", "limits.csv, line 5"]
    assert origins["excel"][:3] == [
        "limits.xlsx, sheet LTV, row 2",
        "limits.xlsx, sheet LTV, row 3",
        "limits.xlsx, sheet LTV, row 5",
    ]
    assert origins["dmn"][:2] == ["limits.dmn, decision Max LTV, rule 1", "limits.dmn, decision Max LTV, rule 2"]


def test_the_origin_of_a_row_is_in_the_decision_also_of_a_stored_version(sources: dict[str, Policy]) -> None:
    deal = random_deal(Random(7))
    shown = CompiledPolicy(sources["excel"]).evaluate(deal).document()
    again = CompiledPolicy(Policy.from_text(sources["excel"].self_contained)).evaluate(deal).document()
    assert shown["findings"][0]["limit_origin"].startswith("limits.xlsx, sheet LTV, row ")
    assert again == shown


def test_a_dmn_file_states_hit_policy_aggregate_order_and_default() -> None:
    def read(logic: str, **more: Any) -> Policy:
        found = {"unit": "money", "table": "l.dmn", **more}
        return policy({"cap": found}, {"l.dmn": document(data("tier"), decision("D", logic))})

    ranked = read(table("PRIORITY", ["tier"], [("-", "5"), ('"A"', "7")], [output(values="7, 5")]))
    assert [row.origin for row in ranked.limits["cap"].rows] == [
        "l.dmn, decision D, rule 2",
        "l.dmn, decision D, rule 1",
    ]
    summed = read(table("COLLECT", ["tier"], [('"A"', "5"), ('"B"', "$7")], [output(default="1")], "SUM"))
    cap = summed.limits["cap"]
    assert (cap.hit_policy, cap.aggregate) == ("collect", "sum")
    assert cap.default is not None
    assert cap.default.origin == "l.dmn, decision D, default"
    with pytest.raises(PolicyError, match="hit_policy is 'first' here and 'unique' in the file"):
        read(table("UNIQUE", ["tier"], [('"A"', "5")], [output(default="1")]), hit_policy="first")
    for logic in (table("RULE ORDER", ["tier"], [("-", "5")]), table("COLLECT", ["tier"], [("-", "5")])):
        with pytest.raises(PolicyError, match="of the file gives a list"):
            read(logic)


# Cells


@pytest.mark.parametrize(
    ("unit", "cell", "condition"),
    [
        (Unit.TEXT, "A", 'f == "A"'),
        (Unit.TEXT, "near prime, B", 'f in ["near prime", "B"]'),
        (Unit.TEXT, '"A, B"', 'f == "A, B"'),
        (Unit.TEXT, "not(A)", 'f != "A"'),
        (Unit.TEXT, "not(A; B)", 'f not in ["A", "B"]'),
        (Unit.TEXT, "'it is \"so\"'", "f == 'it is \"so\"'"),
        (Unit.COUNT, ">= 60", "f >= 60"),
        (Unit.COUNT, "60", "f == 60"),
        (Unit.COUNT, "60.0", "f == 60"),
        (Unit.COUNT, "36, 48", "f in [36, 48]"),
        (Unit.COUNT, "[24..60]", "f >= 24 and f <= 60"),
        (Unit.COUNT, "]24..60[", "f > 24 and f < 60"),
        (Unit.COUNT, "not([24..60])", "not (f >= 24 and f <= 60)"),
        (Unit.COUNT, "< 10, [20..30], 40", "f == 40 or f < 10 or (f >= 20 and f <= 30)"),
        (Unit.MONEY, "<= $5,000", "f <= $5000".replace("5000", "5,000")),
        (Unit.MONEY, "<= 5000", "f <= $5000"),
        (Unit.MONEY, "[$1,000 .. $2,500.50]", "f >= $1,000 and f <= $2,500.50"),
        (Unit.PERCENT, "< 12.5 %", "f < 12.5%"),
        (Unit.BOOLEAN, "true", "f"),
        (Unit.BOOLEAN, "FALSE", "not f"),
        (Unit.BOOLEAN, "not(true)", "not (f)"),
        (Unit.TEXT, "-", None),
        (Unit.TEXT, "   ", None),
    ],
)
def test_a_cell_is_a_condition_on_the_field_of_its_column(unit: Unit, cell: str, condition: str | None) -> None:
    assert cell_condition("f", unit, cell) == condition


@pytest.mark.parametrize(
    ("unit", "cell", "words"),
    [
        (Unit.COUNT, "60,000", "'60,000' may be one number or a list"),
        (Unit.PERCENT, "1.25", "1.25 where a percent is needed"),
        (Unit.PERCENT, "<= 125", "125 where a percent is needed"),
        (Unit.COUNT, "sixty", "f is a count, not 'sixty'"),
        (Unit.COUNT, ">= $60", "f is a count, not '$60'"),
        (Unit.MONEY, "125%", "f is an amount of money, not '125%'"),
        (Unit.BOOLEAN, "maybe", "f is true or false"),
        (Unit.DATE, "2026-01-01", "cannot test days"),
        (Unit.COUNT, ">=", "ends too early"),
        (Unit.COUNT, "[24..", "ends too early"),
        (Unit.COUNT, "[24, 60]", "an interval is written as [24..60]"),
        (Unit.COUNT, "not(24", "ends too early"),
        (Unit.COUNT, "24 )", "did not expect ')'"),
        (Unit.TEXT, '"A', "cannot be read at"),
        (Unit.TEXT, "A,,B", "a value is missing before it"),
        (Unit.TEXT, "A" * 3_000, "a cell of 3,000 characters"),
    ],
)
def test_a_cell_that_cannot_be_read_is_told(unit: Unit, cell: str, words: str) -> None:
    with pytest.raises(CellError) as caught:
        cell_condition("f", unit, cell)
    assert words in caught.value.message


@given(st.sampled_from(list(Unit)), st.text(max_size=30) | st.text("()[]<>=.,;-\"'12%$ Anot", max_size=30))
def test_any_cell_is_a_condition_or_an_error_of_ours(unit: Unit, cell: str) -> None:
    names = {Unit.TEXT: "dealer_id", Unit.COUNT: "term_months", Unit.MONEY: "cash_price", Unit.PERCENT: "apr_percent",
             Unit.BOOLEAN: "covered_borrower", Unit.DATE: "submitted_on"}  # fmt: skip
    quoted = '"' + cell.replace('"', '""') + '"'
    lines = f"{names[unit]},limit\n{quoted},$1\n".encode()
    try:
        policy({"cap": {"unit": "money", "table": "l.csv", "default": "$2"}}, {"l.csv": lines})
    except PolicyError:
        return


# Files that are wrong


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["tierr,limit", "A,$1"], "l.csv, line 1, column tierr: unknown name 'tierr' Did you mean 'tier'?"),
        (["tier,limit", "A,5%"], "l.csv, line 2, column limit: this is a percent, where a money is needed"),
        (["tier,limit", "A,$1", "B,"], "l.csv, line 3, column limit: there is no limit in this row"),
        (["tier,limit", "A,$1.005"], "l.csv, line 2, column limit: money has at most two decimal places"),
        (["condition,limit", "old,$1"], "l.csv, line 2, column condition: condition is never 'old'"),
        (["tier,limit", "> A,$1"], "l.csv, line 2, column tier: a text has no order"),
        (["tier,limt", "A,$1"], "l.csv has no column 'limit'; its first row has tier, limt"),
        (["tier,tier,limit", "A,B,$1"], "l.csv has two columns 'tier'"),
        (["tier,limit", "A,$1,more"], "l.csv, line 2, column 3: a value in a column without a name"),
        (["$5,limit", "A,$1"], "'$5' is no name of a field or a measure"),
        (["products,limit", "A,$1"], "'products' is a list"),
        (["tier,limit"], "l.csv has no row below its header"),
        ([""], "l.csv is empty"),
        (["tier,limit", '"A,$1'], "l.csv, line 2: not CSV: unexpected end of data"),
        (["tier,limit", "-,$1", "A,$2"], "this row can never match: the row above it matches every deal (l.csv, line 3)"),
        (["tier,limit", "A,$1"], "limit cap has a gap"),
        (["tier,limit", *["A,$1"] * 5_001], "l.csv has 5,001 rows; at most 5,000 are read"),
        (["tier,limit", *["A,$1"] * 1_000_000], "l.csv has more than 5,000 rows; at most 5,000 are read"),
        ([",".join(map(str, range(200)))], "200 columns; at most 100 are read"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_csv_file_is_told_with_its_line_and_column(lines: list[str], words: str) -> None:
    assert any(
        words in problem for problem in problems({"cap": {"unit": "money", "table": "l.csv"}}, {"l.csv": csv(*lines)})
    )


def test_a_column_for_people_is_not_passed_over_where_the_policy_defines_its_name(
    write_policy: Callable[..., str],
) -> None:
    """The note is the amount of a promissory note: unread, the first row would give its limit to every deal."""
    note = {"note": {"unit": "money", "formula": "amount_financed"}}
    limits = {"cap": {"unit": "money", "table": "l.csv"}}
    files = {"l.csv": csv("note,limit", "> $50000,$1", "-,$2")}
    with pytest.raises(PolicyError, match="column note: a column 'note' is for people and tests nothing"):
        Policy.from_text(write_policy("note <= cap", measures=note, limits=limits), "p.yaml", files.__getitem__)
    files = {"l.csv": csv("note,tier,limit", "seen,A,$1", "all,-,$2")}
    Policy.from_text(write_policy("cash_price <= cap", limits=limits), "p.yaml", files.__getitem__)


def test_every_mistake_of_a_file_is_told_at_once_up_to_a_number() -> None:
    found = problems(
        {"cap": {"unit": "money", "table": "l.csv"}}, {"l.csv": csv("condition,limit", "old,5%", "new,x", "uset,$1")}
    )
    assert [problem.partition(":")[0] for problem in found if problem.startswith("l.csv")] == [
        "l.csv, line 2, column condition", "l.csv, line 2, column limit", "l.csv, line 3, column limit",
        "l.csv, line 4, column condition",
    ]  # fmt: skip
    many = problems({"cap": {"unit": "money", "table": "l.csv"}}, {"l.csv": csv("condition,limit", *["old,$1"] * 200)})
    assert "150 more problems in this table" in many
    assert len(many) < 60


def excel_problems(rows: list[list[Any]], **more: Any) -> list[str]:
    formats = more.pop("formats", None)
    return problems(
        {"cap": {"unit": "percent", "table": "l.xlsx", **more}}, {"l.xlsx": workbook(rows, formats=formats)}
    )


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([["tier", "limit"], ["A", 1.25]], "l.xlsx, sheet LTV, cell B2: a bare number is a count and has no decimal places"),
        ([["tier", "limit"], ["A", "=1+1"]], "l.xlsx, sheet LTV, cell B2: a formula; put the value itself there"),
        ([["tier", "limit"], ["A", "#REF!"]], "l.xlsx, sheet LTV, cell B2"),
        ([["tier", "limit"], ["A", "125%"], [None, None, 5]], "l.xlsx, sheet LTV, cell C3: a value in a column without a name"),
        ([["condition", "limit"], ["odl", "125%"]], "l.xlsx, sheet LTV, cell A2: condition is never 'odl'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_sheet_is_told_with_its_cell(rows: list[list[Any]], words: str) -> None:
    assert any(words in problem for problem in excel_problems(rows))


def test_every_mistake_of_a_sheet_is_told_at_once() -> None:
    rows: list[list[Any]] = [["condition", "term months", "limit"], ["nwe", "60,000", "=C3*2"], ["new", "=1", 1.25]]
    assert [problem.partition(": ")[0] for problem in excel_problems(rows) if problem.startswith("l.xlsx")] == [
        f"l.xlsx, sheet LTV, cell {name}" for name in ("A2", "B2", "B3", "C2", "C3")
    ]


def test_numbers_of_a_sheet_are_read_exactly_as_they_are_shown() -> None:
    rows: list[list[Any]] = [
        ["cash_price", "mileage", "first_time_buyer", "limit"],
        [5000.1, 60000, True, 1.15],
        ["-", "-", "-", 0.075],
    ]
    formats = {"A2": '"$"#,##0.00', "D2": "0%", "D3": "0.00%"}
    found = policy(
        {"cap": {"unit": "percent", "table": "l.xlsx"}}, {"l.xlsx": workbook(rows, formats=formats)}, "total_ltv <= cap"
    )
    assert found.content["limits"]["cap"]["rows"] == [
        {"limit": "115%", "when": "cash_price == $5,000.10 and mileage == 60000 and first_time_buyer"},
        {"limit": "7.5%"},
    ]


def test_merged_cells_several_sheets_and_far_away_cells_are_refused() -> None:
    book = Workbook()
    page = book.active
    assert page is not None
    page.append(["tier", "limit"])
    page.append(["A", "125%"])
    page.merge_cells("A2:A3")
    page.title = "One"
    book.create_sheet("Two").cell(900_000, 1, "far")

    def told(**more: Any) -> str:
        file = BytesIO()
        book.save(file)
        return problems({"cap": {"unit": "percent", "table": "l.xlsx", **more}}, {"l.xlsx": file.getvalue()})[0]

    assert told() == "l.xlsx has several sheets: say which with 'sheet'; its sheets are 'One', 'Two'"
    assert told(sheet="Too") == "l.xlsx has no sheet 'Too'; its sheets are 'One', 'Two'"
    assert (
        told(sheet="One") == "l.xlsx, sheet One: the cells A2:A3 are merged; all but one of them would count as empty"
    )
    assert "is in use down to row 900,000" in told(sheet="Two")


def zipped(name: str, size: int) -> bytes:
    file = BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        archive.writestr(name, b"\0" * size)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("l.xlsx", b"", "l.xlsx is no Excel workbook"),
        ("l.xlsx", b"tier,limit", "l.xlsx is no Excel workbook"),
        (
            "l.xlsx",
            zipped("xl/workbook.xml", 40_000_000),
            "l.xlsx unpacks to 40,000,000 bytes; at most 30,000,000 are read",
        ),
        ("l.xlsx", zipped("xl/workbook.xml", 10), "l.xlsx is no Excel workbook that can be read"),
        ("l.csv", b"\xff\xfe\x00", "l.csv is not UTF-8 text (byte 0)"),
        ("l.csv", b"a" * 20_000_001, "l.csv has 20,000,001 bytes; at most 20,000,000 are read"),
        ("l.dmn", b"<a>", "l.dmn: not well-formed XML"),
        ("l.dmn", document(), "l.dmn has 0 decisions"),
        ("l.dmn", document(decision("D", "<relation/>")), "l.dmn, decision D is no decision table"),
        ("l.txt", b"", "l.txt is of no kind that is read here"),
    ],
)
def test_a_file_that_is_no_table_is_refused(name: str, content: bytes, words: str) -> None:
    assert any(words in problem for problem in problems({"cap": {"unit": "money", "table": name}}, {name: content}))


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"table": "no.csv"}, "no.csv cannot be read: there is no such file"),
        ({"table": "l.csv", "rows": ROWS}, "limit cap has both rows and a table"),
        ({"table": "l.csv", "sheet": "S"}, "l.csv has no sheets"),
        ({"table": "l.csv", "decision": "D"}, "l.csv has no decisions"),
        ({"table": ""}, "table must be a text that is not empty"),
    ],
)
def test_an_entry_that_does_not_fit_a_file_is_refused(stated: Document, words: str) -> None:
    files = {"l.csv": csv("tier,limit", "-,$1")}
    assert any(words in problem for problem in problems({"cap": {"unit": "money", **stated}}, files))


def test_a_policy_that_is_no_file_has_no_files_beside_it() -> None:
    written = json.dumps({**HEAD, "limits": {"cap": {"unit": "money", "table": "l.csv"}}, "rules": []})
    with pytest.raises(PolicyError, match="cannot be read here: this policy does not come from a file"):
        Policy.from_text(written)


def test_a_table_of_the_most_rows_settles_its_limit(small_deal: Callable[..., Deal]) -> None:
    lines = [f"[{number}..{number + 1}),{number}" for number in range(MOST_ROWS)]
    unique = {"unit": "money", "hit_policy": "unique", "table": "l.csv", "on_no_hit": "unknown"}
    files = {"l.csv": csv("mileage,limit", *lines)}
    compiled = CompiledPolicy(policy({"cap": unique}, files, "cash_price >= cap"))
    deal = small_deal(vehicle={"condition": "used", "mileage": MOST_ROWS - 1})
    assert compiled.evaluate(deal).document()["findings"][0]["limit"] == f"{MOST_ROWS - 1}.00"
