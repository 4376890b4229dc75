"""Who may override what: read from a policy with every mistake told, judged to the cent, and unknown never taken for little."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dealgate import Deal, Policy, PolicyError
from dealgate.rules.authority import Asked, Authority, OverrideError, Overrides, SecondPerson, Side
from dealgate.rules.differences import differences
from dealgate.rules.evaluation import evaluate
from dealgate.rules.explaining import explain
from dealgate.rules.overriding import asked, excess, overrides_of_policy
from tests.models.samples import OVERRIDABLE, POLICY, a_deal

CENTS = st.integers(0, 10_000_000_00)
AMOUNT, EXCESS = 40_000_00, 4_500_00
UNDERWRITER = Authority("underwriter", AMOUNT, EXCESS, ("LTV-TOTAL", "NE-ROLLED"), (Side.LOW,))
ANYTHING = Authority("anything", 10_000_000_00, 10_000_000_00, unmeasured=True)


def low(amount: int | None = 1, **excesses: int | None) -> Asked:
    return Asked(Side.LOW, amount, {rule.replace("_", "-"): excess for rule, excess in excesses.items()})


def read(text: str = OVERRIDABLE) -> Policy:
    return Policy.from_text(text, "p.yaml")


def decided(policy: Policy, **changes: Any) -> dict[str, Any]:
    return evaluate(Deal.read(a_deal(**changes)), policy).document()


# The judgment


@given(amount=CENTS, over=CENTS, beyond=CENTS)
def test_an_authority_reaches_to_its_amounts_and_not_a_cent_beyond(amount: int, over: int, beyond: int) -> None:
    role = Authority("r", amount, over)
    assert role.lacks(low(amount, A=over, B=0)) == ()
    assert len(role.lacks(low(amount + 1 + beyond, A=over))) == 1
    assert len(role.lacks(low(amount, A=over + 1 + beyond, B=over))) == 1
    assert len(role.lacks(low(amount + 1, A=over + 1, B=over + 1))) == 3


@given(amount=CENTS, over=CENTS)
def test_a_second_person_is_needed_a_cent_above_either_threshold(amount: int, over: int) -> None:
    both = SecondPerson(amount, over)
    assert not both.is_needed(low(amount, A=over))
    assert both.is_needed(low(amount + 1, A=over))
    assert both.is_needed(low(amount, A=0, B=over + 1))
    assert not SecondPerson(above_excess=over).is_needed(low(amount + 1, A=over))
    assert not SecondPerson(above_amount=amount).is_needed(low(amount, A=over + 1))


@given(amount=st.none() | CENTS, excesses=st.dictionaries(st.sampled_from("ABC"), st.none() | CENTS, min_size=1))
def test_unknown_is_above_every_bound_unless_a_role_is_for_it(
    amount: int | None, excesses: dict[str, int | None]
) -> None:
    ask = Asked(Side.LOW, amount, excesses)
    unknown = (amount is None) + sum(each is None for each in excesses.values())
    most = 10_000_000_00
    assert len(Authority("r", most, most).lacks(ask)) == unknown
    assert ANYTHING.lacks(ask) == ()
    assert SecondPerson(most, most).is_needed(ask) is bool(unknown)


def test_a_role_overrides_its_own_rules_on_its_own_sides() -> None:
    assert UNDERWRITER.lacks(low(LTV_TOTAL=1)) == ()
    assert UNDERWRITER.lacks(low(LTV_TOTAL=1, PTI=1)) == ("PTI is none of the role's rules",)
    turned_down = Asked(Side.HIGH, 1, {})
    assert UNDERWRITER.lacks(turned_down) == (
        "the role turns no deal down",
        "no finding is named, and the role has authority on named rules only",
    )
    assert ANYTHING.lacks(turned_down) == ()


def test_where_no_role_may_grant_each_is_told_what_it_lacks() -> None:
    overrides = overrides_of_policy(read())
    overrides.check_somebody_may(low(90_000_00, LTV_TOTAL=1))
    with pytest.raises(
        OverrideError, match=r"underwriter: .*at most \$40,000.00; credit-manager: .*\$90,000.01, at most"
    ):
        overrides.check_somebody_may(low(90_000_01, LTV_TOTAL=1))
    with pytest.raises(OverrideError, match="'clerk' no authority; it gives some to: underwriter, credit-manager"):
        overrides.of_role("clerk")


# What is asked of a decision


def test_an_excess_in_one_sum_of_money_is_held_and_no_other() -> None:
    policy = read(OVERRIDABLE.replace("overrides:", EXTRA_RULES + "overrides:", 1))
    decision = decided(policy, applicant__credit_score=600)
    held = {finding["rule"]: excess(policy, finding) for finding in decision["findings"]}
    assert held["LTV-TOTAL"] == 4_019_67
    assert held["PRODUCTS"] == 295_00
    assert held["AGE"] is None  # years
    assert held["PTI"] is None  # by the month
    assert held["PAYMENT"] is None  # likewise
    assert held["TWO-IN-ONE"] is None  # the other part may be further out
    told = {finding["rule"]: finding.get("excess") for finding in decision["findings"]}
    assert (told["PTI"], told["PAYMENT"], told["TWO-IN-ONE"]) == ("140.43", "160.43", "295.00")


EXTRA_RULES = """\
  - {id: PAYMENT, title: At most 500 a month, require: "monthly_payment <= $500", otherwise: flag, reason: r}
  - {id: TWO-IN-ONE, title: Both, require: "products_total <= $3,000 and cash_price <= $1", otherwise: flag, reason: r}
