"""`dealgate override request|grant|deny|list|show|clearance`."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from dealgate.adapters.command_line.deals import DatabaseOption
from dealgate.adapters.command_line.failures import refuse
from dealgate.adapters.command_line.ledger import DEFAULT, ActorOption, ledger_exit_codes
from dealgate.adapters.command_line.moments import read_moment
from dealgate.adapters.command_line.stored_versions import recorded
from dealgate.adapters.command_line.terminal import standard_output

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dealgate.models import Override, Taken

NOT_CLEARED = 1
"""The exit code for a deal that may not be booked."""

OverrideArgument = Annotated[str, typer.Argument(metavar="OVERRIDE", help="The id that the request printed.")]
NoteOption = Annotated[str, typer.Option(help="Why, in your words; kept as a personal value.")]
KeyOption = Annotated[
    str | None, typer.Option("--idempotency-key", metavar="KEY", help="The same step under the same key is taken once.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]

app = typer.Typer(help="Let a deal through against findings, or turn it down.", no_args_is_help=True)


@app.command()
def request(
    decision_id: Annotated[str, typer.Argument(metavar="DECISION", help="The id of the deal's last decision.")],
    reason: Annotated[str, typer.Option(help="A reason code of the policy.")],
    note: NoteOption,
    actor: ActorOption,
    finding: Annotated[list[str] | None, typer.Option(help="A finding, by its rule; may be repeated.")] = None,
    factor: Annotated[
        list[str] | None, typer.Option(help="A compensating factor of the policy, by its code; may be repeated.")
    ] = None,
    side: Annotated[str, typer.Option(help="low: let the deal through. high: turn it down.")] = "low",
    key: KeyOption = None,
    as_json: JsonOption = False,
    db: DatabaseOption = DEFAULT,
) -> None:
    """Ask for an override of a deal's last decision."""
    from dealgate.models import request_override  # noqa: PLC0415

    _take(
        db,
        as_json,
        lambda connection, now: request_override(
            connection,
            decision_id,
            finding or [],
            now,
            actor=actor,
            reason=reason,
            note=note,
            side=side,
            compensating_factors=factor or [],
            idempotency_key=key,
        ),
    )


@app.command()
def grant(
    override_id: OverrideArgument,
    role: Annotated[str, typer.Option(help="The role in which it is granted; the policy says how far it goes.")],
    actor: ActorOption,
    until: Annotated[str | None, typer.Option(metavar="MOMENT", help="An earlier end than the policy's.")] = None,
    note: Annotated[str, typer.Option(help="In your words; kept as a personal value.")] = "",
    key: KeyOption = None,
    as_json: JsonOption = False,
    db: DatabaseOption = DEFAULT,
) -> None:
    """Grant an override, in a role that has the authority."""
    from dealgate.models import grant_override  # noqa: PLC0415

    end = read_moment(until) if until else None
    _take(
        db,
        as_json,
        lambda connection, now: grant_override(
            connection, override_id, now, actor=actor, role=role, until=end, note=note, idempotency_key=key
        ),
    )


@app.command()
def deny(
    override_id: OverrideArgument,
    note: NoteOption,
    actor: ActorOption,
    key: KeyOption = None,
    as_json: JsonOption = False,
    db: DatabaseOption = DEFAULT,
) -> None:
    """Deny an override that is not granted yet."""
    from dealgate.models import deny_override  # noqa: PLC0415

    _take(
        db,
        as_json,
        lambda connection, now: deny_override(
            connection, override_id, now, actor=actor, note=note, idempotency_key=key
        ),
    )


