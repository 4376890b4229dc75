"""Reading for answers that could take long: everything as of one moment, and given up once its time is over."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event, text
from sqlalchemy.exc import OperationalError

from dealgate.adapters.database import of_one_moment
from dealgate.adapters.service.problems import ProblemError
from dealgate.adapters.service.service import Service

CANCELLED = "57014"
"""PostgreSQL's code for a statement that ran out of its time."""

SQLITE_INTERRUPT = 9
STEPS = 10_000
"""Of SQLite's virtual machine between two looks at the clock: a millisecond or so."""


class TooLongError(ProblemError):
    def __init__(self, seconds: float) -> None:
        super().__init__(
            422,
            "too-long",
            "The answer would take too long",
            f"It was given up after {seconds:g} seconds: ask for a shorter period or for fewer, or ask with dealgate audit.",
        )


@contextmanager
def reading_within(service: Service) -> Iterator[Connection]:
    """Raises `TooLongError` once what is read in here has taken `query_seconds`."""
    seconds = service.settings.query_seconds
    with service.engine.connect().execution_options(**of_one_moment(service.engine)) as connection:
        deadline = time.monotonic() + seconds

        @event.listens_for(connection, "before_cursor_execute")
        def look(*_: object) -> None:
            if time.monotonic() > deadline:
                raise TooLongError(seconds)

        try:
            with _limited(connection, seconds, deadline):
                yield connection
        except OperationalError as error:
            if _ran_out(error):
                raise TooLongError(seconds) from None
            raise


@contextmanager
def _limited(connection: Connection, seconds: float, deadline: float) -> Iterator[None]:
    """A limit for the statement that runs; the ones after it are looked at before they begin."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}"))
        yield
        return
    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(lambda: time.monotonic() > deadline, STEPS)
    try:
        yield
    finally:
        driver.set_progress_handler(None, STEPS)


def _ran_out(error: OperationalError) -> bool:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return getattr(error.orig, "sqlstate", None) == CANCELLED or code == SQLITE_INTERRUPT
