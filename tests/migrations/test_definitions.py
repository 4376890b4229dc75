"""The tables and indexes of a SQLite file are those that the migrations made, or `db check` and `ledger verify` tell which are not."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from dealgate.adapters.database import open_database
from dealgate.adapters.ledger_verification import check_database, verify_ledger
from dealgate.migrations.definitions import differences
from dealgate.migrations.running import downgrade, upgrade
from tests.databases import SqliteFiles

CHANGES = {
    "a value may be missing": (
        "replace(sql, 'envelope BLOB NOT NULL', 'envelope BLOB')",
        "dealgate_ledger_body",
        "the table dealgate_ledger_body",
    ),
    "an index has one more column": (
        "replace(sql, '(outcome)', '(outcome, id)')",
        "ix_dealgate_decision_outcome",
        "the index ix_dealgate_decision_outcome",
    ),
    "an index leaves rows out": (
        "replace(sql, '''key_rotation''', '''key_rotatioN''')",
        "ix_dealgate_ledger_entry_key_rotation",
        "the index ix_dealgate_ledger_entry_key_rotation",
    ),
    "a column is another": (
        "replace(sql, 'outcome VARCHAR', 'outcomf VARCHAR')",
        "dealgate_shadow_decision",
        "the table dealgate_shadow_decision",
    ),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return Path(SqliteFiles(tmp_path).ready().removeprefix("sqlite:///"))


def rewritten(file: Path, text: str, name: str) -> None:
    """As somebody who owns the file, or a bit that tipped over, would leave it."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        (before,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", [name]).fetchone()
        connection.execute(f"UPDATE sqlite_master SET sql = {text} WHERE name = ?", [name])
        (after,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", [name]).fetchone()
        assert before != after


def told(file: Path) -> tuple[list[str], list[str]]:
    """What `db check` and what `ledger verify` say."""
    database = open_database(f"sqlite:///{file}")
    with database.connect() as connection:
        found = check_database(connection), [str(flaw) for flaw in verify_ledger(connection).flaws]
    database.dispose()
    return found


def test_what_the_migrations_made_is_not_told(file: Path) -> None:
    assert told(file) == ([], [])


@pytest.mark.parametrize(("text", "name", "where"), CHANGES.values(), ids=CHANGES)
def test_a_definition_that_was_rewritten_is_told(file: Path, text: str, name: str, where: str) -> None:
    rewritten(file, text, name)
    problems, flaws = told(file)
    assert [one for one in problems if one.startswith(f"{where} is not as the migrations made it: expected ")]
    assert [one for one in flaws if one.startswith(f"definition: {where}: expected ")]


def test_it_is_shown_where_two_definitions_part(file: Path) -> None:
    rewritten(file, *CHANGES["a column is another"][:2])
    assert [one for one in told(file)[0] if "dealgate_shadow_decision" in one] == [
        "the table dealgate_shadow_decision is not as the migrations made it: "
        "expected outcome VARCHAR(20), live_outcome VARCHAR(20) NOT NULL, "
        "got outcomf VARCHAR(20), live_outcomf VARCHAR(20) NOT NULL"
    ]


def test_an_index_that_was_dropped_is_told(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP INDEX ix_dealgate_notice_deal_id")
    problems, flaws = told(file)
    expected = "on dealgate_notice, CREATE INDEX ix_dealgate_notice_deal_id ON dealgate_notice, deal_id"
    name = "ix_dealgate_notice_deal_id"
    assert problems == [f"the index {name} is not as the migrations made it: expected {expected}, got nothing"]
    assert flaws == [f"definition: the index {name}: expected {expected}, got nothing"]


def test_what_a_host_adds_of_its_own_is_not_told(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE deals (id INTEGER PRIMARY KEY, price)")
        connection.execute("CREATE INDEX of_the_host ON dealgate_decision (policy_sha256, decided_at)")
        connection.execute(
            "ALTER TABLE dealgate_decision ADD COLUMN seen_by VARCHAR(20) DEFAULT 'a, (b' REFERENCES deals"
        )
    assert told(file) == ([], [])


def test_it_does_not_matter_by_what_way_a_database_came_to_its_revision(file: Path) -> None:
    database = create_engine(f"sqlite:///{file}")
    for revision in ("0012", "0009", "0003", "0002", "base"):
        with database.begin() as connection:
            downgrade(connection, revision)
            upgrade(connection)
            assert differences(connection) == [], revision
    database.dispose()
