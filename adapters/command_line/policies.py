"""`dealgate policy check`, and the other commands about policies."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dealgate.adapters.command_line import (
    policy_comparison,
    policy_programs,
    policy_tests,
    policy_texts,
    policy_versions,
)
from dealgate.adapters.command_line.failures import BAD_INPUT, exit_codes
from dealgate.adapters.command_line.witnesses import write_witnesses

if TYPE_CHECKING:
    from dealgate.rules.document import Problem
    from dealgate.rules.review import Review

app = typer.Typer(help="Policy documents.", no_args_is_help=True)
app.command("test")(policy_tests.run_tests)
app.command()(policy_comparison.diff)
app.command()(policy_programs.programs)
app.command()(policy_texts.explain)
app.command()(policy_texts.new)
app.command()(policy_texts.schema)
app.command()(policy_versions.add)
app.command()(policy_versions.approve)
app.command()(policy_versions.retire)
app.command("list")(policy_versions.list_)
app.command()(policy_versions.show)
app.command("in-force")(policy_versions.in_force_)
app.add_typer(policy_versions.shadow, name="shadow")


@app.command()
def check(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A policy file, or a shipped policy by name.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as one JSON document.")] = False,
    witnesses: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write the deals that show what was found here, one file each.")
    ] = None,
) -> None:
    """Check a policy document, prove what can be proved of it, and run its examples."""
    from dealgate.adapters.policies import review  # noqa: PLC0415
    from dealgate.rules.document import PolicyError  # noqa: PLC0415
    from dealgate.rules.review import Review  # noqa: PLC0415

    with exit_codes():
        try:
            found = review(file)
        except PolicyError as error:
            found = Review(None, error.problems)
        if witnesses:
            write_witnesses(witnesses, _witnesses([*found.errors, *found.warnings]))
        if as_json:
            print(json.dumps({"file": file, **found.document()}, ensure_ascii=False, indent=2))
        else:
            _tell(found)
        if found.errors:
            raise typer.Exit(BAD_INPUT)


def _tell(found: "Review") -> None:
    for problem in (*found.errors, *found.warnings):
        print(problem, file=sys.stderr)
    policy = found.policy
    if policy is None or found.errors:
        return
    counted = (_counted(len(part), word) for part, word in ((policy.rules, "rule"), (policy.limits, "limit")))
    examples = f"{_counted(len(policy.examples), 'example')} {'holds' if len(policy.examples) == 1 else 'hold'}"
    print(f"{policy.name} {policy.version}: {', '.join(counted)}, {examples}")
    print(f"sha256 {policy.sha256}")
    if policy.guarantees:
        print(f"{found.proved} of {_counted(len(policy.guarantees), 'guarantee')} proved for every possible deal")
    if not policy.examples:
        print("note: the document states no examples; nothing shows that it means what it says", file=sys.stderr)


def _witnesses(problems: "Iterable[Problem]") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each deal under the line of the document that it is about."""
    return ((str(problem.witness["deal_id"]), problem.witness) for problem in problems if problem.witness)


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
