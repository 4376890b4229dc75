"""`dealgate ledger notice|hold|release|redact|due|purge`: what starts retention, stops it, and takes out what may go."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dealgate.adapters.command_line.deals import DatabaseOption
from dealgate.adapters.command_line.ledger import (
    DEFAULT,
    ActorOption,
    ReasonOption,
    ledger_database,
    ledger_exit_codes,
)
from dealgate.adapters.command_line.moments import read_moment

if TYPE_CHECKING:
    from sqlalchemy import Connection

DealArgument = Annotated[str, typer.Argument(metavar="DEAL")]
MonthsOption = Annotated[
    int, typer.Option(min=1, max=1_200, help="Months from the last notice: 25 by 12 CFR 1002.12(b).")
]
MostOption = Annotated[int, typer.Option("--most", min=1, max=10_000, help="Deals at the most.")]


def notice(
    deal_id: DealArgument,
    kind: Annotated[str, typer.Option(help="adverse_action, counteroffer, approval or incomplete.")],
    actor: ActorOption,
    sent_at: Annotated[str | None, typer.Option(help="When it was sent, with its time zone; without it, now.")] = None,
    note: Annotated[str, typer.Option(help="Carried along.")] = "",
    channel: Annotated[
        str | None, typer.Option(help="How it went: mail, email, portal, in_person or telephone.")
    ] = None,
    decision: Annotated[
        str | None,
        typer.Option(metavar="ID", help="What it tells of; without it, the last decision before it was sent."),
    ] = None,
    reason: Annotated[
        list[str] | None, typer.Option(help="A reason that it gave, in the decision's words; may be repeated.")
    ] = None,
    db: DatabaseOption = DEFAULT,
) -> None:
    """Record that the applicant was notified of action taken: the time of retention begins."""
    from dealgate.models.erasure import record_notice  # noqa: PLC0415

    with ledger_exit_codes():
        now = datetime.now(UTC)
        sent = read_moment(sent_at) if sent_at else now
        receipt = _recorded(
            db,
            lambda connection: record_notice(
                connection,
                deal_id,
                kind,
                sent,
                now,
                actor=actor,
                note=note,
                channel=channel,
                decision_id=decision,
                reasons=reason or [],
            ),
        )
        print(f"recorded by entry {receipt.entry_id}")


def hold(deal_id: DealArgument, reason: ReasonOption, actor: ActorOption, db: DatabaseOption = DEFAULT) -> None:
    """Place a legal hold on a deal: nothing of it is redacted or purged until it is released."""
    _hold(deal_id, reason, actor, db, placed=True)


def release(deal_id: DealArgument, reason: ReasonOption, actor: ActorOption, db: DatabaseOption = DEFAULT) -> None:
    """Release a legal hold."""
    _hold(deal_id, reason, actor, db, placed=False)


def _hold(deal_id: str, reason: str, actor: str, db: str, *, placed: bool) -> None:
    from dealgate.models import erasure  # noqa: PLC0415

    with ledger_exit_codes():
        now = datetime.now(UTC)
        receipt = _recorded(
            db, lambda connection: erasure.hold(connection, deal_id, reason, now, actor=actor, placed=placed)
        )
        print(f"recorded by entry {receipt.entry_id}")


def redact(
    entry_id: Annotated[str, typer.Argument(metavar="ENTRY")],
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="JSON pointers, such as /deal/vehicle/vin.")],
    reason: ReasonOption,
    actor: ActorOption,
    db: DatabaseOption = DEFAULT,
) -> None:
    """Erase personal values of an entry. Their commitments stay, and every proof with them."""
    from dealgate.models import erasure  # noqa: PLC0415

    with ledger_exit_codes():
        now = datetime.now(UTC)
        receipt = _recorded(
            db, lambda connection: erasure.redact(connection, entry_id, paths, reason, now, actor=actor)
        )
        print(f"erased {len(paths)} values, recorded by entry {receipt.entry_id}")


def due(months: MonthsOption = 25, most: MostOption = 1_000, db: DatabaseOption = DEFAULT) -> None:
    """List the deals that may be purged: their time is over, and no hold keeps them."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.models import erasure  # noqa: PLC0415
    from dealgate.rules.decision import moment  # noqa: PLC0415

    with ledger_exit_codes(), stored(db) as connection:
        found = erasure.due(connection, datetime.now(UTC), months, most)
        for one in found:
            print(f"{one.deal_id}  last notice {moment(one.notified_at)}")
        print(f"{len(found)} deals may be purged")


def purge(
    actor: ActorOption,
    months: MonthsOption = 25,
    most: MostOption = 1_000,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    db: DatabaseOption = DEFAULT,
) -> None:
    """Take out everything about the deals whose time is over, but for the hashes. This cannot be undone."""
    from dealgate.models import erasure  # noqa: PLC0415

    with ledger_exit_codes():
        if not yes:
            typer.confirm(
                f"Purge up to {most} deals whose last notice is {months} months old? There is no way back", abort=True
            )
        now = datetime.now(UTC)
        purged = _recorded(db, lambda connection: erasure.purge(connection, now, actor=actor, months=months, most=most))
        print(
            f"purged {len(purged[1])} deals, recorded by entry {purged[0].entry_id}"
            if purged
            else "no deal may be purged yet"
        )


def _recorded(db: str, work: "Callable[[Connection], Any]") -> Any:
    from dealgate.adapters.transactions import once  # noqa: PLC0415

    with ledger_database(db) as engine:
        return once(engine, work)