"""


def test_findings_that_can_be_named() -> None:
    policy = read()
    decision = decided(policy)
    assert asked(policy, decision, Side.LOW, ["LTV-TOTAL"]) == Asked(Side.LOW, 37_769_67, {"LTV-TOTAL": 4_019_67})
    for rules, words in [
        ([], "no finding is named"),
        (["LTV-TOTAL", "LTV-TOTAL"], "named twice"),
        (["LTV"], "no finding 'LTV'; it has: LTV-TOTAL, PRODUCTS"),
        (["DTI"], "DTI does not stand against the deal"),
        (["ENGINE-FAILURE"], "the gate's own finding and nobody overrides it"),
        (["ENGINE-DISAGREEMENT"], "submit the deal again"),
        (["POLICY-IN-FORCE"], "submit the deal again"),
    ]:
        with pytest.raises(OverrideError, match=words):
            asked(policy, decision, Side.LOW, rules)
    with pytest.raises(OverrideError, match="the policy says refer already"):
        asked(policy, decision, Side.HIGH, [])


def test_what_is_unknown_of_a_deal_is_unknown_to_an_authority() -> None:
    policy = read()
    decision = decided(policy, vehicle__values=[])
    assert asked(policy, decision, Side.LOW, ["LTV-TOTAL"]).excesses == {"LTV-TOTAL": None}
    traded = [{"kind": "loan", "allowance": "1.00"}]
    assert asked(policy, decided(policy, trade_ins=traded), Side.LOW, ["LTV-TOTAL"]).amount is None


def test_a_policy_without_the_section_lets_nobody_override() -> None:
    with pytest.raises(OverrideError, match="sample 1 lets nobody override: its next version may have a section"):
        overrides_of_policy(read(POLICY))


# The section of the document


PLAIN = """
policy: plain
version: "1"
title: A policy that lets nobody override
effective_from: 2026-11-01
collateral_value: {new: [invoice], used: [jdpower_clean_trade]}
rules:
  - {id: LTV, title: Total LTV at most 125 percent, require: total_ltv <= 125%, otherwise: refer, reason: Age of automobile}
