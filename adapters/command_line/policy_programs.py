"""`dealgate policy programs`: do policies side by side divide the deals among them?"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dealgate.adapters.command_line.deals import DatabaseOption
from dealgate.adapters.command_line.failures import DIFFERENT, UNDECIDED, exit_codes, refuse
from dealgate.adapters.command_line.policy_comparison import load_version
from dealgate.adapters.command_line.witnesses import write_witnesses

if TYPE_CHECKING:
    from datetime import datetime

    from dealgate.rules.effective import Period
    from dealgate.rules.policy import Policy
    from dealgate.rules.program_proofs import SideBySide
    from dealgate.rules.proof import Answer


def programs(
    policies: Annotated[
        list[str], typer.Argument(metavar="POLICY...", help="Policy files, or shipped policies by name; two or more.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
    witnesses: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the deals that fall to several or to none here, one file each."),
    ] = None,
    db: DatabaseOption = "sqlite:///dealgate.db",
) -> None:
    """Prove that exactly one of several policies answers for each deal, or show a deal for which that is not so."""
    from dealgate.rules.program_proofs import MOST_PROGRAMS, side_by_side  # noqa: PLC0415
    from dealgate.rules.smt import ProofUnavailableError  # noqa: PLC0415

    with exit_codes():
        if not 2 <= len(policies) <= MOST_PROGRAMS:
            refuse([f"{len(policies)} given: name 2 to {MOST_PROGRAMS} policies that are to stand side by side"])
        try:
            found = side_by_side([load_version(name, db) for name in policies])
        except ProofUnavailableError as error:
            refuse([f"overlaps and gaps are found by proof: {error}"])
        if witnesses:
            write_witnesses(witnesses, _witnesses(found))
        if as_json:
            print(json.dumps(_document(found), ensure_ascii=False, indent=2))
        else:
            _show(found)
        _end(found)


def _end(found: "SideBySide") -> None:
    from dealgate.rules.proof import Verdict  # noqa: PLC0415

    answers = [*(overlap.answer for overlap in found.overlaps), *(gap.answer for gap in found.gaps)]
    verdicts = {answer.verdict for answer in answers}
    if Verdict.SHOWN in verdicts:
        raise typer.Exit(DIFFERENT)
    if Verdict.UNDECIDED in verdicts:
        raise typer.Exit(UNDECIDED)


# In the terminal


def _show(found: "SideBySide") -> None:
    for overlap in found.overlaps:
        both = f"{_name(overlap.first)} and {_name(overlap.second)}"
        print(_line(f"{both}: no deal falls to both", f"{both}: a deal falls to both", overlap.answer))
    for gap in found.gaps:
        where = f"{_period(gap.period)}, {', '.join(map(_name, gap.policies))}"
        print(_line(f"{where}: no deal falls to none", f"{where}: a deal falls to none", gap.answer))


def _line(proved: str, refuted: str, answer: "Answer") -> str:
    from dealgate.rules.document import deal_in_words  # noqa: PLC0415

    if answer.witness:
        return f"{refuted}, for example: {', '.join(deal_in_words(answer.witness.document))}"
    return f"{proved}, by proof" if not answer.why else f"{proved}: not proved, {answer.why}"


def _name(policy: "Policy") -> str:
    return f"{policy.name} {policy.version}"


def _period(period: "Period") -> str:
    until = f" until {_moment(period.end)}" if period.end else ""
    return f"from {_moment(period.start)}{until}"


def _moment(moment: "datetime") -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")


# As JSON


def _document(found: "SideBySide") -> dict[str, Any]:
    return {
        "overlaps": [
            {"policies": [_name(overlap.first), _name(overlap.second)], **_answer(overlap.answer)}
            for overlap in found.overlaps
        ],
        "gaps": [
            {
                "from": gap.period.start.isoformat(),
                "until": gap.period.end.isoformat() if gap.period.end else None,
                "policies": list(map(_name, gap.policies)),
                **_answer(gap.answer),
            }
            for gap in found.gaps
        ],
    }


def _answer(answer: "Answer") -> dict[str, Any]:
    deal = dict(answer.witness.document) if answer.witness else None
    return {"verdict": answer.verdict.value, "why": answer.why or None, "deal": deal}


def _witnesses(found: "SideBySide") -> Iterator[tuple[str, Mapping[str, Any]]]:
    answers = [("overlap", overlap.answer) for overlap in found.overlaps]
    answers += [("gap", gap.answer) for gap in found.gaps]
    return ((name, answer.witness.document) for name, answer in answers if answer.witness)
