"""`dealgate db check`: whether the database would refuse what it should, and what keeps it from that."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from dealgate.migrations.guards import PLAIN
from dealgate.models import LedgerEntry
from tests.adapters.commands import invoke

ENTRY = LedgerEntry.__tablename__


def test_a_database_as_the_migrations_made_it_is_sound(database_url: str) -> None:
    done = invoke("db", "check", "--db", database_url)
    assert (done.exit_code, done.stdout) == (0, "Every guard stands.\n")
    superuser = database_url.startswith("postgresql")  # as everybody is on the tests' server
    assert done.stderr.startswith("note: this user is a superuser") is superuser


def test_each_guard_that_does_not_stand_is_named_and_the_exit_code_tells(database: Engine, database_url: str) -> None:
    on_table = f" ON {ENTRY}" if database.dialect.name == "postgresql" else ""
    with database.begin() as connection:
        for name in ("refuses_update", "waits_for_the_seal"):
            connection.exec_driver_sql(f"DROP TRIGGER {ENTRY}_{name}{on_table}", execution_options=PLAIN)
    done = invoke("db", "check", "--db", database_url)
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        f"the trigger {ENTRY}_refuses_update on {ENTRY} is missing",
        f"the trigger {ENTRY}_waits_for_the_seal on {ENTRY} is missing",
    ]


@pytest.mark.parametrize("name", ["none.db", "folder/none.db"])
def test_a_database_that_is_not_there_is_a_failure(tmp_path: Path, name: str) -> None:
    done = invoke("db", "check", "--db", f"sqlite:///{tmp_path / name}")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "there is no database at" in done.stderr
