"""`dealgate key new|list|revoke`: who is let into the service."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from dealgate.adapters.command_line.deals import DatabaseOption
from dealgate.adapters.command_line.failures import refuse
from dealgate.adapters.command_line.ledger import DEFAULT, ActorOption, ledger_exit_codes
from dealgate.adapters.command_line.moments import read_moment
from dealgate.adapters.command_line.stored_versions import recorded
from dealgate.adapters.command_line.terminal import standard_output

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dealgate.models.api_keys import IssuedKey

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]

app = typer.Typer(help="API keys, which let programs into the service.", no_args_is_help=True)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Who calls with it: the actor of whatever is done with it.")],
    role: Annotated[
        list[str],
        typer.Option(help="submitter, underwriter, policy_author, policy_approver or compliance; may be repeated."),
    ],
    actor: ActorOption,
    authority: Annotated[
        list[str] | None,
        typer.Option(help="A role of the policy's `authority` in which it may grant overrides; may be repeated."),
    ] = None,
    expires_in: Annotated[int, typer.Option(metavar="DAYS", help="Days that it is valid, at most 365.")] = 365,
    as_json: JsonOption = False,
    db: DatabaseOption = DEFAULT,
) -> None:
    """Issue a key and print it. It is shown this once: only a hash of it is kept."""
    from dealgate.models.api_keys import issue_key  # noqa: PLC0415

    def issue(connection: "Connection", now: datetime) -> "tuple[IssuedKey, str]":
        roles, authorities = role, authority or []
        return issue_key(connection, name, now, roles=roles, authorities=authorities, actor=actor, days=expires_in)

    with _key_exit_codes():
        key, shown = recorded(db, issue)
        document = key.document(datetime.now(UTC))
        print(json.dumps(document | {"key": shown}) if as_json else shown)
        print(f"{_summary(document)}; it is shown this once", file=sys.stderr)


@app.command("list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Those that are revoked or expired too.")] = False,
    at: Annotated[
        str | None, typer.Option(metavar="MOMENT", help="As they stood then, with its time zone; without it, now.")
    ] = None,
    as_json: JsonOption = False,
    db: DatabaseOption = DEFAULT,
) -> None:
    """List the keys that are valid: who may do what, and who said so."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.models.api_keys import all_keys  # noqa: PLC0415

    with ledger_exit_codes(), stored(db) as connection:
        moment = read_moment(at) if at else datetime.now(UTC)
        issued = [key for key in all_keys(connection) if key.issued_at <= moment]
        found = [key for key in issued if every or key.state(moment) == "valid"]
        if as_json:
            print(json.dumps([key.document(moment) for key in found]))
        else:
            standard_output().print(_table(found, moment))


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="The key's id; the whole key does as well.")],
    actor: ActorOption,
    as_json: JsonOption = False,
    db: DatabaseOption = DEFAULT,
) -> None:
    """End a key's time now. The service goes by it within five seconds."""
    from dealgate.models.api_keys import PREFIX, read_key, revoke_key  # noqa: PLC0415

    written = read_key(key)  # who found a key in a log has all of it
    key_id = written.key_id if written else key
    with _key_exit_codes():
        if not written and key.startswith(PREFIX):
            refuse([f"this is not the whole of a key: give all of it, or its id, the 16 digits after {PREFIX}"])
        revoked = recorded(db, lambda connection, now: revoke_key(connection, key_id, now, actor=actor))
        document = revoked.document(datetime.now(UTC))
        print(json.dumps(document) if as_json else _summary(document))


@contextmanager
def _key_exit_codes() -> Iterator[None]:
    """A key that cannot be issued or revoked is bad input."""
    from dealgate.models.api_keys import ApiKeyError  # noqa: PLC0415

    with ledger_exit_codes():
        try:
            yield
        except ApiKeyError as error:
            refuse([error])


def _summary(document: dict[str, str]) -> str:
    return (
        f"{document['key_id']} of {document['name']}: {document['state']}, {', '.join(document['roles'])}, "
        f"until {document['revoked_at'] or document['expires_at']}"
    )


def _table(found: "list[IssuedKey]", at: datetime) -> Table:
    shown = Table(box=None)
    shown.add_column("Key", no_wrap=True, min_width=16)
    for name in ("Name", "Roles", "Authorities", "State", "Expires in", "Issued by", "Revoked by"):
        shown.add_column(name)
    for key in found:
        state = key.state(at)
        shown.add_row(
            key.key_id,
            key.name,
            ", ".join(key.roles),
            ", ".join(key.authorities),
            state,
            f"{(key.expires_at - at).days} days" if state == "valid" else "",
            key.issued_by,
            key.revoked_by or "",
        )
    return shown
