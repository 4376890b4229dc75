"""What a terminal shows of decisions."""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dealgate.adapters.command_line.equity import equity_over_time
from dealgate.rules.amounts import percent as percent_text

OUTCOMES = ("decline", "refer", "flag", "pass")
COLOURS = {"pass": "green", "flag": "yellow", "refer": "dark_orange", "decline": "red"}
MARKS = {
    "pass": "pass",
    "violated": "VIOLATED",
    "mitigated": "mitigated",
    "not_applicable": "n/a",
    "not_evaluable": "UNKNOWN",
}
MOST_ROWS = 40

Decision = Mapping[str, Any]


class _StandardOutput(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # `exit_codes` ends quietly; rich would end the process with code 1


def standard_output() -> Console:
    return _StandardOutput(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 150)


def outcome_text(outcome: str) -> Text:
    return Text(outcome.upper(), style=f"bold {COLOURS[outcome]}")


def money(measure: Mapping[str, Any]) -> str:
    value = measure["value"]
    if value is None:
        return "unknown"
    whole, _, part = str(value).partition(".")
    return f"{int(whole):,}.{part}" if whole not in {"-0"} else str(value)


def percent(measure: Mapping[str, Any]) -> str:
    return "unknown" if measure["value"] is None else f"{measure['value']} %"


def open_findings(decision: Decision) -> list[Mapping[str, Any]]:
    """Findings somebody must know about, the most severe first."""
    told = [
        finding for finding in decision["findings"] if finding["result"] in {"violated", "mitigated", "not_evaluable"}
    ]
    return sorted(told, key=lambda finding: OUTCOMES.index(finding["severity"]))


def decisions_table(decisions: Sequence[Decision], total: int) -> RenderableType:
    table = Table(title_justify="left", header_style="bold", pad_edge=False, box=None, padding=(0, 2, 0, 0))
    for name in ("Deal", "Amount financed", "Collateral value", "Total LTV", "Rolled-in NE", "Outcome", "First reason"):
        table.add_column(
            name,
            justify="right" if name in {"Amount financed", "Collateral value", "Total LTV", "Rolled-in NE"} else "left",
            overflow="fold",
            no_wrap=name != "First reason",
        )
    for decision in decisions:
        measures = decision["measures"]
        table.add_row(
            Text(decision["deal_id"]),
            money(measures["amount_financed"]),
            money(measures["collateral_value"]),
            percent(measures["total_ltv"]),
            money(measures["rolled_in_negative_equity"]),
            outcome_text(decision["outcome"]),
            Text(next(iter(decision["reasons"]), "")),
        )
    if total > len(decisions):
        return Group(
            table,
            Text(
                f"... the {len(decisions)} most severe of {total:,}; all of them: --json, or dealgate decision list",
                style="dim",
            ),
        )
    return table


def reasons_why(decisions: Iterable[Decision], *, cures: bool = False) -> RenderableType:
    """Under each deal that did not simply pass, one line for each open finding: value, limit and distance; perhaps the cures."""
    parts: list[RenderableType] = []
    for decision in decisions:
        findings = open_findings(decision)
        if findings:
            parts.append(Text.assemble((decision["deal_id"], "bold"), "  ", outcome_text(decision["outcome"])))
            parts.extend(_finding_line(finding) for finding in findings)
            if cures and (tried := cures_table(decision)):
                parts.append(Padding(tried, (0, 0, 0, 2)))
    return Group(*parts)


def _finding_line(finding: Mapping[str, Any]) -> RenderableType:
    line = Text.assemble((finding["rule"], COLOURS[finding["severity"]]), "  ", finding["explanation"])
    return Padding(line, (0, 0, 0, 2))


def cures_table(decision: Decision) -> RenderableType | None:
    """Lever by lever the least change that clears the deal; below, the levers that cannot, those with one reason together."""
    cures, unfixable = decision.get("cures", []), decision.get("unfixable", [])
    if not cures and not unfixable:
        return None
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_row(Text("Cures", style="bold"), Text("Each by itself, in no order of merit" if cures else "None"))
    for cure in cures:
        table.add_row(Text(cure["lever"], style="green"), Text(cure["explanation"]))
    levers_by_reason: dict[str, list[str]] = {}
    for lever in unfixable:
        levers_by_reason.setdefault(lever["reason"], []).append(lever["lever"])
    for reason, levers in levers_by_reason.items():
        table.add_row(Text("\n".join(levers), style="dim"), Text(reason, style="dim"))
    return table


def totals(decisions: Iterable[Decision]) -> "Totals":
    found = Totals()
    for decision in decisions:
        found.add(decision)
    return found


class Totals:
    """How many deals came to which outcome, and which rules were broken or could not be judged how often."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.rules: dict[str, Counter[str]] = {}

    def add(self, decision: Decision) -> None:
        self.outcomes[decision["outcome"]] += 1
        for finding in decision["findings"]:
            self.rules.setdefault(finding["rule"], Counter())[finding["result"]] += 1

    def render(self) -> RenderableType:
        count = self.outcomes.total()
        outcomes = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        outcomes.add_column("Outcome")
        outcomes.add_column("Deals", justify="right")
        outcomes.add_column("Share", justify="right")
        for outcome in reversed(OUTCOMES):
            outcomes.add_row(
                outcome_text(outcome),
                f"{self.outcomes[outcome]:,}",
                f"{percent_text(self.outcomes[outcome], max(1, count))} %",
            )
        rules = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        rules.add_column("Rule")
        for name in ("Violated", "Mitigated", "Unknown", "Not applicable", "Pass"):
            rules.add_column(name, justify="right")
        for rule, results in self.rules.items():
            numbers = (results[name] for name in ("violated", "mitigated", "not_evaluable", "not_applicable", "pass"))
            rules.add_row(rule, *(f"{number:,}" if number else "." for number in numbers))
        return Group(outcomes, Text(), rules)


def decision_in_full(decision: Decision, deal: Mapping[str, Any] | None = None) -> RenderableType:
    """One deal: its structure, every rule, and why; with the deal's document also its equity over time."""
    head = Text.assemble(
        (decision["deal_id"], "bold"), f"  submission {decision['submission']}  ", outcome_text(decision["outcome"])
    )
    policy = Text(
        f"{decision['policy']['name']} {decision['policy']['version']}, decided {decision['decided_at']}", style="dim"
    )
    findings = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, justify in (
        ("Rule", "left"),
        ("Result", "left"),
        ("Value", "right"),
        ("Limit", "right"),
        ("Room", "right"),
    ):
        findings.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for finding in decision["findings"]:
        style = COLOURS[finding["severity"]] if finding["severity"] != "pass" else ""
        amounts = [_amount(finding.get(name), finding.get("unit")) for name in ("value", "limit")]
        findings.add_row(finding["rule"], Text(MARKS[finding["result"]], style=style), *amounts, _room(finding))
    parts: list[RenderableType] = [head, policy, Text(), _structure(decision), Text(), findings]
    told = open_findings(decision)
    if told:
        parts += [Text(), *(_finding_line(finding) for finding in told)]
    if tried := cures_table(decision):
        parts += [Text(), tried]
    if decision["reasons"]:
        parts += [Text(), Text("Principal reasons: " + "; ".join(decision["reasons"]))]
    if decision["unknown"]:
        parts.append(Text("To be supplied: " + ", ".join(decision["unknown"])))
    if deal is not None:
        parts += [Text(), equity_over_time(deal, decision)]
    return Panel(Group(*parts), border_style=COLOURS[decision["outcome"]], expand=False)


def _structure(decision: Decision) -> RenderableType:
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    names = (
        ("Amount financed", "amount_financed", money),
        ("Collateral value", "collateral_value", money),
        ("Total LTV", "total_ltv", percent),
        ("Contract negative equity", "contract_negative_equity", money),
        ("Hidden negative equity", "hidden_negative_equity", money),
        ("Rolled-in negative equity", "rolled_in_negative_equity", money),
        ("Monthly payment", "monthly_payment", money),
    )
    table.add_column()
    table.add_column(justify="right")
    for label, name, written in names:
        table.add_row(label, written(decision["measures"][name]))
    return table


def _amount(value: object, unit: str | None) -> str:
    if value is None:
        return ""
    return money({"value": value}) if unit == "money" else f"{value} %" if unit == "percent" else str(value)


def _room(finding: Mapping[str, Any]) -> str:
    """Room of a share of money is money; of another percent, points."""
    room = finding.get("margin")
    in_money = finding.get("unit") == "money" or "margin_points" in finding
    points = finding.get("unit") == "percent" and not in_money
    return (
        _amount(room, "money")
        if in_money
        else f"{room} points"
        if points and room is not None
        else ""
        if room is None
        else str(room)
    )


def show(
    console: Console,
    decisions: Sequence[Decision],
    counted: Totals,
    deal: Mapping[str, Any] | None = None,
    *,
    cures: bool = False,
) -> None:
    """One decision in full; several as a table with the reasons why, the cures if asked for, and the totals."""
    count = counted.outcomes.total()
    if count == 1:
        console.print(decision_in_full(decisions[0], deal))
        return
    console.print(decisions_table(decisions, count))
    if count <= MOST_ROWS:
        console.print()
        console.print(reasons_why(decisions, cures=cures))
    console.print()
    console.print(counted.render())
