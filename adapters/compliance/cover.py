"""The pages of a case file that are read first: a cover in HTML and a README, written from what its entries disclose."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined, Template

from dealgate.adapters.compliance.deal_record import Anchored
from dealgate.adapters.compliance.side_by_side import Line
from dealgate.adapters.compliance.withholding import NOT_SHOWN, OUTSIDE
from dealgate.models.commitments import COMMIT
from dealgate.models.notes import Checkpoint
from dealgate.rules.amounts import dollars
from dealgate.rules.structure import cents

Document = Mapping[str, Any]


class Case(NamedTuple):
    """What the pages tell. `decisions`, `events` and `policy_steps` are envelopes as they are disclosed; the rest are counts."""

    deal_id: str
    reader: str
    decisions: Sequence[Document]
    lines: Sequence[Line]
    events: Sequence[Document]
    policies: Sequence[Any]
    policy_steps: Sequence[Document]
    entries: int
    purged: int
    unsealed: int
    withheld: int
    erased: int
    checkpoint: Checkpoint
    keys: Sequence[str]
    anchors: Sequence[Anchored]


class Told(NamedTuple):
    """An entry in a sentence, and what else it says line by line."""

    number: int | None
    when: str
    who: str
    what: str
    lines: Sequence[str] = ()


PROVED = (
    (
        "What is proved",
        "Every file is as it was made. Every entry in it lies, unchanged, in the ledger whose size and root the checkpoint signs. The "
        "deal's entries are numbered and chained from the first to the last one here. Each personal value that is shown is the one "
        "that was recorded. Each decision's policy is the text that was published.",
    ),
    (
        "What is not",
        "That nothing about the deal was recorded after the last entry here; that what was entered was true; that the decisions were "
        "right, for which dealgate makes them again (dealgate audit replay); that cover.html, submissions.csv and README.txt say what the "
        "entries say: they stand on the hash of the manifest alone, so compare it with the one that the lender told. Of what a purge took "
        "out the hash is left, and that the purge took it out, not what it said nor of which deal it was. Whoever holds the "
        "signing key could sign another ledger: ask whoever keeps the anchored checkpoints whether this ledger continues them.",
    ),
)


def cover_page(case: Case) -> str:
    decisions = [_decision(one) for one in case.decisions]
    inside = case.reader != OUTSIDE
    happened, steps = (
        [_told(one if inside else _without_staff(one)) for one in envelopes]
        for envelopes in ([*case.decisions, *case.events], [one for one in case.policy_steps if one])
    )
    return _written(
        "cover.html",
        case,
        timeline=sorted(happened, key=lambda one: one.number or 0),
        decisions=decisions,
        steps=steps,
    )


OF_STAFF = (("notice", "note"), ("legal_hold", "reason"), ("redaction", "reason"))
"""What staff wrote for their own use, and no commitment stands for."""


def _without_staff(envelope: Document) -> Document:
    """As an outsider reads it on the cover; the entry itself keeps them, for its hash covers them."""
    told = {**envelope, "actor": envelope["actor"] and NOT_SHOWN}
    for part, name in OF_STAFF:
        if told.get(part, {}).get(name):
            told[part] = {**told[part], name: NOT_SHOWN}
    return told


def read_me(case: Case) -> str:
    return _written("readme.txt", case)


def _written(name: str, case: Case, **parts: Any) -> str:
    return _template(name).render(case=case, facts=_facts(case), proved=PROVED, shown=_shown(case), **parts)


@cache
def _template(name: str) -> Template:
    environment = Environment(
        autoescape=name.endswith(".html"), undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=False
    )
    return environment.from_string((files("dealgate.adapters.compliance") / name).read_text(encoding="utf-8"))


def _facts(case: Case) -> list[tuple[str, str]]:
    last = case.decisions[-1]["decision"] if case.decisions else None
    checkpoint = case.checkpoint
    return [
        ("Submissions", f"{len(case.decisions)}" + (f", the last one: {last['outcome']}" if last else "")),
        ("Entries", f"{case.entries}" + (f", of which {case.unsealed} are not sealed yet" if case.unsealed else "")),
        ("Made for", f"a reader in the role {case.reader}"),
        ("Ledger", f"{checkpoint.origin}, {checkpoint.size:,} entries, root {checkpoint.root.hex()}"),
        ("Anchored elsewhere", f"{len(case.anchors)} checkpoints" if case.anchors else "no checkpoint"),
    ]


def _shown(case: Case) -> str:
    staff = STAFF_IN_ENTRIES if case.reader == OUTSIDE else ""
    if not case.withheld and not case.erased:
        return f"Every personal value is shown.{staff}"
    parts = [(case.withheld, f"withheld from the role {case.reader}"), (case.erased, "erased from the record")]
    counts = " and ".join(f"{number} {words}" for number, words in parts if number)
    return f"Of the personal values, {counts}: where one stood it reads “not shown”. The entries commit to them all the same.{staff}"


STAFF_IN_ENTRIES = (
    " The cover leaves out who acted, notes of notices, and reasons of holds and erasures; the entries have them, "
    "for their hashes cover them."
)


def _decision(envelope: Document) -> dict[str, Any]:
    decision = envelope["decision"]
    policy = decision["policy"]
    return {
        "submission": decision["submission"],
        "outcome": decision["outcome"],
        "when": _when(decision["decided_at"]),
        "policy": f"{policy['name']} {policy['version']}",
        "decision_id": decision["decision_id"],
        "reasons": decision["reasons"],
        "unknown": decision["unknown"],
        "findings": [_finding(finding) for finding in decision["findings"]],
    }


def _finding(finding: Document) -> dict[str, Any]:
    evidence = finding.get("evidence", {})
    told = {**finding, **evidence}
    hidden = COMMIT in evidence
    unit = told.get("unit")
    return {
        "rule": told["rule"],
        "result": told["result"].replace("_", " "),
        "severity": told["severity"],
        "value": NOT_SHOWN if hidden else _amount(told.get("value"), unit),
        "limit": NOT_SHOWN if hidden else _amount(told.get("limit"), unit),
        "explanation": f"{told['title']}: {NOT_SHOWN}." if hidden else told["explanation"],
    }


def _amount(value: object, unit: str | None) -> str:
    if value is None:
        return ""
    return dollars(cents(str(value))) if unit == "money" else f"{value} %" if unit == "percent" else str(value)


# The timeline


def _told(envelope: Document) -> Told:
    tell = KINDS.get(envelope["kind"])
    what, lines = tell(envelope) if tell else (envelope["kind"].replace("_", " "), [])
    return Told(envelope["deal_seq"], _when(envelope["recorded_at"]), envelope["actor"] or "", what, lines)


def _when(moment: str) -> str:
    return f"{moment[:10]} {moment[11:19]} UTC"


def _text(value: Any) -> str:
    return NOT_SHOWN if isinstance(value, Mapping) and COMMIT in value else str(value)


def _submitted(envelope: Document) -> tuple[str, list[str]]:
    decision = envelope["decision"]
    open_rules = [one["rule"] for one in decision["findings"] if one["severity"] != "pass"]
    against = f" ({', '.join(open_rules)})" if open_rules else ""
    return f"Submission {decision['submission']} came, and was decided: {decision['outcome']}{against}", []


def _requested(envelope: Document) -> tuple[str, list[str]]:
    told = envelope["override"]
    aim = "let the deal through against" if told["side"] == "low" else "turn the deal down against its"
    lines = [f"Override {told['override_id']}, on the {told['side']} side, to be granted by {told['persons']}"]
    lines += [
        f"{one['rule']}: {one['result']}, {one['severity']}"
        + (f", over by {_text(one['excess'])}" if one["excess"] is not None else "")
        for one in told["findings"]
    ]
    lines.append(f"Reason {told['reason']}; compensating factors: {', '.join(told['compensating_factors']) or 'none'}")
    return f"Override asked for: {aim} {', '.join(told['rules']) or 'outcome'}", [
        *lines,
        f"Note: {_text(told['note'])}",
    ]


def _granted(envelope: Document) -> tuple[str, list[str]]:
    told = envelope["override"]
    until = f" until {_when(told['ends_at'])}" if told["ends_at"] else ""
    note = [f"Note: {_text(told['note'])}"] if told["note"] else []
    return f"Override granted in the role {told['role']}{until}", [f"Override {told['override_id']}", *note]


def _denied(envelope: Document) -> tuple[str, list[str]]:
    told = envelope["override"]
    return "Override denied", [f"Override {told['override_id']}", f"Note: {_text(told['note'])}"]


def _noticed(envelope: Document) -> tuple[str, list[str]]:
    told = envelope["notice"]
    by = f" by {told['channel'].replace('_', ' ')}" if told.get("channel") else ""
    lines = [f"About decision {told['decision_id']}"] if told.get("decision_id") else []
    lines += [f"Reasons given: {'; '.join(told['reasons'])}"] if told.get("reasons") else []
    lines += [f"Note: {told['note']}"] if told["note"] else []
    return f"Notice of {told['kind'].replace('_', ' ')} sent{by} at {_when(told['sent_at'])}", lines


def _held(envelope: Document) -> tuple[str, list[str]]:
    told = envelope["legal_hold"]
    return f"Legal hold {'placed' if told['placed'] else 'released'}: {told['reason']}", []


def _redacted(envelope: Document) -> tuple[str, list[str]]:
    told = envelope["redaction"]
    return f"Personal values erased: {told['reason']}", [f"{', '.join(told['paths'])} of entry {told['entry_id']}"]


def _published(envelope: Document) -> tuple[str, list[str]]:
    told = envelope["policy"]
    return f"{told['name']} {told['version']} recorded, content {told['sha256'][:12]}...", []


def _stepped(envelope: Document) -> tuple[str, list[str]]:
    told = envelope["policy"]
    times = [f"{word} {_when(told[name])}" for name, word in (("starts_at", "from"), ("ends_at", "to")) if told[name]]
    return " ".join([f"{told['name']} {told['version']}: {told['step']}", *times]), []


KINDS: Mapping[str, Callable[[Document], tuple[str, list[str]]]] = {
    "decision": _submitted,
    "override_request": _requested,
    "override_grant": _granted,
    "override_denial": _denied,
    "notice": _noticed,
    "legal_hold": _held,
    "redaction": _redacted,
    "policy_publication": _published,
    "policy_step": _stepped,
}
"""How each kind of entry is told."""
