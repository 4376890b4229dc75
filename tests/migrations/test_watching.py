"""Watching a host's tables: what is noted about whose row, what is refused when it is set up, and what no longer stands."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, make_url, text
from sqlalchemy.exc import DBAPIError

from dealgate.adapters.database import open_database, upgrade_database
from dealgate.migrations import watching
from dealgate.migrations.guards import PLAIN
from dealgate.migrations.running import downgrade
from dealgate.migrations.watching import Child, unwatch, watch, watched_columns
from dealgate.models.unanswered import unanswered
from tests.adapters.commands import invoke
from tests.databases import PostgreSQL

TABLES = (
    'CREATE TABLE loan (id INTEGER PRIMARY KEY, amount INTEGER, note TEXT, "Order" TEXT, car INTEGER)',
    "CREATE TABLE car (id INTEGER PRIMARY KEY, miles INTEGER)",
    "CREATE TABLE extra (id INTEGER PRIMARY KEY, car INTEGER, price INTEGER)",
    "CREATE TABLE trade (id INTEGER PRIMARY KEY, loan INTEGER, payoff INTEGER)",
    "INSERT INTO car (id, miles) VALUES (7, 10), (8, 20)",
    "INSERT INTO loan (id, amount, car) VALUES (1, 100, 7), (2, 200, 7), (3, 300, 8)",
    "INSERT INTO extra (id, car, price) VALUES (5, 8, 1)",
    "INSERT INTO trade (id, loan, payoff) VALUES (1, 1, 1), (2, NULL, 1)",
)
CHILDREN = (
    Child("car", "miles", referred_by="car"),
    Child("extra", ["price"], owner="car", of="car"),
    Child("trade", "payoff", owner="loan"),
)


@pytest.fixture
def host(database: Engine) -> Iterator[Engine]:
    with database.begin() as connection:
        for statement in TABLES:
            connection.exec_driver_sql(statement)
        watch(connection, "loan", columns=["amount", "Order"], children=CHILDREN)
    yield database
    with database.begin() as connection:
        unwatch(connection, "loan")
        for table in ("loan", "car", "extra", "trade"):
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")


def noted(host: Engine, statement: str) -> list[tuple[Any, ...]]:
    """Whose row was noted for a statement, and where; taken back."""
    with host.connect() as connection:
        connection.exec_driver_sql(statement)
        return sorted((*change.key, change.changed_table, change.operation) for change in unanswered(connection))


NOTES: dict[str, list[tuple[Any, ...]]] = {
    "UPDATE loan SET amount = 101 WHERE id = 1": [(1, "loan", "UPDATE")],
    "UPDATE loan SET \"Order\" = 'x' WHERE id = 1": [(1, "loan", "UPDATE")],
    "UPDATE loan SET amount = NULL WHERE id = 1": [(1, "loan", "UPDATE")],
    "UPDATE loan SET note = 'x', amount = amount": [],
    "UPDATE loan SET car = 8 WHERE id = 1": [(1, "loan", "UPDATE")],
    "UPDATE loan SET id = 9 WHERE id = 3": [(3, "loan", "UPDATE"), (9, "loan", "UPDATE")],
    "DELETE FROM loan WHERE id = 1": [(1, "loan", "DELETE")],
    "INSERT INTO loan (id) VALUES (4)": [(4, "loan", "INSERT")],
    "UPDATE car SET miles = 11 WHERE id = 7": [(1, "car", "UPDATE"), (2, "car", "UPDATE")],
    "UPDATE car SET miles = 10 WHERE id = 7": [],
    "INSERT INTO car (id) VALUES (9)": [],
    "UPDATE extra SET price = 2": [(3, "extra", "UPDATE")],
    "UPDATE extra SET car = 7": [(1, "extra", "UPDATE"), (2, "extra", "UPDATE"), (3, "extra", "UPDATE")],
    "DELETE FROM extra": [(3, "extra", "DELETE")],
    "UPDATE trade SET payoff = 2": [(1, "trade", "UPDATE")],
    "UPDATE trade SET loan = 2 WHERE id = 1": [(1, "trade", "UPDATE"), (2, "trade", "UPDATE")],
    "UPDATE trade SET loan = 3 WHERE id = 2": [(3, "trade", "UPDATE")],
}


def test_each_change_is_noted_for_the_rows_whose_deal_it_changes(host: Engine) -> None:
    for statement, expected in NOTES.items():
        assert noted(host, statement) == expected, statement


def test_truncating_a_table_is_noted_for_each_row_that_it_was_part_of(host: Engine) -> None:
    if host.dialect.name == "sqlite":
        return  # SQLite has no TRUNCATE
    assert noted(host, "TRUNCATE extra") == [(3, "extra", "TRUNCATE")]
    assert noted(host, "TRUNCATE trade") == [(1, "trade", "TRUNCATE")]
    assert noted(host, "TRUNCATE loan") == [(number, "loan", "TRUNCATE") for number in (1, 2, 3)]


def test_replacing_a_row_on_sqlite_is_seen_for_the_row_it_replaces_where_triggers_recur(host: Engine) -> None:
    if host.dialect.name != "sqlite":
        return  # PostgreSQL has no REPLACE
    replace = "INSERT OR REPLACE INTO trade (id, loan, payoff) VALUES (1, 2, 1)"
    assert noted(host, replace) == [(1, "trade", "DELETE"), (2, "trade", "INSERT")]


def test_a_text_that_a_collation_of_sqlite_takes_for_the_same_is_another(host: Engine) -> None:
    """To a policy a tier b is none of its tiers, and B is."""
    if host.dialect.name != "sqlite":
        pytest.skip("SQLite's collations")
    with host.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE loan ADD COLUMN tier TEXT COLLATE NOCASE DEFAULT 'b'")
        connection.exec_driver_sql("ALTER TABLE loan ADD COLUMN state TEXT COLLATE RTRIM DEFAULT 'TX'")
        watch(connection, "loan", columns=["tier", "state"])
    assert noted(host, "UPDATE loan SET tier = 'B' WHERE id = 1") == [(1, "loan", "UPDATE")]
    assert noted(host, "UPDATE loan SET state = 'TX ' WHERE id = 1") == [(1, "loan", "UPDATE")]
    assert noted(host, "UPDATE loan SET tier = 'b', state = 'TX'") == []


def test_a_table_is_watched_anew_as_said_now_and_no_more_once_it_is_not(host: Engine) -> None:
    with host.begin() as connection:
        watch(connection, "loan", columns=["note"])
        assert watched_columns(connection, "loan") == {"loan": {"id", "note"}}
    assert noted(host, "UPDATE trade SET payoff = 2") == []
    assert noted(host, "UPDATE loan SET note = 'x' WHERE id = 1") == [(1, "loan", "UPDATE")]
    with host.begin() as connection:
        unwatch(connection, "loan")
        assert watched_columns(connection, "loan") == {}
        assert watching.problems(connection) == []
    assert noted(host, "UPDATE loan SET note = 'x'") == []


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"table": "lone"}, "there is no table 'lone'"),
    ({"columns": "amuont"}, "the table 'loan' has no column 'amuont'; it has Order, amount, car, id, note"),
    ({"key": "number"}, "the table 'loan' has no column 'number'"),
    ({"children": [Child("trade", "payoff", owner="lone")]}, "the table 'trade' has no column 'lone'"),
    ({"children": [Child("trade", "payoff")]}, "child 'trade': give either owner or referred_by"),
    ({"children": [Child("car", "miles", owner="id", referred_by="car")]}, "give either owner or referred_by"),
    ({"children": [Child("extra", "price", owner="car", of="car")]}, "of='car' leads to no watched table"),
    ({"children": [Child("trade", "payoff", owner=["loan", "id"])]}, "differ in length"),
    ({"children": [Child("trade", "loan", owner="loan")] * 2}, "a table is named twice"),
    ({"mode": "ignore"}, "give 'record' or 'refuse'"),
]


def test_what_is_not_there_or_does_not_fit_is_refused_and_changes_nothing(host: Engine) -> None:
    with host.begin() as connection:
        for wrong, words in WRONG:
            with pytest.raises(ValueError) as refusal:
                watch(connection, **{"table": "loan", "columns": "amount"} | wrong)
            assert words in str(refusal.value)
    assert noted(host, "UPDATE extra SET price = 2") == [(3, "extra", "UPDATE")]


def test_names_of_any_length_are_watched(host: Engine) -> None:
    table = "loan_" + "x" * 50
    with host.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, amount INTEGER)")
        watch(connection, table, columns="amount")
        connection.exec_driver_sql(f"INSERT INTO {table} VALUES (1, 2)")
        assert [change.table for change in unanswered(connection)] == [table]
        assert watching.problems(connection) == []
        connection.exec_driver_sql(f"DROP TABLE {table}")
        unwatch(connection, table)
        assert watching.problems(connection) == []
        connection.exec_driver_sql("DELETE FROM dealgate_unanswered_change")


def test_tables_whose_triggers_would_have_one_name_are_not_both_watched(host: Engine) -> None:
    """The later watch would take the place of the triggers of the earlier, and take them along when it is ended."""
    with host.begin() as connection:
        for name in ("loan_extra", "extra_trade"):
            connection.exec_driver_sql(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, loan INTEGER, price INTEGER)")
        watch(connection, "loan_extra", columns="price", children=[Child("trade", "payoff", owner="loan")])
        same = "the triggers on 'extra_trade' under 'loan' would be named as those on 'trade' under 'loan_extra': rename one"
        with pytest.raises(ValueError, match=same):
            watch(connection, "loan", columns="amount", children=[Child("extra_trade", "price", owner="loan")])
        watch(connection, "loan_extra", columns="price")  # anew, nothing is in its own way
        assert watching.problems(connection) == []
    assert noted(host, "UPDATE extra SET price = 2") == [(3, "extra", "UPDATE")]
    with host.begin() as connection:
        unwatch(connection, "loan_extra")
        for name in ("loan_extra", "extra_trade"):
            connection.exec_driver_sql(f"DROP TABLE {name}")


def problems_after(connection: Connection, statement: str) -> list[str]:
    with connection.begin_nested() as savepoint:
        connection.exec_driver_sql(statement, execution_options=PLAIN)
        found = watching.problems(connection)
        savepoint.rollback()
    return found


ON_SQLITE = {
    "DROP TRIGGER watched_by_dealgate_loan_trade_update": "watched_by_dealgate_loan_trade_update on trade is missing",
    "DROP TABLE trade": "watched_by_dealgate_loan_trade_delete on trade is missing",
    "ALTER TABLE trade RENAME COLUMN payoff TO paid": "watched_by_dealgate_loan_trade_update on trade is not as it was created",
}
ON_POSTGRESQL = {
    "DROP TRIGGER watched_by_dealgate_loan_trade_rows ON trade": "watched_by_dealgate_loan_trade_rows on trade is missing",
    "DROP TABLE trade": "watched_by_dealgate_loan_trade_truncate on trade is missing",
    "ALTER TABLE trade DISABLE TRIGGER watched_by_dealgate_loan_trade_rows": "trade is not enabled always",
    "CREATE OR REPLACE FUNCTION watched_by_dealgate_loan_trade_changed() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'": (
        "the function watched_by_dealgate_loan_trade_changed() of the trigger watched_by_dealgate_loan_trade_rows on trade is not as"
    ),
    "ALTER FUNCTION watched_by_dealgate_loan_trade_changed() RESET extra_float_digits": "loan_trade_changed() of the trigger",
    "DROP TRIGGER watched_by_dealgate_loan_trade_rows ON trade; CREATE TRIGGER watched_by_dealgate_loan_trade_rows AFTER INSERT ON trade "
    "FOR EACH ROW EXECUTE FUNCTION watched_by_dealgate_loan_trade_changed()": "trade is not as it was created",
}


def test_what_no_longer_stands_is_named(host: Engine, database_url: str) -> None:
    wrecks = ON_SQLITE if host.dialect.name == "sqlite" else ON_POSTGRESQL
    with host.connect() as connection:
        assert watching.problems(connection) == []
        for statement, problem in wrecks.items():
            assert problem in "\n".join(problems_after(connection, statement)), statement
    with host.begin() as connection:
        connection.exec_driver_sql(next(iter(wrecks)))
    for command in (("db", "check"), ("guard", "check")):
        done = invoke(*command, "--db", database_url)
        assert done.exit_code == 1
        assert "on trade is missing: watch the table again" in done.stdout


def test_going_back_takes_the_triggers_away_so_that_the_host_can_still_write(empty_database: Engine) -> None:
    upgrade_database(empty_database)
    with empty_database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE loan (id INTEGER PRIMARY KEY, amount INTEGER)")
        watch(connection, "loan", columns="amount")
        downgrade(connection, "0003")
        connection.exec_driver_sql("INSERT INTO loan VALUES (1, 2)")


# PostgreSQL


def test_on_postgresql_a_float_is_compared_with_all_its_digits_whatever_the_session_shows(database: Engine) -> None:
    if database.dialect.name == "sqlite":
        pytest.skip("SQLite compares the numbers themselves")
    with database.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE offer (id int PRIMARY KEY, price double precision)")
        connection.exec_driver_sql("INSERT INTO offer VALUES (1, 30000)")
        watch(connection, "offer", columns="price")
        connection.exec_driver_sql("SET LOCAL extra_float_digits = -15")
        connection.exec_driver_sql("UPDATE offer SET price = 34000")
        assert [change.operation for change in unanswered(connection)] == ["UPDATE"]


def test_on_postgresql_who_has_no_right_on_dealgates_tables_is_noted_too_and_a_host_owns_its_tables(
    postgresql: PostgreSQL,
) -> None:
    superuser = open_database(postgresql.apart())
    upgrade_database(superuser)
    users = {"watching_migrator": "IN ROLE dealgate_app", "watching_clerk": ""}
    with superuser.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA lending")
        for user, role in users.items():
            connection.exec_driver_sql(f"CREATE ROLE {user} LOGIN {role}")
            connection.exec_driver_sql(f"GRANT USAGE, CREATE ON SCHEMA public, lending TO {user}")
    url = make_url(superuser.url.render_as_string(hide_password=False))
    migrator, clerk = (open_database(url.set(username=user).render_as_string()) for user in users)
    with migrator.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE lending.loan (id uuid PRIMARY KEY, amount int, facts json)")
        watch(connection, "lending.loan", columns=["amount", "facts"])
        connection.exec_driver_sql("ALTER TABLE lending.loan ADD COLUMN term int")
        connection.exec_driver_sql("GRANT ALL ON lending.loan TO watching_clerk")
    with clerk.begin() as connection:
        for statement in (
            "SET search_path = pg_temp, lending",
            "INSERT INTO loan (id, facts) VALUES (gen_random_uuid(), '{}')",
            "UPDATE loan SET facts = '[]'",
            "UPDATE loan SET term = 1",
        ):
            connection.exec_driver_sql(statement)
    with clerk.connect() as connection, pytest.raises(DBAPIError, match="permission denied"):
        connection.exec_driver_sql("DELETE FROM public.dealgate_unanswered_change")
    with superuser.connect() as connection:
        assert [(one.operation, (one.changed_by or "").split()[0]) for one in unanswered(connection)] == [
            ("INSERT", "watching_clerk"),
            ("UPDATE", "watching_clerk"),
        ]
        assert watching.problems(connection) == []
    with migrator.begin() as connection:
        unwatch(connection, "lending.loan")
        connection.exec_driver_sql("DROP TABLE lending.loan")
    with superuser.begin() as connection:
        for user in users:
            connection.execute(text(f"DROP OWNED BY {user}"))
            connection.execute(text(f"DROP ROLE {user}"))
    for engine in (superuser, migrator, clerk):
        engine.dispose()
