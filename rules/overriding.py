"""What an override asks of a decision: which findings it may name, and what of them is held against an authority."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dealgate.rules.authority import Asked, OverrideError, Overrides, Side
from dealgate.rules.comparing import facing_the_limit
from dealgate.rules.expressions import Comparison, Expression, FieldName, LevelPayment, MeasureName, walk
from dealgate.rules.policy import Policy
from dealgate.rules.reading import RESERVED_RULES

BY_THE_MONTH = {"monthly_income", "monthly_debt", "given_monthly_payment"}
PASSES = {"pass", "flag"}

Decision = Mapping[str, Any]


def overrides_of_policy(policy: Policy) -> Overrides:
    """What a policy says of overrides. Raises `OverrideError` for one that says nothing."""
    if policy.overrides is None:
        raise OverrideError(
            f"{policy.name} {policy.version} lets nobody override: its next version may have a section 'overrides', "
            "under which the deal is submitted again"
        )
    return policy.overrides


def asked(policy: Policy, decision: Decision, side: Side, rules: Sequence[str]) -> Asked:
    """What an override of these findings comes to. Raises `OverrideError` for findings that cannot be named.

    Turning a deal down lets no finding through: there the excess is nothing.
    """
    if len(set(rules)) < len(rules):
        raise OverrideError("a finding is named twice")
    findings = {finding["rule"]: finding for finding in decision["findings"]}
    for rule in rules:
        _check_named(findings, rule, side)
    if side is Side.HIGH and decision["outcome"] not in PASSES:
        raise OverrideError(
            f"the policy says {decision['outcome']} already: only a deal that it lets pass is turned down"
        )
    if side is Side.LOW and not rules:
        raise OverrideError("no finding is named: name each one that the deal is let through against")
    amount = decision["measures"].get("amount_financed", {})
    _check_whole("the amount financed", amount)
    nothing = dict.fromkeys(rules, 0)
    excesses = nothing if side is Side.HIGH else {rule: excess(policy, findings[rule]) for rule in rules}
    return Asked(side, _cents(amount.get("value")), excesses)


def _check_whole(what: str, part: Mapping[str, Any]) -> None:
    """What was erased is not what is not measured in money: nobody can say any more whether an authority reaches as far."""
    if part.get("erased"):
        raise OverrideError(
            f"{what} was erased from the decision, and no authority can be held against it: submit the deal again"
        )


def _check_named(findings: Mapping[str, Any], rule: str, side: Side) -> None:
    if rule in RESERVED_RULES:
        raise OverrideError(f"{rule} is the gate's own finding and nobody overrides it: submit the deal again")
    if rule not in findings:
        raise OverrideError(f"the decision has no finding {rule!r}; it has: {', '.join(findings)}")
    if side is Side.LOW and findings[rule]["severity"] == "pass":
        raise OverrideError(f"{rule} does not stand against the deal: name findings that flag, refer or decline it")
    if side is Side.LOW:
        _check_whole(f"the excess of {rule}", findings[rule])


def still_open(decision: Decision) -> Iterator[Mapping[str, Any]]:
    """The findings without which the policy would let the deal pass."""
    return (finding for finding in decision["findings"] if finding["severity"] not in PASSES)


def excess(policy: Policy, finding: Mapping[str, Any]) -> int | None:
    """How far a finding is beyond its limit, in cents; None where that is unknown, or no one amount of money.

    An amount by the month is none to hold against a limit on sums, and of a requirement of several parts a finding tells
    one only.
    """
    in_money = finding.get("unit") == "money" or "margin_points" in finding
    if not in_money or "excess" not in finding or not _is_one_sum(policy, finding["rule"]):
        return None
    return _cents(finding["excess"])


def _is_one_sum(policy: Policy, rule_id: str) -> bool:
    require = next((rule.require for rule in policy.rules if rule.id == rule_id), None)
    return isinstance(require, Comparison) and not _is_by_the_month(policy, facing_the_limit(require).left)


def _is_by_the_month(policy: Policy, expression: Expression) -> bool:
    for node in walk(expression):
        if isinstance(node, LevelPayment) or (isinstance(node, FieldName) and node.name in BY_THE_MONTH):
            return True
        if isinstance(node, MeasureName) and _is_by_the_month(policy, policy.measures[node.name].formula):
            return True
    return False


def _cents(shown: str | None) -> int | None:
    """Of money as a decision shows it: "37769.69" is 3776969."""
    return None if shown is None else int(shown.replace(".", ""))
