"""Many submissions stored at once leave what they leave one by one."""

import json
import secrets
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from dealgate import Deal
from dealgate.adapters.database import open_database
from dealgate.models import Base, Entry, record_policy, record_submission, record_submissions, recording
from tests.databases import NOTHING, SUBMITTED, Databases, count_rows
from tests.models.samples import CLEAN, MINIMAL, NOW, POLICY, a_deal, compiled

DEALS = [
    a_deal(),
    CLEAN,
    a_deal(cash_down="2.00", applicant__monthly_debt=None),
    MINIMAL,
    CLEAN,
    a_deal(deal_id="D-ALSO", trade_ins=[]),
    a_deal(cash_down="3.00"),
]


def entries() -> list[Entry]:
    deals = [Deal.read(document) for document in DEALS]
    return [Entry(deal, compiled().evaluate(deal), f"decision {number}") for number, deal in enumerate(deals)]


def one_by_one(connection: Connection) -> list[str]:
    return [
        record_submission(connection, deal, evaluation, decision_id=decision_id, now=NOW, actor="los").text
        for deal, evaluation, decision_id in entries()
    ]


def at_once(connection: Connection) -> list[str]:
    return [recorded.text for recorded in record_submissions(connection, entries(), now=NOW, actor="los")]


def stored(url: str, record: Callable[[Connection], list[str]]) -> tuple[list[str], dict[str, list[Any]]]:
    """What a way of recording answers, and every row it leaves, with salts and ids that come alike each time."""
    engine = open_database(url)
    with engine.begin() as connection, pytest.MonkeyPatch.context() as patch:
        patch.setattr(secrets, "token_bytes", Random(7).randbytes)
        patch.setattr(recording, "uuid4", lambda: "the publication")
        record_policy(connection, compiled().policy, POLICY, NOW)
        texts = record(connection)
    with engine.connect() as connection:
        tables = Base.metadata.tables.items()
        rows = {name: sorted(map(repr, connection.execute(table.select()))) for name, table in tables}
    engine.dispose()
    return texts, rows


def test_a_batch_leaves_the_same_rows_and_gives_the_same_answers_as_its_submissions_one_by_one(
    databases: Databases,
) -> None:
    texts, rows = stored(databases.ready(), at_once)
    assert (texts, rows) == stored(databases.ready(), one_by_one)
    answered = [json.loads(text) for text in texts]
    assert [(decision["deal_id"], decision["submission"]) for decision in answered] == [
        ("D-2026-001847", 1),
        ("D-CLEAN", 1),
        ("D-2026-001847", 2),
        ("D-MINIMAL", 1),
        ("D-CLEAN", 2),
        ("D-ALSO", 1),
        ("D-2026-001847", 3),
    ]
    assert {table for table, found in rows.items() if found} == set(SUBMITTED)


def test_a_batch_is_rolled_back_as_a_whole(database: Engine) -> None:
    taken = "decision 0"
    entries_with_a_taken_id = [*entries()[:2], entries()[2]._replace(decision_id=taken)]
    with database.connect() as connection:
        record_policy(connection, compiled().policy, POLICY, NOW)
        with pytest.raises(IntegrityError, match="ledger_entry"):
            record_submissions(connection, entries_with_a_taken_id, now=NOW)
    assert count_rows(database) == NOTHING
