"""The reply of a mapping document: host fields from the decision."""

from collections.abc import Mapping
from typing import Any

from dealgate.adapters.mappings.paths import PathError, parse
from dealgate.adapters.mappings.readers import Source
from dealgate.adapters.mappings.replies import Each, Part, Reply, Wanted
from dealgate.rules.document import Node, Report, Scalar, Table, did_you_mean, plain
from dealgate.rules.policy import Outcome

KEYS = (
    *("decision_id", "deal_id", "submission", "decided_at", "policy", "outcome", "measures", "equity", "findings"),
    *("reasons", "cures", "unfixable", "unknown", "engine"),
)
"""The top of a decision; tests hold the list against one."""

ENTRIES = {"from", "is", "values"}
FORMATS = ("json", "xml", "csv")
FORMAT_OF_REPLY = {"object": "json"}


def read_reply(report: Report, node: Node, source: Source) -> Reply | None:
    """None with the problems reported."""
    entries = report.table(node, "reply", ("fields",), ("format", "root"))
    form = FORMAT_OF_REPLY.get(source.format, source.format)
    if "format" in entries:
        form = report.word(entries["format"], "format", FORMATS)
    if (form == "xml") != ("root" in entries):
        report.add(
            node.place, "a reply in XML has a `root:`, and no other one has", "Name the element around the fields."
        )
    fields = entries.get("fields")
    if not isinstance(fields, Table):
        report.add(node.place, "the fields of a reply must be a mapping of the host's names to paths into the decision")
        return None
    parts = {name: _part(report, below, at_top=True) for name, below in fields.entries.items()}
    if form == "csv" and any(isinstance(part, Mapping) for part in parts.values()):
        report.add(fields.place, "a reply in CSV has cells and nothing below them", "Leave out the objects.")
    root = report.text(entries["root"], "root") if "root" in entries else ""
    return Reply(form, root, parts, source.delimiter)


def _part(report: Report, node: Node, at_top: bool) -> Part:
    if isinstance(node, Scalar):
        return Wanted(_expression(report, node, at_top))
    if not isinstance(node, Table):
        report.add(node.place, "a field of a reply is a path, or a mapping")
        return Wanted()
    if "each" in node.entries:
        return _each(report, node, at_top)
    if node.entries.keys() & ENTRIES and node.entries.keys() <= ENTRIES:
        return _wanted(report, node, at_top)
    return {name: _part(report, below, at_top) for name, below in node.entries.items()}


def _each(report: Report, node: Table, at_top: bool) -> Part:
    entries = report.table(node, "a repeated field", ("each", "item"))
    if len(entries) < 2:
        return Wanted()
    return Each(_expression(report, entries["each"], at_top), _part(report, entries["item"], at_top=False))


def _wanted(report: Report, node: Table, at_top: bool) -> Wanted:
    entries = node.entries
    if "is" in entries:
        if len(entries) > 1:
            report.add(node.place, "a constant has neither `from:` nor `values:`")
        return Wanted(constant=plain(entries["is"]))
    if "from" not in entries:
        report.add(node.place, "`values:` needs `from:`")
        return Wanted()
    words = entries.get("values")
    if words is not None and not isinstance(words, Table):
        report.add(words.place, "values must be a mapping of our words to the host's")
        return Wanted()
    if words is not None and isinstance(entries["from"], Scalar) and entries["from"].value == "outcome":
        _check_outcomes(report, words)
    told: dict[str, Any] | None = {word: plain(below) for word, below in words.entries.items()} if words else None
    return Wanted(_expression(report, entries["from"], at_top), words=told)


def _check_outcomes(report: Report, words: Table) -> None:
    outcomes = [str(outcome) for outcome in Outcome]
    for outcome in outcomes:
        if outcome not in words.entries:
            report.add(words.place, f"the host has no word for the outcome {outcome}", "Name one for each outcome.")
    for word, scalar in words.keys.items():
        if word not in outcomes:
            report.add(scalar.place, f"no outcome is called {word!r}", did_you_mean(word, outcomes))


def _expression(report: Report, node: Node, at_top: bool) -> Any:
    text = report.text(node, "a path into the decision")
    if not text:
        return None
    try:
        compiled = parse(text)
    except PathError as error:
        report.add(node.place, str(error), error.remedy)
        return None
    unknown = next((name for name in _roots(compiled.parsed) if at_top and name not in KEYS), None)
    if unknown is not None:
        report.add(node.place, f"a decision has no {unknown!r}", did_you_mean(unknown, KEYS))
    return compiled


def _roots(node: Mapping[str, Any]) -> list[str]:
    """The names that are looked up in the decision itself."""
    match node["type"]:
        case "field":
            return [node["value"]]
        case "subexpression" | "index_expression" | "projection" | "filter_projection" | "value_projection" | "pipe":
            return _roots(node["children"][0])
        case "expref" | "literal":
            return []
        case _:
            return [name for part in node["children"] for name in _roots(part)]
