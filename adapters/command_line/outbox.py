"""`dealgate outbox list|retry|deliver|end`."""

import json
import logging
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from dealgate.adapters.command_line.deals import DatabaseOption
from dealgate.adapters.command_line.failures import exit_codes, refuse
from dealgate.adapters.command_line.ledger import DEFAULT, ledger_database
from dealgate.adapters.command_line.service_settings import ConfigOption, settings_of, with_the_extra
from dealgate.adapters.command_line.terminal import standard_output

if TYPE_CHECKING:
    from dealgate.adapters.outbox.dispatcher import Outbox
    from dealgate.adapters.outbox.listing import Listed

DEAD_EVENTS = 1
"""The exit code of `deliver` where events are dead."""

COLOURS = {"waiting": "yellow", "delivered": "green", "dead": "bold red", "withdrawn": "dim"}

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]

app = typer.Typer(help="What subscribers are told of decisions, overrides and policies.", no_args_is_help=True)


@app.command("list")
def list_(
    state: Annotated[
        str | None,
        typer.Option(help="waiting, delivered, dead or withdrawn; without it, what waits and what is dead."),
    ] = None,
    most: Annotated[int, typer.Option("--most", min=1, max=10_000, help="How many are listed.")] = 50,
    as_json: JsonOption = False,
    db: DatabaseOption = DEFAULT,
) -> None:
    """List events with where they stand, the latest first."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.adapters.outbox.listing import listed  # noqa: PLC0415
    from dealgate.models.outbox_tables import STATES  # noqa: PLC0415

    with exit_codes():
        if state is not None and state not in STATES:
            refuse([f"no state is called {state!r}: use {', '.join(STATES)}"])
        with stored(db) as connection:
            found = listed(connection, state, most)
        if as_json:
            print(json.dumps([one.document() for one in found]))
        else:
            standard_output().print(_table(found) if found else "Nothing is in the outbox.")


@app.command()
def retry(
    ids: Annotated[
        list[int] | None,
        typer.Argument(metavar="[ID]...", min=1, max=2**63 - 1, help="Events, by the ids that `list` shows."),
    ] = None,
    dead: Annotated[bool, typer.Option("--dead", help="All that are dead.")] = False,
    db: DatabaseOption = DEFAULT,
) -> None:
    """Set events going again that failed, with all their attempts before them."""
    from dealgate.adapters.outbox import work  # noqa: PLC0415
    from dealgate.adapters.transactions import in_transaction  # noqa: PLC0415

    with exit_codes():
        if bool(ids) == dead:
            refuse(["give the ids of events, or --dead"])
        with ledger_database(db) as engine:
            due = in_transaction(engine, lambda connection, again: work.retry(connection, ids or [], dead=dead))
        for one in due:
            print(f"event {one} is due now")
        if left := sorted(set(ids or ()) - set(due)):
            refuse(f"event {one} is not there, has not failed, or is being sent" for one in left)
        if not due:
            print("no event is dead")


@app.command()
def deliver(
    watch: Annotated[bool, typer.Option("--watch", help="Go on until told to stop.")] = False,
    config: ConfigOption = None,
    db: Annotated[
        str | None, typer.Option("--db", metavar="URL", help="The database, instead of the settings'.")
    ] = None,
) -> None:
    """Tell the subscribers of the settings what is due. Exit code 1 where events are dead.

    The service does the same; several processes may do so at once.
    """
    from dealgate.adapters.outbox.depth import depth  # noqa: PLC0415

    with exit_codes(), with_the_extra("webhooks need"):
        from dealgate.adapters.outbox.dispatcher import Outbox  # noqa: PLC0415

        settings = settings_of(config, {"db": db})
        if not settings.webhooks:
            refuse(["no subscriber is configured: set webhooks in the settings"])
        with ledger_database(settings.db.get_secret_value()) as engine:
            outbox = Outbox(engine, settings.webhooks, settings.outbox)
            if watch:
                _watch(outbox)
                return
            logging.basicConfig(level=logging.WARNING, format="%(message)s")
            outbox.deliver()
            with engine.connect() as connection:
                found = depth(connection)
        for name, one in sorted(found.items()):
            print(f"{name}: {one.waiting} waiting, {one.dead} dead")
        if any(one.dead for one in found.values()):
            raise typer.Exit(DEAD_EVENTS)


@app.command()
def end(
    subscriber: Annotated[str, typer.Argument(metavar="NAME", help="A subscriber, by its name in the settings.")],
    db: DatabaseOption = DEFAULT,
) -> None:
    """Tell a subscriber nothing more, and withdraw what it was not told. Take it out of the settings first."""
    from dealgate.adapters.outbox import work  # noqa: PLC0415
    from dealgate.adapters.transactions import in_transaction  # noqa: PLC0415

    with exit_codes(), ledger_database(db) as engine:
        withdrawn = in_transaction(engine, lambda connection, again: work.end(connection, subscriber))
        if withdrawn is None:
            refuse([f"no subscriber is called {subscriber!r}"])
        print(f"{subscriber} is told nothing more; {withdrawn} events are withdrawn")


def _watch(outbox: "Outbox") -> None:
    """Until SIGINT or SIGTERM; what is being sent then is finished."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with _stopped_by_signals() as stop:
        outbox.watch(stop)


@contextmanager
def _stopped_by_signals() -> Iterator[Event]:
    stop = Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    yield stop
    for number, handler in before.items():
        signal.signal(number, handler)


def _table(found: "Sequence[Listed]") -> Table:
    table = Table(box=None, pad_edge=False)
    for name, justify in (
        ("Id", "right"),
        ("Subscriber", "left"),
        ("Event", "left"),
        ("Subject", "left"),
        ("State", "left"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for name in ("Tries", "Behind"):
        table.add_column(name, justify="right")
    table.add_column("Next, and what came last")
    for one in found:
        state = Text(one.state, style=COLOURS[one.state])
        cells = (str(one.id), one.subscriber, one.event, one.subject.partition("/")[2])
        table.add_row(*cells, state, str(one.attempts), str(one.behind or ""), _last(one))
    return table


def _last(one: "Listed") -> str:
    if one.settled_at is not None:
        return f"{one.settled_at:%Y-%m-%d %H:%M:%S}  {one.error or one.status}"
    if one.waits_behind:
        return "waits behind an earlier one"
    when = "" if one.state == "dead" else f"{one.due_at:%Y-%m-%d %H:%M:%S}  "
    return f"{when}{one.error or ''}".rstrip()
