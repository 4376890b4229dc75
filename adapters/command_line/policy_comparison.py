"""`dealgate policy diff`: what changed from one policy to another, and what it does to deals."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dealgate.adapters.command_line.deals import DatabaseOption
from dealgate.adapters.command_line.failures import DIFFERENT, UNDECIDED, exit_codes, refuse
from dealgate.adapters.command_line.new_files import write_over
from dealgate.adapters.command_line.pictures import suffix_of
from dealgate.adapters.command_line.witnesses import write_witnesses

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from dealgate.rules.comparison import Comparison, Effect, MarkedChange
    from dealgate.rules.differences import Reading
    from dealgate.rules.policy import Policy
    from dealgate.rules.proof import Answer

STYLES = {
    "tighter": "red", "looser": "green", "mixed": "dark_orange", "neutral": "dim", "not proved": "yellow",
    "narrower": "red", "wider": "green",
}  # fmt: skip
INDENT = (0, 0, 0, 12)


def diff(
    before: Annotated[
        str,
        typer.Argument(metavar="BEFORE", help="A policy file, a shipped policy by name, or NAME@VERSION on record."),
    ],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="Likewise: the one to take its place.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write a page; ends in .md or .html; overwritten."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
    witnesses: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the deals that are decided differently here, one file each."),
    ] = None,
    db: DatabaseOption = "sqlite:///dealgate.db",
) -> None:
    """Compare two policies: every change, marked tighter, looser, neutral or mixed by proof, with deals that show it."""
    from dealgate.adapters.explanation_pages import WRITERS, write_comparison  # noqa: PLC0415
    from dealgate.rules.comparison import compare  # noqa: PLC0415
    from dealgate.rules.smt import ProofUnavailableError  # noqa: PLC0415

    with exit_codes():
        suffix = "" if output is None else suffix_of(output, WRITERS, "a comparison")
        first, second = load_version(before, db), load_version(after, db)
        try:
            found = compare(first, second)
        except ProofUnavailableError as error:
            refuse([f"a comparison rests on proofs: {error}"])
        if witnesses:
            write_witnesses(witnesses, _witnesses(found))
        if output is not None:
            write_over(str(output), write_comparison(found, suffix))
        if as_json:
            print(json.dumps(_document(found), ensure_ascii=False, indent=2))
        elif output is None:
            _show(found)
        if not found.is_equivalent:
            raise typer.Exit(DIFFERENT if found.is_different else UNDECIDED)


def load_version(name: str, db: str) -> "Policy":
    """A policy to be compared: a file, a shipped one by its name, or one on record as NAME@VERSION."""
    from dealgate.adapters.command_line.stored_versions import version_named  # noqa: PLC0415
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.adapters.policies import load_policy  # noqa: PLC0415

    if "@" not in name or Path(name).exists():
        return load_policy(name).policy
    with stored(db) as connection:
        return version_named(connection, name).policy


# In the terminal


def _show(found: "Comparison") -> None:
    from rich.text import Text  # noqa: PLC0415

    from dealgate.adapters.command_line.terminal import standard_output  # noqa: PLC0415
    from dealgate.rules.comparison_words import answered_deals, verdict  # noqa: PLC0415

    console = standard_output()
    for policy, mark in ((found.first, "-"), (found.second, "+")):
        console.print(Text.assemble((f"{mark} {policy.name} {policy.version}", "bold"), (f"  {policy.sha256}", "dim")))
    console.print()
    for marked in found.changes:
        console.print(*_change(found, marked), sep="\n")
    if found.changes:
        console.print(Text("Each change is marked by what it does alone.", style="dim"))
        console.print()
    console.print(
        Text(verdict(found), style=f"bold {'' if found.is_equivalent else STYLES[found.effect.mark]}".strip())
    )
    for line in (*answered_deals(found), *_deals(found.effect)):
        console.print(line, markup=False, highlight=False) if isinstance(line, str) else console.print(line)


def _change(found: "Comparison", marked: "MarkedChange") -> Iterator["RenderableType"]:
    from rich.padding import Padding  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from dealgate.rules.comparison import Mark  # noqa: PLC0415
    from dealgate.rules.comparison_words import change_in_words, effect_in_words, mark_of  # noqa: PLC0415

    mark = mark_of(found, marked)
    yield Text.assemble((f"{mark:10}", STYLES[mark]), "  ", change_in_words(marked))
    for sign, reading, style in (("-", marked.change.before, "red"), ("+", marked.change.after, "green")):
        if reading is not None:
            yield Padding(Text(f"{sign} {reading.text}", style=style), INDENT, expand=False)
    if mark is Mark.NOT_PROVED:
        yield Padding(Text(effect_in_words(marked.effect), style=STYLES[mark]), INDENT, expand=False)
    for deal in _deals(marked.effect):
        yield Padding(deal, INDENT, expand=False)


def _deals(effect: "Effect") -> Iterator["Text"]:
    from rich.text import Text  # noqa: PLC0415

    from dealgate.rules.comparison_words import shown  # noqa: PLC0415

    for answer in effect:
        if answer.witness:
            yield Text(str(shown(answer.witness)), style="dim")


# As JSON


def _document(found: "Comparison") -> dict[str, Any]:
    from dealgate.rules.comparison_words import verdict  # noqa: PLC0415

    return {
        "before": _policy(found.first),
        "after": _policy(found.second),
        "verdict": "equivalent" if found.is_equivalent else found.effect.mark.value,
        "words": verdict(found),
        **_effect(found.effect),
        "answers_for": {"fewer": _answer(found.narrower), "more": _answer(found.wider), "apart": found.apart},
        "changes": [_change_document(found, marked) for marked in found.changes],
    }


def _policy(policy: "Policy") -> dict[str, str | None]:
    return {
        "name": policy.name,
        "version": policy.version,
        "sha256": policy.sha256,
        "effective_from": policy.effective_from.isoformat(),
        "effective_to": policy.effective_to.isoformat() if policy.effective_to else None,
        "time_zone": policy.time_zone,
    }


def _effect(effect: "Effect") -> dict[str, Any]:
    return {"tighter": _answer(effect.tighter), "looser": _answer(effect.looser)}


def _answer(answer: "Answer") -> dict[str, Any]:
    found: dict[str, Any] = {"verdict": answer.verdict.value, "why": answer.why or None, "witness": None}
    if answer.witness:
        (after,) = answer.witness.beside
        outcomes = {"before": answer.witness.outcome, "after": after.outcome}
        found["witness"] = {**outcomes, "deal": dict(answer.witness.document)}
    return found


def _change_document(found: "Comparison", marked: "MarkedChange") -> dict[str, Any]:
    from dealgate.rules.comparison_words import mark_of  # noqa: PLC0415

    change = marked.change
    return {
        "part": change.part,
        "name": change.name,
        "what": change.what,
        "words": change.words,
        "before": _reading(change.before),
        "after": _reading(change.after),
        "together_with": list(marked.together_with),
        "mark": mark_of(found, marked),
        **_effect(marked.effect),
    }


def _reading(reading: "Reading | None") -> dict[str, str | None] | None:
    return None if reading is None else {"text": reading.text, "expression": reading.expression or None}


# The deals


def _witnesses(found: "Comparison") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each under what it shows: `tighter`, `looser`, `fewer`, `more`, and with a change its number before it."""
    answers = [("tighter", found.effect.tighter), ("looser", found.effect.looser)]
    answers += [("fewer", found.narrower), ("more", found.wider)]
    for number, marked in enumerate(found.changes, start=1):
        answers += [(f"{number}-tighter", marked.effect.tighter), (f"{number}-looser", marked.effect.looser)]
    for name, answer in answers:
        if answer.witness:
            yield name, answer.witness.document
