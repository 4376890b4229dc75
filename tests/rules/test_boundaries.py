"""The deals around limits: on the right side of them, a step apart, and nothing claimed where none was found."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from dealgate import CompiledPolicy, Policy
from dealgate.adapters.policies import SHIPPED, load_policy
from dealgate.rules.boundaries import Boundary, NoBoundary, as_example, find_boundaries
from dealgate.rules.deal import PartialDeal
from dealgate.rules.fields import facts_of
from dealgate.rules.tracing import Trace

Find = Callable[..., list[Boundary | NoBoundary]]


@pytest.fixture
def find(write_policy: Callable[..., str]) -> Find:
    def found(*rules: Any, **sections: Any) -> list[Boundary | NoBoundary]:
        return list(find_boundaries(CompiledPolicy(Policy.from_text(write_policy(*rules, **sections)))))

    return found


def only(found: list[Boundary | NoBoundary]) -> Boundary:
    (boundary,) = found
    assert isinstance(boundary, Boundary)
    return boundary


def results(boundary: Boundary) -> dict[str, str]:
    return {case.side: case.result.value for case in boundary.cases}


def moved_numbers(boundary: Boundary) -> list[int | None]:
    assert boundary.moved
    return [boundary.moved.number(case.deal) for case in boundary.cases]


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("<=", ("pass", "pass", "violated")),
        ("<", ("pass", "violated", "violated")),
        (">=", ("violated", "pass", "pass")),
        (">", ("violated", "violated", "pass")),
        ("==", ("violated", "pass", "violated")),
        ("!=", ("pass", "violated", "pass")),
    ],
)
def test_each_operator_says_what_happens_exactly_at_the_limit(
    find: Find, operator: str, expected: tuple[str, ...]
) -> None:
    boundary = only(find(f"cash_price {operator} $20,000"))
    assert tuple(results(boundary).values()) == expected
    assert moved_numbers(boundary) == [19_999_99, 20_000_00, 20_000_01]


@pytest.mark.parametrize(
    ("require", "moved", "numbers"),
    [
        ("term_months <= 72", "term_months", [71, 72, 73]),
        ("mileage <= 60000", "vehicle.mileage", [59_999, 60_000, 60_001]),
        ("vehicle_age <= 10", "vehicle.model_year", [2017, 2016, 2015]),
        ("apr_percent <= 18%", "apr_percent", [17_99, 18_00, 18_01]),
        ("total_ltv <= 125%", "cash_price", [35_499_99, 35_500_00, 35_500_01]),
        ("payment_to_income <= 15%", "monthly_payment", [1_199_99, 1_200_00, 1_200_01]),
        ("$5,000 >= rolled_in_negative_equity", "trade_ins[0].payoff", [15_999_99, 16_000_00, 16_000_01]),
    ],
)
def test_the_step_is_a_cent_a_basis_point_or_one(find: Find, require: str, moved: str, numbers: list[int]) -> None:
    boundary = only(find(require))
    assert str(boundary.moved) == moved
    assert moved_numbers(boundary) == numbers
    assert results(boundary) == {"below": "pass", "at": "pass", "above": "violated"}


def test_a_deal_is_built_for_a_row_that_no_example_reaches(find: Find) -> None:
    limit = {
        "unit": "count",
        "rows": [
            {"when": 'condition == "new"', "limit": "84"},
            {"when": 'tier in ["P", "Q"] and mileage > 90000', "limit": "36"},
            {"when": "amount_financed >= $75,000", "limit": "96"},
            {"limit": "60"},
        ],
    }
    found = find("term_months <= max_term", limits={"max_term": limit})
    assert [part.target.row_name for part in found if isinstance(part, Boundary)] == [
        f"max_term row {row}" for row in (1, 2, 3, 4)
    ]
    numbers = [moved_numbers(part) for part in found if isinstance(part, Boundary)]
    assert numbers == [[83, 84, 85], [35, 36, 37], [95, 96, 97], [59, 60, 61]]


def test_every_row_of_a_table_that_weighs_all_rows_is_tried(find: Find) -> None:
    rows = [{"when": 'tier == "A"', "limit": "60"}, {"when": "mileage > 90000", "limit": "48"}]
    limit = {"unit": "count", "hit_policy": "collect", "aggregate": "min", "rows": rows, "default": "36"}
    found = [part for part in find("term_months <= most", limits={"most": limit}) if isinstance(part, Boundary)]
    assert [part.target.row_name for part in found] == ["most row 1", "most row 2", "most default"]
    assert [moved_numbers(part)[1] for part in found] == [60, 48, 36]


def test_a_side_that_no_deal_reaches_is_named(find: Find) -> None:
    boundary = only(find("over_allowance == $0"))
    assert results(boundary) == {"at": "pass", "above": "violated"}
    assert boundary.note == "no deal was found below the limit"


def test_a_row_that_no_deal_reaches_is_named(find: Find) -> None:
    rows = [{"when": "mileage > 5 and mileage < 3", "limit": "10"}, {"limit": "60"}]
    found = find("term_months <= most", limits={"most": {"unit": "count", "rows": rows}})
    assert isinstance(found[0], Boundary)
    assert found[0].cases == ()
    assert found[0].note == "no deal was found for which the rule is judged by most row 1"


def test_a_rule_without_numbers_is_named_with_the_reason(find: Find) -> None:
    found = find({"id": "A", "require": "not covered_borrower"}, {"id": "B", "require": 'not violated("A")'})
    assert [part.reason for part in found if isinstance(part, NoBoundary)] == [
        "compares no numbers: not covered_borrower",
        "rests on A: their boundaries are its own",
    ]


def test_a_rule_that_applies_only_to_a_broken_one_gets_its_deals(find: Find) -> None:
    first = {"id": "PTI", "require": "payment_to_income <= 15%"}
    second = {"id": "STRAINED", "applies": 'violated("PTI")', "require": "total_ltv <= 100%"}
    found = find(first, second)
    assert isinstance(found[1], Boundary)
    assert results(found[1]) == {"below": "pass", "at": "pass", "above": "violated"}
    for case in found[1].cases:
        assert {finding.rule: finding.result.value for finding in case.evaluation.findings}["PTI"] == "violated"


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request: pytest.FixtureRequest) -> tuple[CompiledPolicy, list[Boundary | NoBoundary]]:
    compiled = CompiledPolicy(load_policy(request.param).policy)
    return compiled, list(find_boundaries(compiled))


def test_every_limit_of_a_shipped_policy_has_its_deals(
    shipped: tuple[CompiledPolicy, list[Boundary | NoBoundary]],
) -> None:
    """Only a measure that cannot be below zero has no deal below a limit of zero, and no number moves the kind of a product."""
    _, found = shipped
    incomplete = {part.target.rule.id for part in found if isinstance(part, Boundary) and len(part.cases) < 3}
    assert incomplete <= {"NE-HIDDEN", "TRADE-AT-PAYOFF", "OVER-ALLOWANCE", "PRODUCT-KIND"}
    assert {part.rule.id for part in found if isinstance(part, NoBoundary)} <= {"LAYERED", "GAP-COVERED-BORROWER"}


def test_each_deal_stands_on_its_side_by_another_reckoning(
    shipped: tuple[CompiledPolicy, list[Boundary | NoBoundary]],
) -> None:
    """The search used the reference over what rules read; here the sides are worked out again over every measure."""
    compiled, found = shipped
    for part in (part for part in found if isinstance(part, Boundary)):
        left, right = part.target.comparison.left, part.target.comparison.right
        for case in part.cases:
            facts = facts_of(PartialDeal.read(case.deal))
            trace = Trace(compiled.policy, facts, compiled.evidence(facts))
            distance: Fraction = trace.value(left) - trace.value(right)
            sign = (distance > 0) - (distance < 0)
            assert sign == {"below": -1, "at": 0, "above": 1}[case.side]
            if part.target.limit and part.target.limit.hit_policy == "first":
                assert trace.reckoning.limits[part.target.limit.name].row == part.target.row


def test_the_deals_of_a_limit_differ_in_one_number_only(
    shipped: tuple[CompiledPolicy, list[Boundary | NoBoundary]],
) -> None:
    _, found = shipped
    for part in (part for part in found if isinstance(part, Boundary)):
        assert part.moved or part.target.rule.id == "PRODUCT-KIND"
        assert part.moved is None or len({str(part.moved.moved(case.deal, 500)) for case in part.cases}) == 1


def test_an_example_says_what_every_rule_comes_to(find: Find) -> None:
    boundary = only(find("total_ltv <= 125%"))
    above = boundary.case("above")
    assert above
    entry = as_example(boundary, above)
    assert entry["name"] == "R0, total_ltv <= 125%: above the limit, by cash_price"
    assert entry["expect"] == {"outcome": "refer", "violated": ["R0"], "measures": {"total_ltv": "125.00"}}
