"""A database with rows in every table, and what is tried on it: nothing of that is ever kept."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.exc import DBAPIError

from dealgate.adapters.database import open_database
from dealgate.adapters.shadows import Look, record_looks
from dealgate.migrations import guards
from dealgate.migrations.guarded_tables import GUARDS
from dealgate.migrations.guards import PLAIN, Trigger
from dealgate.models import (
    Base,
    LedgerAnchor,
    LedgerCheckpoint,
    LedgerEntry,
    LedgerLeaf,
    LedgerTile,
    LegalHold,
    Notice,
    Recorded,
    Subscription,
    UnansweredChange,
    WatchedTable,
)
from dealgate.models.api_keys import issue_key, revoke_key
from dealgate.models.envelope import Draft
from dealgate.models.ledger import append
from dealgate.models.overrides import request_override
from dealgate.models.versions import add_version
from tests.databases import Databases, count_rows
from tests.models.erasing import give_leave, number_of
from tests.models.samples import NOW, OVERRIDABLE, a_deal, compiled, submit

LEAVE = "/deal/applicant/monthly_income"
"""What of the first decision may be erased."""

REFUSED = "keeps what was recorded"
each_guard = pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.table)


@contextmanager
def filled_database(databases: Databases) -> Iterator[Engine]:
    """One at the newest revision, with rows in every table."""
    url = databases.ready()
    engine = open_database(url)
    with engine.begin() as connection:
        fill(connection)
    assert all(count_rows(engine).values())
    yield engine
    engine.dispose()
    databases.give_back(url)


def fill(connection: Connection) -> list[Recorded]:
    """Two submissions of one deal, of which somebody is told, the entry before them sealed, and leave to erase one value of the first."""
    connection.execute(insert(Subscription), {"subscriber": "crm", "event": "decision.made", "since": NOW})
    made = [submit(connection, a_deal(applicant__monthly_debt=None), key=f"K-{number}") for number in range(2)]
    seal(connection, connection.execute(select(LedgerEntry.id).order_by(LedgerEntry.id)).scalars().first() or 0)
    give_leave(connection, made[0].decision_id, LEAVE)
    deal_id = a_deal()["deal_id"]
    notice = _entry(connection, "notice", deal_id)
    connection.execute(insert(Notice), {"entry": notice, "deal_id": deal_id, "kind": "mail", "sent_at": NOW})
    hold = _entry(connection, "legal_hold", deal_id)
    connection.execute(insert(LegalHold), {"entry": hold, "deal_id": deal_id, "deal_seq": 5, "placed": True})
    version = compiled().policy
    add_version(connection, version, version.self_contained, NOW, actor="author")
    look = Look(version.sha256, "pass", "refer", {})
    record_looks(connection, made[0].decision_id, [look], NOW)
    referred = submit(connection, a_deal(deal_id="D-OVERRIDDEN"), policy=compiled(OVERRIDABLE)).decision_id
    words = {"actor": "ann", "reason": "STRONG-INCOME", "note": "Long employed."}
    request_override(connection, referred, ["LTV-TOTAL"], NOW, **words)
    key, _ = issue_key(connection, "los", NOW, roles=["submitter"], authorities=["branch"], actor="ann")
    revoke_key(connection, key.key_id, NOW, actor="bob")
    leave_unanswered(connection)
    return made


def leave_unanswered(connection: Connection) -> None:
    """A table that is watched, and a change of it that nobody has decided."""
    definition = {"mode": "record", "parts": [["loan", ["id"], ["amount"], [], [], ""]]}
    connection.execute(insert(WatchedTable), {"table_name": "loan", "definition": json.dumps(definition)})
    change = {"table_name": "loan", "row_key": "[1]", "changed_table": "loan", "operation": "UPDATE", "changed_at": NOW}
    connection.execute(insert(UnansweredChange), change)


def seal(connection: Connection, entry: int) -> None:
    """The rows that sealing an entry leaves; what they hold is of no account here."""
    rows: dict[type[Any], dict[str, Any]] = {
        LedgerLeaf: {"leaf_index": 0, "entry": entry, "leaf_hash": bytes(32)},
        LedgerTile: {"level": 0, "n": 0, "hashes": bytes(32), "root": bytes(32)},
        LedgerCheckpoint: {"size": 1, "note": "a note", "frontier": b"f", "sealed_at": NOW},
        LedgerAnchor: {"size": 1, "sink": "a file", "receipt": b"r", "anchored_at": NOW},
    }
    for table, row in rows.items():
        connection.execute(insert(table), row)


def _entry(connection: Connection, kind: str, deal_id: str) -> int:
    return number_of(connection, append(connection, Draft(str(uuid4()), kind, {}, deal_id=deal_id), NOW).entry_id)


def rows_of(connection: Connection, table: str) -> list[str]:
    return sorted(map(repr, connection.execute(Base.metadata.tables[table].select())))


def everything(database: Engine) -> dict[str, list[str]]:
    with database.connect() as connection:
        return {table: rows_of(connection, table) for table in Base.metadata.tables}


def columns_of(table: str) -> list[str]:
    return [column.name for column in Base.metadata.tables[table].columns]


def assert_refused(database: Engine, statement: str, *before: str, words: str = REFUSED) -> None:
    with database.connect() as connection:
        for preparation in before:
            connection.exec_driver_sql(preparation)
        with pytest.raises(DBAPIError, match=words):
            connection.exec_driver_sql(statement, execution_options=PLAIN)


def expected(connection: Connection) -> Sequence[Trigger]:
    if connection.dialect.name == "sqlite":
        return list(guards.sqlite_triggers())
    return list(guards.postgresql_triggers())


def problems_after(connection: Connection, *statements: str) -> list[str]:
    """What is told once these statements have run; they are taken back."""
    with connection.begin_nested() as savepoint:
        for statement in statements:
            connection.exec_driver_sql(statement, execution_options=PLAIN)
        found = guards.problems(connection)
        savepoint.rollback()
    return found
