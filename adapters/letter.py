"""One page about a stored decision, for the deal jacket: as PDF, or as Markdown.

Written from two stored documents, the deal's and the decision's. What they hold is never read as markup: Typst gets it as data,
Markdown gets it escaped.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, NamedTuple

from dealgate.adapters.charts import figure
from dealgate.adapters.curve_chart import curve_chart
from dealgate.adapters.pictures import load_package, pdf
from dealgate.rules.amounts import dollars
from dealgate.rules.equity_curve import EquityCurve, equity_curve
from dealgate.rules.structure import Document, Structure, Unknown, cents, structure_of

MEASURES = {
    "collateral_value": "Collateral value",
    "total_ltv": "Total LTV",
    "front_end_ltv": "Front-end LTV",
    "contract_negative_equity": "Contract negative equity",
    "economic_negative_equity": "Economic negative equity",
    "hidden_negative_equity": "Hidden negative equity",
    "rolled_in_negative_equity": "Rolled-in negative equity",
    "monthly_payment": "Monthly payment",
    "payment_to_income": "Payment to income",
    "debt_to_income": "Debt to income",
}
SEVERITIES = ("decline", "refer", "flag", "pass")
OPEN = {"violated": "violated", "mitigated": "mitigated", "not_evaluable": "cannot be judged"}
LONGEST_SENTENCE = 420
"""Characters of one finding or cure on the page; the decision has the whole of it."""

NO_NOTICE = (
    "For the deal jacket, written from the stored submission and the stored decision and nothing else. "
    "This is not an adverse-action notice."
)


class Told(NamedTuple):
    """A finding or a cure as the letter tells it."""

    head: str
    name: str
    sentence: str
    note: str


class Letter(NamedTuple):
    """Everything the letter says, as plain text."""

    title: str
    outcome: str
    facts: list[tuple[str, str]]
    steps: list[tuple[str, str]]
    structure: list[str]
    measures: list[tuple[str, str]]
    findings: list[Told]
    passes: str
    cures: list[Told]
    no_cure: str
    equity: list[str]
    assumptions: list[str]
    footer: str


def write_letter(deal: Document, decision: Document, suffix: str) -> bytes:
    """The letter about a decision as `.pdf` or `.md`. The same documents give the same bytes.

    Raises `MissingExtraError` for `.pdf` where Typst or vl-convert is not installed.
    """
    return WRITERS[suffix](deal, decision)


def letter_of(deal: Document, decision: Document) -> Letter:
    structure, curve = structure_of(deal, decision), equity_curve(deal, decision)
    return Letter(
        title=f"Deal {decision['deal_id']}, submission {decision['submission']}",
        outcome=decision["outcome"],
        facts=list(_facts(deal, decision)),
        steps=[] if isinstance(structure, Unknown) else list(_steps(structure)),
        structure=[structure.sentence] if isinstance(structure, Unknown) else list(structure.sentences),
        measures=[(title, _amount(decision["measures"].get(name, {}))) for name, title in MEASURES.items()],
        findings=list(_findings(decision)),
        passes=_passes(decision),
        cures=[_cure(cure) for cure in decision.get("cures", ())],
        no_cure=_no_cure(decision),
        equity=[curve.sentence] if isinstance(curve, Unknown) else list(curve.sentences),
        assumptions=[] if isinstance(curve, Unknown) else [curve.assumptions, curve.source],
        footer=f"{NO_NOTICE} Decision {decision['decision_id']}, dealgate {decision['engine']['dealgate']}.",
    )


def _facts(deal: Document, decision: Document) -> Iterator[tuple[str, str]]:
    policy, vehicle = decision["policy"], deal["vehicle"]
    decided = datetime.fromisoformat(decision["decided_at"]).astimezone(UTC)
    yield "Decided", f"{decided:%Y-%m-%d %H:%M:%S} UTC"
    yield "Policy", f"{policy['name']} {policy['version']} (SHA-256 {policy['sha256'][:12]}...)"
    parts = [vehicle["condition"], vehicle.get("model_year"), vehicle.get("vin") and f"VIN {vehicle['vin']}"]
    mileage = vehicle.get("mileage")
    parts.append(None if mileage is None else f"{mileage:,} miles")
    yield "Vehicle", ", ".join(str(part) for part in parts if part is not None)
    rate = deal.get("apr_percent")
    yield "Terms", f"{deal['term_months']} months, {'rate unknown' if rate is None else f'{rate} % a year'}"
    if deal.get("dealer_id") is not None:
        yield "Dealer", deal["dealer_id"]


def _steps(structure: Structure) -> Iterator[tuple[str, str]]:
    for step in structure.steps:
        yield step.label, dollars(step.amount)
    yield "Amount financed", dollars(structure.amount_financed)


def _amount(measure: Mapping[str, Any]) -> str:
    value = measure.get("value")
    if value is None:
        return "unknown"
    unit = measure["unit"]
    return dollars(cents(value)) if unit == "money" else f"{value} %" if unit == "percent" else str(value)


def _findings(decision: Document) -> Iterator[Told]:
    """What somebody must know about, the most severe first; broken rules before rules that could not be judged."""
    told = [finding for finding in decision["findings"] if finding["result"] in OPEN]
    told.sort(key=lambda finding: (SEVERITIES.index(finding["severity"]), list(OPEN).index(finding["result"])))
    for finding in told:
        reason = finding.get("reason")
        note = f"{OPEN[finding['result']]}{f'; reason: {reason}' if reason else ''}"
        yield Told(finding["severity"], finding["rule"], finding["explanation"], note)


def _passes(decision: Document) -> str:
    results = Counter(finding["result"] for finding in decision["findings"])
    passed, silent = results["pass"], results["not_applicable"]
    words = f"{passed} of {results.total()} rules {'passes' if passed == 1 else 'pass'}"
    return f"{words}; {silent} {'does' if silent == 1 else 'do'} not apply." if silent else f"{words}."


def _cure(cure: Mapping[str, Any]) -> Told:
    if "explanation" in cure:
        return Told("", _words(cure["lever"]), cure["explanation"], "")
    return Told(
        "", _words(cure["lever"]), f"by {cure['change']} to {cure['to']}", f"clears {', '.join(cure['clears'])}"
    )


def _no_cure(decision: Document) -> str:
    """Why no cure is named, where cures were sought and something is broken; nothing where what came of it was erased."""
    broken = any(finding["result"] in {"violated", "mitigated"} for finding in decision["findings"])
    unfixable = decision.get("unfixable", ())
    if "cures" not in decision or decision["cures"] or not unfixable or not broken:
        return ""
    levers = ", ".join(_words(lever["lever"]) for lever in unfixable)
    if all(lever["proved"] for lever in unfixable):
        return f"No change of one lever alone cures the deal (sought: {levers})."
    return f"Whether a change of one lever alone cures the deal was not searched to the end (sought: {levers})."


def _words(name: str) -> str:
    return name.replace("_", " ")


def pdf_letter(deal: Document, decision: Document) -> bytes:
    letter, curve = letter_of(deal, decision), equity_curve(deal, decision)
    shortened = letter._replace(findings=[*map(_shortened, letter.findings)], cures=[*map(_shortened, letter.cures)])
    content = shortened._asdict() | {name: [told._asdict() for told in getattr(shortened, name)] for name in TOLD}
    inputs = {"letter": json.dumps(_breakable(content)), "chart": json.dumps(list(_drawn(curve)))}
    template = (files("dealgate.adapters") / "letter.typ").read_bytes()
    written: bytes = load_package("typst").compile(
        template,
        format="pdf",
        sys_inputs=inputs,
        ignore_system_fonts=True,
        timestamp=datetime.fromisoformat(decision["decided_at"]).replace(microsecond=0),
    )
    return written


TOLD = ("findings", "cures")


def _shortened(told: Told) -> Told:
    return told._replace(sentence=_cut(told.sentence), note=_cut(told.note))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SENTENCE else f"{text[: LONGEST_SENTENCE - 4].rstrip()} ..."


LONG_WORD = re.compile(r"\S{30}(?=\S)")


def _breakable(content: Any) -> Any:
    """The same content, with places to break in words too long for a line."""
    if isinstance(content, str):
        return LONG_WORD.sub("\\g<0>\u200b", content)
    if isinstance(content, Mapping):
        return {name: _breakable(part) for name, part in content.items()}
    return [_breakable(part) for part in content]


def _drawn(curve: EquityCurve | Unknown) -> bytes:
    return b"" if isinstance(curve, Unknown) else pdf(figure([curve_chart(curve, 640, 210)], "Equity over time"))


def markdown_letter(deal: Document, decision: Document) -> bytes:
    letter, curve = letter_of(deal, decision), equity_curve(deal, decision)
    lines = [f"# {escaped(letter.title)}: {letter.outcome.upper()}", "", *_table(letter.facts)]
    lines += ["", "## Structure", "", *_table(letter.steps), "", *map(escaped, letter.structure)]
    lines += ["", "## Measures", "", *_table(letter.measures), "", "## Findings", ""]
    lines += [_item(told) for told in letter.findings] or ["No finding needs attention."]
    lines += ["", letter.passes]
    if letter.cures or letter.no_cure:
        lines += ["", "## Cures", "", *map(_item, letter.cures), *filter(None, [escaped(letter.no_cure)])]
    lines += ["", "## Equity over time", "", escaped(" ".join(letter.equity)), ""]
    if not isinstance(curve, Unknown):
        lines += [*_year_table(curve), "", *(escaped(line) for line in letter.assumptions), ""]
    return "\n".join([*lines, "---", "", escaped(letter.footer), ""]).encode()


def _table(rows: list[tuple[str, str]]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {escaped(label)} | {escaped(text)} |" for label, text in rows)] if rows else []


def _year_table(curve: EquityCurve) -> list[str]:
    head = ["| month | owed | value | equity |", "|---:|---:|---:|---:|"]
    pairs = [(month, curve.projection.balances[month], curve.projection.values[month]) for month in curve.shown_months]
    return head + [
        f"| {month} | {dollars(owed)} | {dollars(value)} | {dollars(value - owed)} |".replace("$", "\\$")
        for month, owed, value in pairs
    ]


def _item(told: Told) -> str:
    head = f"{told.head.upper()} " if told.head else ""
    note = f" ({escaped(told.note)})" if told.note else ""
    return f"- **{head}{escaped(told.name)}** {escaped(told.sentence)}{note}"


MARKUP = re.compile(r"([\\`*_\[\]<>#|~$&@{}!]|:(?=//)|(?<=www)\.)")


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return MARKUP.sub(r"\\\1", " ".join(text.split()))


WRITERS: dict[str, Callable[[Document, Document], bytes]] = {".pdf": pdf_letter, ".md": markdown_letter}
