"""`dealgate evaluate` and `dealgate submit`."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias
from uuid import uuid4

import typer
from rich.console import Console
from rich.progress import track

from dealgate.adapters.command_line.failures import exit_codes, refuse
from dealgate.adapters.command_line.terminal import MOST_ROWS, OUTCOMES, Totals, show, standard_output
from dealgate.adapters.deal_files import DealFile, FileProblem, open_deals
from dealgate.rules.deal import Deal, Problem
from dealgate.rules.decision import Decision
from dealgate.rules.engine import Engine
from dealgate.rules.levers import LEVERS

if TYPE_CHECKING:
    from dealgate.adapters.mapped_files import MappedFile

Source: TypeAlias = "DealFile | MappedFile"

IsolatedOption = Annotated[
    bool, typer.Option("--isolated", envvar="DEALGATE_ISOLATED", help="Run the rules engine in processes of its own.")
]
Files = Annotated[
    list[str], typer.Argument(metavar="FILE...", help="JSON or JSON Lines, one deal a line; - is standard input.")
]
PolicyOption = Annotated[
    str | None,
    typer.Option("--policy", metavar="FILE", help="A policy file, or a shipped policy by name (default: prime-auto)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print decisions as JSON, one a line, and nothing else.")]
MappingOption = Annotated[
    str | None,
    typer.Option(
        "--mapping", metavar="MAPPING", help="Read a host's payloads: a mapping file, or a shipped one by name."
    ),
]
DatabaseOption = Annotated[str, typer.Option("--db", metavar="URL", envvar="DEALGATE_DB", help="The database.")]


def evaluate(
    files: Files,
    policy: PolicyOption = None,
    cure: Annotated[
        str | None, typer.Option(metavar="LEVER", help=f"Only the cure by this lever: {', '.join(LEVERS)}.")
    ] = None,
    as_json: JsonOption = False,
    isolated: IsolatedOption = False,
    mapping: MappingOption = None,
) -> None:
    """Hold deals against a policy. Stores nothing."""
    from dealgate.adapters.isolation import IsolatedEngine  # noqa: PLC0415
    from dealgate.adapters.policies import check_policy, load_policy  # noqa: PLC0415

    with exit_codes(), ExitStack() as stack:
        if cure is not None and cure not in LEVERS:
            refuse([f"no lever is called {cure!r}: use {', '.join(LEVERS[:-1])} or {LEVERS[-1]}"])
        compiled = check_policy(load_policy(policy), IsolatedEngine if isolated else Engine)
        sources, count = _checked(stack, files, mapping)
        output = _Output(as_json, at_once=True, only=_only_deal(sources, count), cures=cure is not None)
        for deal in _deals(sources, count, as_json=as_json):
            # As a first submission would be decided now: the document has the shape of a stored decision.
            decision = Decision(str(uuid4()), deal.deal_id, 1, datetime.now(UTC), compiled.evaluate(deal))
            output.keep(decision.document() if cure is None else _by_lever(decision.document(), cure))
        output.finish()


def submit(
    files: Files,
    db: DatabaseOption = "sqlite:///dealgate.db",
    policy: PolicyOption = None,
    as_json: JsonOption = False,
    isolated: IsolatedOption = False,
    actor: Annotated[str | None, typer.Option(help="Who submits; recorded with the submission.")] = None,
    in_force: Annotated[
        bool, typer.Option("--in-force", help="Hold each deal against the version in force that answers for it.")
    ] = False,
    mapping: MappingOption = None,
) -> None:
    """Hold deals against a policy and store submission, decision and findings: all deals of the call, or none."""
    from dealgate.adapters.database import open_kept, ready_database  # noqa: PLC0415
    from dealgate.adapters.gate import Gate  # noqa: PLC0415
    from dealgate.adapters.programs import IN_FORCE  # noqa: PLC0415

    with exit_codes(), ExitStack() as stack:
        if in_force and policy is not None:
            refuse(["give either --policy or --in-force: they name the policy in two ways"])
        engine = open_kept(db)
        stack.callback(engine.dispose)
        gate = Gate(engine, IN_FORCE if in_force else policy, isolated=isolated)
        sources, count = _checked(stack, files, mapping)
        if ready_database(engine):
            print(
                f"dealgate: set up a new database, {engine.url.render_as_string(hide_password=True)}", file=sys.stderr
            )
        printed = _Output(as_json, only=_only_deal(sources, count))
        with engine.begin() as connection:
            deals = _deals(sources, count, as_json=as_json)
            for verdict in gate.submit_all(deals, session=connection, actor=actor):
                printed.keep(verdict.decision, verdict.text)
        printed.finish()


def read_one(file: str) -> Deal:
    """The deal of a file that must hold exactly one."""
    with ExitStack() as stack:
        sources, count = _checked(stack, [file])
        if count > 1:
            refuse([f"{file}: holds {count:,} deals; give a file of one"])
        return next(sources[0].deals())


def _by_lever(decision: dict[str, Any], lever: str) -> dict[str, Any]:
    """The decision with the cures of one lever only."""
    return decision | {name: [by for by in decision[name] if by["lever"] == lever] for name in ("cures", "unfixable")}


def _checked(stack: ExitStack, files: list[str], mapping: str | None = None) -> tuple[list[Source], int]:
    """Open and read every file before anything is done with any of them."""
    sources, problems, count = list[Source](), list[object](), 0
    opened = _opener(mapping)
    for name in files:
        try:
            source = stack.enter_context(opened(name))
        except OSError as error:
            problems.append(unreadable_file(name, error))
            continue
        found, wrong = source.check()
        sources.append(source)
        count += found
        problems += wrong
    if problems:
        refuse(problems)
    for source in sources:
        if not isinstance(source, DealFile):
            print("".join(f"note: {remark}\n" for remark in source.remarks), end="", file=sys.stderr)
    return sources, count


def _opener(mapping: str | None) -> Callable[[str], AbstractContextManager[Source]]:
    """How a file is opened: as deal documents, or as payloads that a mapping reads."""
    if mapping is None:
        return open_deals
    from dealgate.adapters.mapped_files import open_mapped  # noqa: PLC0415
    from dealgate.adapters.mappings import load_mapping  # noqa: PLC0415

    return partial(open_mapped, mapping=load_mapping(mapping))


def unreadable_file(name: str, error: OSError) -> FileProblem:
    message = f"cannot be read: {error.strerror}"
    return FileProblem(name, None, Problem("(file)", repr(name), message, "Give a readable file."))


def _deals(sources: list[Source], count: int, *, as_json: bool) -> Iterator[Deal]:
    deals = (deal for source in sources for deal in source.deals())
    if count > MOST_ROWS and not as_json:
        return iter(track(deals, "Deals", total=count, console=Console(stderr=True), transient=True))
    return deals


def _only_deal(sources: list[Source], count: int) -> Deal | None:
    """The deal of a call that has one: it is shown in full."""
    return next((deal for source in sources for deal in source.deals()), None) if count == 1 else None


class _Output:
    """Decisions on their way to standard output. What is being stored is printed only once it is."""

    def __init__(self, as_json: bool, *, at_once: bool = False, only: Deal | None = None, cures: bool = False) -> None:
        self.as_json = as_json
        self.only = only
        self.cures = cures
        self.at_once = at_once
        self.lines: list[str] = []
        self.totals = Totals()
        self.shown: list[Mapping[str, Any]] = []

    def keep(self, decision: Mapping[str, Any], text: str | None = None) -> None:
        if self.as_json:
            line = text or json.dumps(decision, ensure_ascii=False)
            print(line) if self.at_once else self.lines.append(line)
            return
        self.totals.add(decision)
        self.shown.append(decision)
        if len(self.shown) >= 2 * MOST_ROWS:
            self._keep_most_severe()

    def _keep_most_severe(self) -> None:
        if self.totals.outcomes.total() > MOST_ROWS:
            self.shown = sorted(self.shown, key=lambda decision: OUTCOMES.index(decision["outcome"]))[:MOST_ROWS]

    def finish(self) -> None:
        if self.as_json:
            for line in self.lines:
                print(line)
            return
        self._keep_most_severe()
        only = self.only.document() if self.only else None
        show(standard_output(), self.shown, self.totals, only, cures=self.cures)
