"""The database that commands are given, what is wrong with it, and `dealgate db check`: whether it would refuse what it should."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine

from dealgate.migrations.guards import PLAIN
from dealgate.migrations.revisions import HEAD, VERSION_TABLE
from dealgate.models import LedgerEntry
from tests.adapters.commands import SAMPLES, invoke
from tests.databases import SqliteFiles

ENTRY = LedgerEntry.__tablename__


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return SqliteFiles(tmp_path).ready()


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


COMMANDS = (
    ("submit", SAMPLES),
    ("db", "upgrade"),
    ("db", "check"),
    ("ledger", "status"),
    ("decision", "list"),
    ("audit", "search"),
    ("ledger", "hold", "D-1", "--reason", "asked", "--actor", "counsel"),
)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "a database in memory keeps nothing: name a file"),
        ("sqlite:///", "a database in memory keeps nothing: name a file"),
        ("sqlite:///:memory:", "a database in memory keeps nothing: name a file"),
        ("deals", "not the URL of a database: write it as sqlite:///dealgate.db or postgresql+psycopg://"),
        ("", "not the URL of a database"),
        ("postgres://u:secret@h/x", "not the URL of a database"),
        ("postgresql+psycopg://u:a@b:secret@h/x", "not the URL of a database"),
        ("mysql://u:secret@h/x", "mysql is no driver for this: write the URL as sqlite:///dealgate.db or postgresql"),
        ("postgresql+asyncpg://u:secret@h/x", "postgresql+asyncpg is no driver for this"),
        ("sqlite+aiosqlite:///x.db", "sqlite+aiosqlite is no driver for this"),
    ],
)
def test_a_url_of_no_database_that_keeps_anything_is_refused_and_not_told(url: str, words: str) -> None:
    """What is stored in memory was told as stored, and gone."""
    for command in COMMANDS:
        done = invoke(*command, "--db", url)
        assert (done.exit_code, done.stdout) == (2, ""), command
        assert done.stderr.startswith(words)
        assert done.stderr.count("\n") == 1
        assert "secret" not in done.stderr


def test_another_programs_file_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE bookmark (name TEXT)")
    before = file.read_bytes()
    for command in COMMANDS:
        if command != ("db", "upgrade"):
            done = invoke(*command, "--db", f"sqlite:///{file}")
            assert (done.exit_code, "has no dealgate tables" in done.stderr) == (3, True), command
            assert (file.read_bytes(), list(tmp_path.iterdir())) == (before, [file])


def test_a_database_of_a_newer_dealgate_is_not_to_be_upgraded(database: Engine, database_url: str) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '0999'")
    for command in COMMANDS:
        done = invoke(*command, "--db", database_url)
        assert (done.exit_code, done.stdout) == (3, ""), command
        assert done.stderr.endswith(
            f"Error: the database is at revision 0999, and this dealgate knows none beyond {HEAD}: use the dealgate that brought it there, "
            "or a newer one\n"
        )
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"not a database" * 1000, "file is not a database: see that --db names the right file"),
        (None, "unable to open database file: see that --db names a file"),
    ],
)
def test_what_the_driver_says_is_one_line_with_what_to_do(tmp_path: Path, data: bytes | None, words: str) -> None:
    file = tmp_path / "deals.db"
    file.mkdir() if data is None else file.write_bytes(data)
    for command in COMMANDS:
        done = invoke(*command, "--db", f"sqlite:///{file}")
        assert (done.exit_code, done.stdout) == (3, ""), command
        assert words in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_file_is_opened_by_a_uri_of_sqlite_too(sqlite_url: str) -> None:
    """So that somebody who only looks cannot write."""
    url = sqlite_url.replace("sqlite:///", "sqlite:///file:") + "?mode=ro&uri=true"
    assert invoke("ledger", "status", "--db", url).stdout.startswith("0 entries, 0 wait")
    done = invoke("submit", SAMPLES, "--db", url)
    assert (done.exit_code, done.stderr.count("\n")) == (3, 1)
    assert "attempt to write a readonly database: even to read it, the file and its folder" in done.stderr


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00"])
@pytest.mark.parametrize(
    "command",
    [
        ("ledger", "notice", "D-1", "--kind", "approval", "--actor", "a", "--sent-at"),
        ("audit", "replay", "--since"),
        ("override", "grant", "x", "--actor", "a", "--role", "r", "--until"),
        ("policy", "in-force", "--at"),
        ("key", "list", "--at"),
    ],
)
def test_a_moment_at_an_end_of_the_calendar_is_refused(sqlite_url: str, command: tuple[str, ...], text: str) -> None:
    done = invoke(*command, text, "--db", sqlite_url)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"'{text}' is no moment of this age: give a year from 1900 to 2999\n"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("ledger", "due", "--months", "1201"), "less than or equal to 1200"),
        (("ledger", "purge", "--yes", "--actor", "a", "--months", "99999999999"), "less than or equal to 1200"),
        (("audit", "search", "--limit", "99999999999999999999"), "less than or equal"),
        (("submit", SAMPLES, "--actor", "a\nb"), "actor is 'a\\nb': give a text of at most 200 characters"),
        (("policy", "add", "prime-auto", "--actor", "a\nb"), "actor is 'a\\nb': give a text of at most 200 characters"),
        (("decision", "show", "\udcff"), "'\\udcff' in what was given is not UTF-8"),
        (("override", "list", "--deal", "\udcff"), "'\\udcff' in what was given is not UTF-8"),
    ],
)
def test_an_option_that_is_out_of_bounds_is_bad_input(sqlite_url: str, command: tuple[str, ...], words: str) -> None:
    done = invoke(*command, "--db", sqlite_url)
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in " ".join(done.stderr.replace("│", "").split())
