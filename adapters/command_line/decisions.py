"""`dealgate decision show` and `dealgate decision list`."""

import json
from typing import Annotated

import typer
from rich.text import Text

from dealgate.adapters.command_line.deals import DatabaseOption
from dealgate.adapters.command_line.failures import exit_codes, refuse
from dealgate.adapters.command_line.terminal import COLOURS, decision_in_full, decisions_table, standard_output

app = typer.Typer(help="Stored decisions.", no_args_is_help=True)


@app.command()
def show(
    decision_id: Annotated[str, typer.Argument(metavar="ID")],
    db: DatabaseOption = "sqlite:///dealgate.db",
    as_json: Annotated[bool, typer.Option("--json", help="Print the stored document.")] = False,
) -> None:
    """Show one decision as it was stored."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.models import find_decision  # noqa: PLC0415

    with exit_codes(), stored(db) as connection:
        decision = find_decision(connection, decision_id)
        if decision is None:
            refuse([f"no decision has the id {decision_id!r}; dealgate decision list names them"])
        if as_json:
            print(json.dumps(decision, ensure_ascii=False))
        else:
            standard_output().print(decision_in_full(decision))


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
