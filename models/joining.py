"""Joining the caller's transaction: the connection it lives on, begun, and one that commits as a whole."""

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from dealgate.models.tables import Deal

Writable = Session | Connection


def connection_of(session: Writable) -> Connection:
    """The connection on which a session holds dealgate's tables. One that is bound to several engines is asked for that of `Deal`."""
    return session.connection(bind_arguments={"mapper": Deal}) if isinstance(session, Session) else session


def join(session: Writable) -> Connection:
    """The same, within a transaction. Raises `ValueError` in autocommit, where parts would be kept of what fails half way."""
    connection = connection_of(session)
    if not connection.in_transaction():
        connection.begin()
    driver: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "sqlite":
        whole = _begun_on_sqlite(connection, driver)
    else:
        whole = getattr(driver, "autocommit", False) is not True
    if not whole:
        raise ValueError(
            "this session or connection is in autocommit, where a decision could be kept without its deal: hand over one in a "
            "transaction, such as connection.execution_options(isolation_level='READ COMMITTED') on PostgreSQL or 'SERIALIZABLE' on SQLite"
        )
    return connection


def _begun_on_sqlite(connection: Connection, driver: Any) -> bool:
    """SQLite's driver begins no transaction for a savepoint or a SELECT: on a host's own engine, releasing it would be its commit."""
    native: Any = connection.connection.driver_connection
    if native.in_transaction:
        return True
    if driver.isolation_level is None or getattr(driver, "autocommit", False) is True:
        return False
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    return True


def still_stands(connection: Connection) -> bool:
    """Whether the transaction is there. SQLite ends it by itself at some failures, such as to read the file; what follows would be kept
    statement by statement, and what was before is gone.
    """
    native: Any = connection.connection.driver_connection
    return connection.dialect.name != "sqlite" or bool(native.in_transaction)