"""


def test_the_content_of_policies_without_the_section_is_as_it_was() -> None:
    """By the hash that this one had before there was such a section."""
    assert read(PLAIN).sha256.startswith("50e3e5c886738c27")


def test_the_content_reads_back_to_the_same_hash() -> None:
    policy = read()
    assert read(policy.canonical).sha256 == read(policy.self_contained).sha256 == policy.sha256
    assert read(policy.canonical).overrides == policy.overrides
    assert policy.overrides == Overrides(
        reasons={
            "STRONG-INCOME": "Income well above the tier's requirement",
            "COLLATERAL-DOUBT": "The collateral is in doubt",
        },
        authority=(UNDERWRITER, Authority("credit-manager", 90_000_00, 20_000_00, unmeasured=True)),
        expires_after_days=30,
        compensating_factors={"LONG-EMPLOYED": "Ten years with one employer", "RESERVES": "Six payments in reserve"},
        second_person=SecondPerson(60_000_00, 5_000_00),
    )
    assert read(OVERRIDABLE.replace("max_amount: $40,000", "max_amount: $40,001")).sha256 != policy.sha256


@pytest.mark.parametrize(
    ("old", "new", "marked", "words"),
    [
        ("NE-ROLLED]", "NE-ROLED]", "NE-ROLED]", "an entry of rules cannot be 'NE-ROLED'"),
        ("[LTV-TOTAL, NE-ROLLED]", "[LTV-TOTAL, LTV-TOTAL]", "[LTV-TOTAL, LTV", "rules names one twice"),
        ("[LTV-TOTAL, NE-ROLLED]", "[]", "[]", "rules lists at least one"),
        ("[low]", "[lo]", "lo]", "an entry of sides cannot be 'lo'"),
        ("max_amount: $40,000", "max_amount: $0", "$0", "max_amount is above $0"),
        ("max_excess: $4,500", "max_excess: 450%", "450%", "this is a percent, where a money is needed"),
        ("max_excess: $4,500", "max_exces: $4,500", "max_exces", "a role's authority has no entry 'max_exces'"),
        (
            "role: credit-manager",
            "role: Underwriter",
            "role: Underwriter",
            "the role 'Underwriter' has its row already",
        ),
        ("unmeasured: true", "unmeasured: yes", "yes", "unmeasured is true or false"),
        ("expires_after_days: 30", "expires_after_days: 0", "0", "a number of days from 1 to 3,650"),
        ("expires_after_days: 30", "expires_after_days: 3651", "3651", "a number of days from 1 to 3,650"),
        ('{above_amount: "$60,000", above_excess: "$5,000"}', "{}", "{}", "second_person says above which amount"),
        ("{LONG-EMPLOYED", "{LONG EMPLOYED", "LONG EMPLOYED", "'LONG EMPLOYED' is not a code"),
        ("LONG-EMPLOYED: Ten years with one employer", 'LONG-EMPLOYED: ""', '""', "must be a text that is not empty"),
    ],
)
def test_a_mistake_is_told_with_its_place(old: str, new: str, marked: str, words: str) -> None:
    text = OVERRIDABLE.replace(old, new)
    assert text != OVERRIDABLE
    with pytest.raises(PolicyError) as error:
        read(text)
    told = [problem for problem in error.value.problems if words in problem.message]
    assert told, error.value
    before = text[: text.index(new) + new.index(marked)]
    place = (told[0].place.line, told[0].place.column)
    assert place == (before.count("\n") + 1, len(before) - before.rfind("\n"))


@pytest.mark.parametrize("entry", ["reasons", "authority", "expires_after_days"])
def test_an_entry_that_is_needed_is_asked_for(entry: str) -> None:
    with pytest.raises(PolicyError, match=f"overrides lacks the entry '{entry}'"):
        read(OVERRIDABLE.replace(f"  {entry}:", f"  x{entry}:"))


def test_the_gates_own_findings_are_no_rules_of_a_policy() -> None:
    with pytest.raises(PolicyError, match="'POLICY-IN-FORCE' cannot be a rule id"):
        read(POLICY.replace("id: PRODUCTS", "id: POLICY-IN-FORCE"))


def test_a_committee_reads_it() -> None:
    told = str(list(explain(read())))
    assert "'credit-manager', 'every rule', '$90,000.00', '$20,000.00', 'low and high', 'covered'" in told
    assert "an amount financed above $60,000.00 or an excess above $5,000.00, or one that is not measured" in told
    assert "ends 30 days after its grant" in told
    assert "Nobody may override a finding." in str(list(explain(read(POLICY))))


def test_a_change_of_authority_is_a_difference_on_which_no_outcome_rests() -> None:
    looser = OVERRIDABLE.replace("max_amount: $40,000", "max_amount: $80,000").replace("days: 30", "days: 90")
    found = {change.name: change for change in differences(read(), read(looser))}
    assert set(found) == {"role underwriter", "expires_after_days"}
    assert not any(change.bears_on_outcomes for change in found.values())
    before, after = found["role underwriter"].before, found["role underwriter"].after
    assert "max_amount $40,000" in str(before)
    assert "max_amount $80,000" in str(after)
    added = {change.name: change.what for change in differences(read(POLICY), read())}
    assert added["role credit-manager"] == added["reasons"] == "added"
