"""Whatever fails, the gate does not pass a deal: a database in trouble is an error, an engine in trouble a referral."""

import logging
from collections.abc import Iterator
from pathlib import Path

import durable_rules_engine
import pytest
from sqlalchemy import Engine, create_engine, select, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError, OperationalError
from sqlalchemy.orm import Session

from dealgate import Gate, Outcome, Result
from dealgate.adapters.database import open_database
from dealgate.models import Decision, Finding, find_decision
from dealgate.rules.fields import Facts
from dealgate.rules.reference import Reckoning
from tests.databases import CANNOT_START, SUBMITTED, PostgreSQL, SqliteFiles, count_rows, set_aside
from tests.models.samples import CLEAN, a_deal, a_policy

EVERYTHING = a_deal(applicant__monthly_debt=None)


@pytest.fixture
def gate(database: Engine) -> Gate:
    return Gate(database, a_policy())


@pytest.mark.parametrize("table", SUBMITTED)
@pytest.mark.parametrize("key", [None, "K-1"])
def test_a_missing_table_is_an_error(gate: Gate, database: Engine, table: str, key: str | None) -> None:
    with database.begin() as connection:
        set_aside(connection, table)
    with pytest.raises(DBAPIError, match=table):
        gate.submit(EVERYTHING, idempotency_key=key)


def test_an_error_tells_no_personal_value_that_was_to_be_stored(gate: Gate, database: Engine) -> None:
    with database.begin() as connection:
        set_aside(connection, "dealgate_ledger_private")
    with pytest.raises(DBAPIError, match="dealgate_ledger_private") as failed:
        gate.submit(EVERYTHING)
    personal = a_deal()["applicant"]["monthly_income"], a_deal()["vehicle"]["vin"], "salt'"
    assert not [one for one in personal if one in str(failed.value)]


def test_a_database_that_was_never_set_up_is_an_error(empty_database: Engine) -> None:
    with pytest.raises(DBAPIError, match="dealgate_"):
        Gate(empty_database, a_policy()).submit(CLEAN)


def test_a_closed_connection_is_an_error(gate: Gate, database: Engine) -> None:
    connection = database.connect()
    connection.close()
    with pytest.raises(InvalidRequestError):
        gate.submit(CLEAN, session=connection)


def test_a_session_that_failed_before_is_an_error(gate: Gate, database: Engine) -> None:
    with Session(database) as session:
        with pytest.raises(DBAPIError):
            session.execute(text("SELECT * FROM nowhere"))
        if database.dialect.name == "postgresql":
            with pytest.raises(DBAPIError, match="current transaction is aborted"):
                gate.submit(CLEAN, session=session)
        session.rollback()
        assert gate.submit(CLEAN, session=session).outcome is Outcome.PASS


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return SqliteFiles(tmp_path).ready()


def test_a_sqlite_file_that_is_something_else_is_an_error(sqlite_url: str) -> None:
    Path(sqlite_url.removeprefix("sqlite:///")).write_bytes(b"not a database" * 1000)
    engine = open_database(sqlite_url)
    with pytest.raises(DBAPIError, match="file is not a database"):
        Gate(engine, a_policy()).submit(CLEAN)
    engine.dispose()


def test_a_sqlite_file_in_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'gone' / 'deals.db'}")
    with pytest.raises(OperationalError, match="unable to open database file"):
        Gate(engine, a_policy()).submit(CLEAN)


def test_a_sqlite_file_that_somebody_holds_too_long_is_an_error_and_works_afterwards(sqlite_url: str) -> None:
    impatient = create_engine(sqlite_url, connect_args={"timeout": 0.05})
    holder = open_database(sqlite_url)
    gate = Gate(impatient, a_policy())
    with holder.begin(), pytest.raises(OperationalError, match="database is locked"):
        gate.submit(CLEAN)
    assert gate.submit(CLEAN).decision["submission"] == 1
    impatient.dispose()
    holder.dispose()


def test_a_postgresql_server_that_stopped_is_an_error() -> None:
    try:
        server = PostgreSQL()
    except CANNOT_START as error:
        pytest.skip(f"no PostgreSQL server: {error!r}")
    engine = open_database(server.ready())
    gate = Gate(engine, a_policy())
    assert gate.submit(CLEAN).outcome is Outcome.PASS

    with engine.connect() as in_the_middle:
        gate.submit(CLEAN, session=in_the_middle)
        server.stop()
        with pytest.raises(DBAPIError):
            gate.submit(CLEAN, session=in_the_middle)
    with pytest.raises(OperationalError):
        gate.submit(CLEAN)
    assert gate.evaluate(CLEAN).outcome is Outcome.PASS
    engine.dispose()


@pytest.fixture
def broken_engine(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A gate whose rules engine breaks after the policy was compiled."""

    def fail(*_: object) -> tuple[int, int]:
        raise MemoryError("the engine gave up")

    with monkeypatch.context() as patch:
        patch.setattr(durable_rules_engine, "assert_fact", fail)
        yield gate


def test_a_deal_that_would_pass_is_referred_when_the_engine_fails_and_the_decision_is_stored(
    broken_engine: Gate, database: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    verdict = broken_engine.submit(CLEAN)

    assert verdict.outcome is Outcome.REFER
    assert verdict.decision["engine"]["agreed"] is False
    finding = verdict.decision["findings"][-1]
    assert (finding["rule"], finding["result"], finding["severity"]) == ("ENGINE-FAILURE", "not_evaluable", "refer")
    assert "the engine gave up" in finding["explanation"]
    with Session(database) as session:
        assert session.scalars(select(Finding.rule)).all() == ["ENGINE-FAILURE"]
        row = session.scalars(select(Decision)).one()
        assert (row.outcome, row.engine_agreed) == ("refer", False)
        assert find_decision(session, verdict.decision_id) == verdict.decision
    told = [record for record in caplog.records if record.levelno == logging.CRITICAL and record.name == "dealgate"]
    assert len(told) == 1
    assert "D-CLEAN" in told[0].getMessage()


def test_what_the_reference_finds_stands_beside_the_engines_failure(broken_engine: Gate) -> None:
    evaluation = broken_engine.evaluate(a_deal())
    assert evaluation.outcome is Outcome.REFER
    assert {finding.rule for finding in evaluation.findings} >= {"LTV-TOTAL", "ENGINE-FAILURE"}


def test_an_engine_that_recovers_passes_the_next_deal(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> tuple[int, int]:
        raise RuntimeError("once")

    with monkeypatch.context() as patch:
        patch.setattr(durable_rules_engine, "assert_fact", fail)
        assert gate.submit(CLEAN).outcome is Outcome.REFER
    assert gate.submit(CLEAN).outcome is Outcome.PASS


class Liar:
    """An engine that answers, and says that everything is well."""

    def evaluate(self, facts: Facts, reckoning: Reckoning) -> dict[str, Result]:
        return dict.fromkeys(reckoning.results, Result.PASS)


def test_an_engine_that_differs_in_any_rule_refers_the_deal_and_names_the_rules(
    gate: Gate, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Taken back afterwards: gates of one policy share what was compiled.
    monkeypatch.setattr(gate.compiled, "engine", Liar())
    verdict = gate.submit(a_deal(cash_price="20000.00", products=[]))

    assert verdict.outcome is Outcome.REFER
    finding = verdict.decision["findings"][-1]
    assert finding["rule"] == "ENGINE-DISAGREEMENT"
    assert all(rule in finding["explanation"] for rule in ("AGE", "NEW-TERM"))
    assert "NE-ROLLED" not in finding["explanation"]
    assert count_rows(database)["dealgate_decision"] == 1
