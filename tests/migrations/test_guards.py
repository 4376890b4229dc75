"""The database itself refuses to change what was recorded, and says which of its guards is not as it should be."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, UniqueConstraint, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from dealgate.migrations import guards
from dealgate.migrations.guarded_tables import GUARDS, Guard
from dealgate.migrations.roles import WORKED
from dealgate.models import Base, find_decision, find_submission
from dealgate.models.envelope import Draft
from dealgate.models.ledger import append
from tests.databases import Databases
from tests.migrations.filling import (
    LEAVE,
    REFUSED,
    assert_refused,
    columns_of,
    each_guard,
    everything,
    expected,
    filled_database,
    problems_after,
    seal,
)
from tests.models.erasing import ALL, erase, give_leave, number_of
from tests.models.samples import NOW, a_deal, submit


@pytest.fixture(scope="module")
def filled(databases: Databases) -> Iterator[Engine]:
    with filled_database(databases) as engine:
        yield engine


def test_every_table_is_guarded_but_the_heads_of_deals_and_what_is_worked_off() -> None:
    assert {guard.table for guard in GUARDS} == set(Base.metadata.tables) - {"dealgate_deal", *WORKED}


@each_guard
def test_every_unique_key_is_guarded(guard: Guard) -> None:
    table = Base.metadata.tables[guard.table]
    unique = [tuple(one.columns.keys()) for one in table.constraints if isinstance(one, UniqueConstraint)]
    primary = tuple(table.primary_key.columns.keys())
    # A body has the month in its key on PostgreSQL's account; there is one to an entry.
    assert set(guard.keys) == {*unique, ("entry",) if guard.table == guards.PARTITIONED else primary}


@each_guard
def test_no_row_is_updated_or_deleted(filled: Engine, guard: Guard) -> None:
    before = everything(filled)
    for column in columns_of(guard.table):
        assert_refused(filled, f"UPDATE {guard.table} SET {column} = {column}")
    assert_refused(filled, f"DELETE FROM {guard.table}")
    assert everything(filled) == before


@each_guard
def test_no_row_is_exchanged_by_an_insert_that_meets_it(filled: Engine, guard: Guard) -> None:
    before = everything(filled)
    columns, key = columns_of(guard.table), ", ".join(Base.metadata.tables[guard.table].primary_key.columns.keys())
    names = ", ".join(columns)
    upsert = (
        f"INSERT INTO {guard.table} ({names}) SELECT {names} FROM {guard.table} WHERE true "
        f"ON CONFLICT ({key}) DO UPDATE SET {columns[-1]} = excluded.{columns[-1]}"
    )
    assert_refused(filled, upsert)
    assert everything(filled) == before


def test_the_head_of_a_deal_is_updated_but_never_deleted(filled: Engine) -> None:
    with filled.connect() as connection:
        assert connection.execute(text("UPDATE dealgate_deal SET outcome = outcome")).rowcount == 2
    assert_refused(filled, "DELETE FROM dealgate_deal")


# Erasure: the one way to delete


def delete(connection: Connection, table: str, where: str, **values: Any) -> int:
    return connection.execute(text(f"DELETE FROM {table} WHERE {where}"), values).rowcount


def test_an_erased_value_is_deleted_once_a_redaction_gives_leave_and_no_other_is(database: Engine) -> None:
    with database.begin() as connection:
        first, second = submit(connection, a_deal()), submit(connection, a_deal())
        give_leave(connection, first.decision_id, LEAVE)
        erased, kept = (number_of(connection, one.decision_id) for one in (first, second))
    where = "entry = :entry AND path = :path"
    for entry, path in ((kept, LEAVE), (erased, "/deal/vehicle/vin")):
        with database.connect() as connection, pytest.raises(DBAPIError, match=REFUSED):
            delete(connection, "dealgate_ledger_private", where, entry=entry, path=path)
    with database.connect() as connection, pytest.raises(DBAPIError, match=REFUSED):
        delete(connection, "dealgate_ledger_body", "entry = :entry", entry=erased)
    with database.begin() as connection:
        assert delete(connection, "dealgate_ledger_private", where, entry=erased, path=LEAVE) == 1
        left = find_submission(connection, first.decision_id)
    assert left is not None
    assert "monthly_income" not in left["applicant"]


def test_a_purged_entry_loses_everything_but_its_hash(database: Engine) -> None:
    with database.begin() as connection:
        purged, kept = submit(connection, a_deal()), submit(connection, a_deal())
        give_leave(connection, purged.decision_id, ALL, kind="retention_purge")
        number = number_of(connection, purged.decision_id)
        decision = connection.execute(
            text("SELECT id, submission_id FROM dealgate_decision WHERE decision_id = :id"), {"id": purged.decision_id}
        ).one()
    order = [
        ("dealgate_ledger_private", "entry", number),
        ("dealgate_ledger_body", "entry", number),
        ("dealgate_finding", "decision", decision.id),
        ("dealgate_decision", "id", decision.id),
        ("dealgate_trade_in", "submission_id", decision.submission_id),
        ("dealgate_product", "submission_id", decision.submission_id),
        ("dealgate_book_value", "submission_id", decision.submission_id),
        ("dealgate_submission", "id", decision.submission_id),
    ]
    for table, column, value in order[4:]:
        with database.connect() as connection, pytest.raises(DBAPIError, match=REFUSED):
            delete(connection, table, f"{column} = :value", value=value)
    with database.begin() as connection:
        for table, column, value in order:
            assert delete(connection, table, f"{column} = :value", value=value) > 0, table
        assert find_decision(connection, purged.decision_id) is None
        assert find_decision(connection, kept.decision_id) == kept.decision
    with database.connect() as connection, pytest.raises(DBAPIError, match=REFUSED):
        delete(connection, "dealgate_ledger_entry", "id = :id", id=number)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        *((kind, LEAVE) for kind in ("decision", "notice", "restore", "REDACTION", "retention_purge")),
        *((kind, ALL) for kind in ("decision", "policy_publication", "redaction")),
    ],
)
def test_an_entry_of_another_kind_gives_no_leave(database: Engine, kind: str, path: str) -> None:
    with database.connect() as connection:
        recorded = submit(connection, a_deal())
        with pytest.raises(DBAPIError, match=REFUSED):
            give_leave(connection, recorded.decision_id, path, kind=kind)


def test_leave_in_the_name_of_an_entry_that_is_not_there_is_none(database: Engine) -> None:
    with database.begin() as connection:
        number = number_of(connection, submit(connection, a_deal()).decision_id)
    assert_refused(database, f"INSERT INTO dealgate_ledger_erasure (erased, path, entry) VALUES ({number}, '', 999999)")


def test_an_entry_that_is_sealed_gives_leave_to_nothing_more(database: Engine) -> None:
    with database.begin() as connection:
        first, second = submit(connection, a_deal()), submit(connection, a_deal())
        give_leave(connection, first.decision_id, ALL, kind="retention_purge")
        number = number_of(connection, second.decision_id)
        purge = connection.execute(text("SELECT max(entry) FROM dealgate_ledger_erasure")).scalar_one()
        seal(connection, purge)
    again = f"INSERT INTO dealgate_ledger_erasure (erased, path, entry) VALUES ({number}, '', {purge})"
    assert_refused(database, again, words="neither once it is sealed")


ROWS_OF_OTHER_ENTRIES = {
    "dealgate_notice": "(entry, deal_id, kind, sent_at) VALUES ({entry}, {deal}, 'approval', {now})",
    "dealgate_legal_hold": "(entry, deal_id, deal_seq, placed) VALUES ({entry}, {deal}, 1, {true})",
    "dealgate_policy_step": "(entry, sha256, step, actor, recorded_at) SELECT {entry}, sha256, 'add', 'ann', {now} "
    "FROM dealgate_policy_version",
    "dealgate_override_step": "(entry, override_id, deal_id, decision_id, step, actor, recorded_at, side, reason, persons) "
    "SELECT {entry}, 'O', deal_id, decision_id, 'request', 'ann', {now}, 'low', 'R', 1 FROM dealgate_deal WHERE deal_id = {deal}",
}


@pytest.mark.parametrize("table", ROWS_OF_OTHER_ENTRIES)
def test_a_row_is_of_an_entry_of_its_own_kind_and_deal(database: Engine, table: str) -> None:
    """The right kind, about another deal; and the right deal, of another kind."""
    kind = {"dealgate_override_step": "override_request"}.get(table, table.removeprefix("dealgate_"))
    with database.begin() as connection:
        mine, other = (submit(connection, a_deal(deal_id=deal)).receipt.entry for deal in ("D-MINE", "D-OTHER"))
        entries = {
            deal: append(connection, Draft(str(uuid4()), kind, {}, deal_id=deal), NOW).entry
            for deal in ("D-MINE", "D-OTHER")
        }
        words = {"now": f"'{NOW:%Y-%m-%d %H:%M:%S}.000000'", "deal": "'D-MINE'"}
        words["true"] = "true" if connection.dialect.name == "postgresql" else "1"
    statement = f"INSERT INTO {table} {ROWS_OF_OTHER_ENTRIES[table]}"
    about_none = table == "dealgate_policy_step"
    for entry in (mine, other) if about_none else (mine, entries["D-OTHER"]):
        assert_refused(database, statement.format(entry=entry, **words), words="of an entry")
    if about_none:
        return
    with database.connect() as connection:
        connection.exec_driver_sql(statement.format(entry=entries["D-MINE"], **words))


def test_a_step_of_an_override_is_of_no_entry_that_was_purged(database: Engine) -> None:
    with database.begin() as connection:
        submit(connection, a_deal(deal_id="D-MINE"))
        entry = append(connection, Draft(str(uuid4()), "override_request", {}, deal_id="D-MINE"), NOW)
        give_leave(connection, entry.entry_id, ALL, kind="retention_purge")
    words = {"entry": entry.entry, "deal": "'D-MINE'", "now": f"'{NOW:%Y-%m-%d %H:%M:%S}.000000'"}
    statement = f"INSERT INTO dealgate_override_step {ROWS_OF_OTHER_ENTRIES['dealgate_override_step']}"
    assert_refused(database, statement.format(**words), words="of an entry")


def test_a_decision_is_of_an_entry_that_is_one_and_was_not_purged(database: Engine) -> None:
    columns = ", ".join(set(columns_of("dealgate_decision")) - {"id", "decision_id", "submission_id", "submission"})
    parts = ", ".join(set(columns_of("dealgate_submission")) - {"id", "submission", "idempotency_key"})
    with database.begin() as connection:
        mine, other = (submit(connection, a_deal(deal_id=deal)) for deal in ("D-MINE", "D-OTHER"))
        notice = append(connection, Draft(str(uuid4()), "notice", {}, deal_id="D-MINE"), NOW).entry_id
        connection.exec_driver_sql(
            f"INSERT INTO dealgate_submission (submission, {parts}) SELECT 2, {parts} FROM dealgate_submission WHERE deal_id = 'D-MINE'"
        )
    insert_as = (
        f"INSERT INTO dealgate_decision (decision_id, submission_id, submission, {columns}) SELECT '{{}}', "
        f"(SELECT max(id) FROM dealgate_submission), 2, {columns} FROM dealgate_decision WHERE deal_id = 'D-MINE'"
    )
    with database.begin() as connection:
        give_leave(connection, mine.decision_id, ALL, kind="retention_purge")
    for decision_id in (notice, other.decision_id, mine.decision_id, "none"):
        assert_refused(database, insert_as.format(decision_id), words="an entry of the ledger about the same deal")


def test_leave_once_given_is_not_given_again_or_taken_back(filled: Engine) -> None:
    with pytest.raises(IntegrityError), filled.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO dealgate_ledger_erasure (erased, path, entry) SELECT erased, path, entry FROM dealgate_ledger_erasure"
            )
        )
    assert_refused(filled, "DELETE FROM dealgate_ledger_erasure")


def test_an_entry_leaves_the_queue_only_once_it_is_a_leaf(filled: Engine) -> None:
    with filled.connect() as connection:
        sealed = connection.execute(text("SELECT entry FROM dealgate_ledger_leaf")).scalar_one()
        assert delete(connection, "dealgate_ledger_pending", "entry = :entry", entry=sealed) == 1
    assert_refused(filled, "DELETE FROM dealgate_ledger_pending")


# The guards are watched


def test_a_guarded_database_has_no_problems(filled: Engine) -> None:
    with filled.connect() as connection:
        assert guards.problems(connection) == []


def test_each_trigger_that_is_missing_is_named(database: Engine) -> None:
    with database.connect() as connection:
        where = " ON {table} CASCADE" if connection.dialect.name == "postgresql" else ""
        for trigger in expected(connection):
            found = problems_after(connection, f"DROP TRIGGER {trigger.name}{where.format(table=trigger.table)}")
            assert f"the trigger {trigger.name} on {trigger.table} is missing" in found
            assert all(trigger.name in problem and "is missing" in problem for problem in found)
        assert guards.problems(connection) == []


def test_each_trigger_that_does_something_else_is_named(database: Engine) -> None:
    with database.connect() as connection:
        for trigger in expected(connection):
            drop, create = f"DROP TRIGGER {trigger.name}", trigger.statement
            if connection.dialect.name == "sqlite":
                create = f"{create.partition(' BEGIN ')[0]} BEGIN SELECT 1; END"
            else:
                drop += f" ON {trigger.table}"
                timing = trigger.statement.replace("BEFORE", "AFTER") if "TRUNCATE" in create else ""
                never = create.replace("FOR EACH STATEMENT", "FOR EACH STATEMENT WHEN (false)")
                create = timing or never.replace("FOR EACH ROW", "FOR EACH ROW WHEN (false)")
            switch = f"ALTER TABLE {trigger.table} ENABLE ALWAYS TRIGGER {trigger.name}"
            always = [switch] if connection.dialect.name == "postgresql" else []
            found = problems_after(connection, drop, create, *always)
            assert f"the trigger {trigger.name} on {trigger.table} is not as it was created" in found


def test_guards_that_are_removed_and_installed_again_are_as_before(filled: Engine) -> None:
    with filled.connect() as connection:
        revisions = sorted(
            {guard.since for guard in GUARDS} | {"0012"}
        )  # the triggers of the outbox are of a kind of their own
        for revision in reversed(revisions):
            guards.remove(connection, revision)
        assert len(guards.problems(connection)) >= len(expected(connection))
        for revision in revisions:
            guards.install(connection, revision)
        assert guards.problems(connection) == []


def test_erasing_leaves_the_guards_as_they_were(database: Engine) -> None:
    with database.begin() as connection:
        erase(connection, submit(connection, a_deal()).decision_id, ALL)
        assert guards.problems(connection) == []
