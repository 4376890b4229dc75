"""`dealgate mapping ...`: a host's payloads as deals, and decisions as its replies."""

import json
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dealgate.adapters.command_line.deals import unreadable_file
from dealgate.adapters.command_line.failures import exit_codes, refuse
from dealgate.rules.deal import parse_json

if TYPE_CHECKING:
    from dealgate.adapters.mappings import HostMapping, MappedDeal

app = typer.Typer(help="Mappings of hosts' payloads.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="MAPPING", help="A mapping file, or a shipped mapping by name.")]


@app.command("list")
def list_() -> None:
    """List the shipped mappings."""
    from dealgate.adapters.mappings import SHIPPED, load_mapping  # noqa: PLC0415

    with exit_codes():
        for name in SHIPPED:
            print(f"{name:14}{load_mapping(name).plan.title}")


@app.command()
def show(name: NameArgument) -> None:
    """Print a mapping document: the start of one of your own."""
    from dealgate.adapters.mappings import load_mapping  # noqa: PLC0415

    with exit_codes():
        print(load_mapping(name).text, end="")


@app.command()
def check(name: NameArgument) -> None:
    """Check a mapping document."""
    from dealgate.adapters.mappings import load_mapping  # noqa: PLC0415

    with exit_codes():
        plan = load_mapping(name).plan
        reply = f"a reply in {plan.reply.format}" if plan.reply else "no reply"
        filled = sorted(
            {one.target for one in plan.fields if one.paths} | {one.target for one in plan.items if one.fields}
        )
        print(
            f"{plan.name} {plan.version}: {plan.source.format}, {len(filled)} fields, {len(plan.checks)} checks, {reply}"
        )


@app.command()
def run(
    name: NameArgument,
    payload: Annotated[str, typer.Argument(metavar="PAYLOAD", help="What the host sends; - is standard input.")],
) -> None:
    """Print the deals of a payload as deal documents, one a line. What nothing reads is told on standard error."""
    from dealgate.adapters.mapped_files import open_mapped  # noqa: PLC0415
    from dealgate.adapters.mappings import MappingError, load_mapping  # noqa: PLC0415

    with exit_codes(), ExitStack() as stack:
        mapping = load_mapping(name)
        try:
            file = stack.enter_context(open_mapped(payload, mapping))
        except OSError as error:
            refuse([unreadable_file(payload, error)])
        count, problems = 0, list[str]()
        for count, found in enumerate(file.read(), start=1):  # noqa: B007
            if isinstance(found, MappingError):
                problems += map(str, found.problems)
            else:
                _tell(mapping, found)
        if not count:
            problems.append(f"{mapping.name}: there is no deal in {payload}")
        if problems:
            refuse(problems)


def _tell(mapping: "HostMapping", found: "MappedDeal") -> None:
    print(json.dumps(found.document, ensure_ascii=False))
    place = f"{mapping.name}: {found.place}: " if found.place else f"{mapping.name}: "
    for remark in found.remarks:
        print(f"note: {place}{remark}", file=sys.stderr)
    if found.unread and mapping.plan.refuses_unread:
        print(f"note: {place}nothing reads {', '.join(found.unread)}", file=sys.stderr)


@app.command()
def reply(
    name: NameArgument,
    decision: Annotated[str, typer.Argument(metavar="DECISION", help="A decision as JSON; - is standard input.")],
) -> None:
    """Print a decision in the host's fields."""
    from dealgate.adapters.deal_files import open_again  # noqa: PLC0415
    from dealgate.adapters.mappings import load_mapping  # noqa: PLC0415

    with exit_codes(), ExitStack() as stack:
        mapping = load_mapping(name)
        if mapping.plan.reply is None:
            refuse([f"the mapping {mapping.name} has no reply"])
        try:
            _, stream = stack.enter_context(open_again(decision))
        except OSError as error:
            refuse([unreadable_file(decision, error)])
        found: Any = parse_json(stream.read())
        if not isinstance(found, dict) or "outcome" not in found:
            refuse([f"{decision}: not a decision: give one as `dealgate evaluate --json` prints it"])
        told = mapping.reply(found)
        print(
            told if isinstance(told, str) else json.dumps(told, ensure_ascii=False, indent=2),
            end="" if isinstance(told, str) else "\n",
        )
