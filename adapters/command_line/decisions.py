"""`dealgate decision ...`: stored decisions, shown, listed, drawn and put on a page."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from dealgate.adapters.charts import USUAL
from dealgate.adapters.command_line.deals import DatabaseOption
from dealgate.adapters.command_line.failures import exit_codes, refuse
from dealgate.adapters.command_line.pictures import PictureOption, WidthOption, suffix_of, write
from dealgate.adapters.command_line.terminal import COLOURS, decision_in_full, decisions_table, standard_output

if TYPE_CHECKING:
    from sqlalchemy import Connection

IdArgument = Annotated[str, typer.Argument(metavar="ID")]

app = typer.Typer(help="Stored decisions.", no_args_is_help=True)


@app.command()
def show(
    decision_id: IdArgument,
    db: DatabaseOption = "sqlite:///dealgate.db",
    as_json: Annotated[bool, typer.Option("--json", help="Print the stored document.")] = False,
) -> None:
    """Show one decision as it was stored."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.models import find_submission  # noqa: PLC0415

    with exit_codes(), stored(db) as connection:
        decision = _found(connection, decision_id)
        if as_json:
            print(json.dumps(decision, ensure_ascii=False))
        else:
            standard_output().print(decision_in_full(decision, find_submission(connection, decision_id)))


def _found(connection: "Connection", decision_id: str) -> Mapping[str, Any]:
    from dealgate.models import find_decision  # noqa: PLC0415

    decision = find_decision(connection, decision_id)
    if decision is None:
        refuse([f"no decision has the id {decision_id!r}; dealgate decision list names them"])
    return decision


def _found_with_deal(connection: "Connection", decision_id: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """A stored decision and the stored deal document that it was made about."""
    from dealgate.models import find_submission  # noqa: PLC0415

    decision, deal = _found(connection, decision_id), find_submission(connection, decision_id)
    if deal is None:
        refuse([f"the submission of the decision {decision_id!r} is not stored"])
    return deal, decision


@app.command()
def picture(
    decision_id: IdArgument,
    output: PictureOption,
    db: DatabaseOption = "sqlite:///dealgate.db",
    width: WidthOption = USUAL,
) -> None:
    """Draw a stored decision: the structure, and equity over time."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.adapters.pictures import WRITERS, draw  # noqa: PLC0415

    with exit_codes():
        suffix = suffix_of(output, WRITERS, "a picture")
        with stored(db) as connection:
            deal, decision = _found_with_deal(connection, decision_id)
        write(output, draw(deal, decision, suffix, width))


@app.command()
def letter(
    decision_id: IdArgument,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Ends in .pdf or .md.")],
    db: DatabaseOption = "sqlite:///dealgate.db",
) -> None:
    """Write one page about a stored decision, for the deal jacket, from what is stored and nothing else."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.adapters.letter import WRITERS, write_letter  # noqa: PLC0415

    with exit_codes():
        suffix = suffix_of(output, WRITERS, "a letter")
        with stored(db) as connection:
            deal, decision = _found_with_deal(connection, decision_id)
        write(output, write_letter(deal, decision, suffix))


@app.command("list")
def list_(
    db: DatabaseOption = "sqlite:///dealgate.db",
    deal: Annotated[str | None, typer.Option(help="Only this deal's.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Only this outcome: pass, flag, refer or decline.")] = None,
    most: Annotated[
        int, typer.Option("--most", min=1, max=10_000, help="How many at the most, the latest first.")
    ] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print the stored documents, one a line.")] = False,
) -> None:
    """List decisions, the latest first."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.models import list_decisions  # noqa: PLC0415

    with exit_codes(), stored(db) as connection:
        if outcome is not None and outcome not in COLOURS:
            refuse([f"no outcome is called {outcome!r}: use pass, flag, refer or decline"])
        page = list_decisions(connection, deal_id=deal, outcome=outcome, most=most)
        if as_json:
            for decision in page.decisions:
                print(json.dumps(decision, ensure_ascii=False))
            return
        console = standard_output()
        console.print(decisions_table(page.decisions, len(page.decisions)))
        for decision in page.decisions if len(page.decisions) <= 10 else ():
            console.print(Text(f"{decision['deal_id']}  {decision['decision_id']}", style="dim"))
        if page.before is not None:
            console.print(f"... the latest {most}; more with --most", style="dim")