@app.command("list")
def list_(
    deal: Annotated[str | None, typer.Option(help="Only this deal's.")] = None,
    state: Annotated[
        str | None, typer.Option(help="Only these: requested, 'in force', denied, ended or superseded.")
    ] = None,
    most: Annotated[int, typer.Option("--most", min=1, max=10_000, help="How many requests are looked at.")] = 50,
    as_json: JsonOption = False,
    db: DatabaseOption = DEFAULT,
) -> None:
    """List overrides, those that were asked for last first, each with where it stands now."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.models import latest_overrides, overrides_of  # noqa: PLC0415
    from dealgate.models.standing import STATES  # noqa: PLC0415

    with override_exit_codes(), stored(db) as connection:
        if state is not None and state not in STATES:
            refuse([f"no state is called {state!r}: use {', '.join(STATES)}"])
        now = datetime.now(UTC)
        asked = overrides_of(connection, deal)[::-1][:most] if deal else latest_overrides(connection, most)
        found = [one for one in asked if state in {None, one.state(now)}]
        if as_json:
            print(json.dumps([one.document(now) for one in found]))
        else:
            standard_output().print(_table(found, now))


@app.command()
def show(override_id: OverrideArgument, as_json: JsonOption = False, db: DatabaseOption = DEFAULT) -> None:
    """Show an override with everything that its steps say."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.models import find_override  # noqa: PLC0415
    from dealgate.models.standing import steps_told  # noqa: PLC0415

    with override_exit_codes(), stored(db) as connection:
        override = find_override(connection, override_id)
        if override is None:
            refuse([f"no override has the id {override_id!r}; dealgate override list has them"])
        document = override.document(datetime.now(UTC)) | {"steps": steps_told(connection, override)}
        if as_json:
            print(json.dumps(document))
            return
        console = standard_output()
        for line in (_summary(document), *map(_step_line, document["steps"])):
            console.print(Text(line))


@app.command("clearance")
def clearance_(
    deal_id: Annotated[str, typer.Argument(metavar="DEAL")],
    at: Annotated[str | None, typer.Option(metavar="MOMENT", help="With its time zone; without it, now.")] = None,
    as_json: JsonOption = False,
    db: DatabaseOption = DEFAULT,
) -> None:
    """Say whether a deal's last submission may be booked. Exit code 1 where it may not."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.models import clearance  # noqa: PLC0415

    with override_exit_codes(), stored(db) as connection:
        moment = read_moment(at) if at else datetime.now(UTC)
        found = clearance(connection, deal_id, moment, in_hindsight=at is not None)
        document = found.document()
        if as_json:
            print(json.dumps(document))
        else:
            until = f" until {document['until']}" if document["until"] else ""
            print(f"{deal_id} submission {found.submission}, {found.outcome}: ", end="")
            print(f"cleared{until}" if found.cleared else "turned down" if found.turned_down else "not cleared")
            for words in found.missing:
                print(f"  {words}")
        if not found.cleared:
            raise typer.Exit(NOT_CLEARED)


@contextmanager
def override_exit_codes() -> Iterator[None]:
    """A step that cannot be taken is bad input."""
    from dealgate.models import IdempotencyConflictError, OverrideError  # noqa: PLC0415

    with ledger_exit_codes():
        try:
            yield
        except (OverrideError, IdempotencyConflictError) as error:
            refuse([error])


def _take(db: str, as_json: bool, step: "Callable[[Connection, datetime], Taken]") -> None:
    with override_exit_codes():
        document = recorded(db, step).override.document(datetime.now(UTC))
        print(json.dumps(document) if as_json else f"{_summary(document)}\n{document['override_id']}")


def _summary(document: dict[str, Any]) -> str:
    does = "lets through" if document["side"] == "low" else "turns down"
    named = f" against {', '.join(document['rules'])}" if document["rules"] else ""
    until = f" until {document['ends_at']}" if document["state"] == "in force" and document["ends_at"] else ""
    grants = f"{len(document['grants'])} of {document['persons']} granted"
    return (
        f"{does} {document['deal_id']} submission {document['submission']}{named}: {document['state']}{until}, {grants}"
    )


def _step_line(step: dict[str, Any]) -> str:
    """What a person wants to read of a step; --json has all of it."""
    told = {
        "reason": step.get("reason"),
        "factors": ", ".join(step.get("compensating_factors", ())),
        "amount financed": step.get("amount_financed"),
        "excess": ", ".join(f"{one['rule']} {one.get('excess') or 'not in money'}" for one in step.get("findings", ())),
        "role": step.get("role"),
        "ends": step.get("ends_at"),
        "note": step.get("note", "(erased)"),
    }
    head = f"{step['recorded_at']}  {step['kind'].removeprefix('override_')}  {step['actor']}"
    return "; ".join([head, *(f"{name}: {value}" for name, value in told.items() if value)])


def _table(found: "Sequence[Override]", now: datetime) -> Table:
    shown = Table(
        "Deal", "Submission", "Side", "Findings", "Reason", "State", "Granted by", "Ends", "Override", box=None
    )
    for one in found:
        document = one.document(now)
        shown.add_row(
            one.deal_id,
            str(one.submission),
            one.side.value,
            ", ".join(one.rules),
            one.reason,
            document["state"],
            ", ".join(grant.actor for grant in one.grants),
            document["ends_at"] or "",
            one.override_id,
        )
    return shown
