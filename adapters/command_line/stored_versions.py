"""Policy versions on record, by what a command calls them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from dealgate.adapters.command_line.failures import refuse
from dealgate.adapters.command_line.ledger import ledger_database, ledger_exit_codes

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dealgate.adapters.policies import PolicyDocument

T = TypeVar("T")

LEAST_DIGITS = 8


def version_named(connection: "Connection", name: str) -> "PolicyDocument":
    """The version with a hash, the beginning of one, or NAME@VERSION. Ends with exit code 2 where not exactly one is meant."""
    from sqlalchemy import select  # noqa: PLC0415

    from dealgate.adapters.policy_records import stored_document  # noqa: PLC0415
    from dealgate.models.recording import VERSION  # noqa: PLC0415

    policy, at, number = name.rpartition("@")
    statement = select(VERSION).limit(2)
    if at:
        statement = statement.where(VERSION.c.name == policy, VERSION.c.version == number)
    elif len(name) < LEAST_DIGITS or set(name.lower()) - set("0123456789abcdef"):
        refuse([f"{name!r} names no version: give NAME@VERSION, or at least {LEAST_DIGITS} digits of its hash"])
    else:
        statement = statement.where(VERSION.c.sha256.startswith(name.lower(), autoescape=True))
    rows = connection.execute(statement).all()
    if len(rows) != 1:
        refuse(
            [f"{name!r} names {'several versions' if rows else 'no version on record'}; dealgate policy list has them"]
        )
    return stored_document(rows[0])


def recorded(db: str, work: "Callable[[Connection, datetime], T]") -> T:
    """Run work in a transaction of its own and commit it."""
    from dealgate.adapters.transactions import once  # noqa: PLC0415

    with ledger_database(db) as engine:
        return once(engine, lambda connection: work(connection, datetime.now(UTC)))


@contextmanager
def version_exit_codes() -> Iterator[None]:
    """A step that cannot be taken is bad input."""
    from dealgate.models import PolicyConflictError  # noqa: PLC0415
    from dealgate.models.versions import VersionError  # noqa: PLC0415

    with ledger_exit_codes():
        try:
            yield
        except (VersionError, PolicyConflictError) as error:
            refuse([error])
