"""Callers by an API key: while it stands, and never on what was known of it before."""

import logging
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import DBAPIError

from dealgate.adapters.service import api_keys
from dealgate.adapters.service.principals import Principal, Role
from dealgate.models.api_keys import read_key, revoke_key
from tests.adapters.service.asking import DEAL, EXAMPLE, a_key, an_expired_key, ask, ask_often, hosted
from tests.adapters.service.issuer import Issuer, running
from tests.databases import set_aside
from tests.models.ledgers import START


class Clock:
    """Of what is kept in memory; everything else goes by the real one."""

    ahead = 0.0

    def __call__(self) -> float:
        return monotonic() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(api_keys, "monotonic", clock)
    return clock


def revoke(database: Engine, key: str, now: datetime = START) -> None:
    written = read_key(key)
    assert written is not None
    with database.begin() as connection:
        revoke_key(connection, written.key_id, now, actor="bob")


def test_a_key_that_stands_opens_in_its_roles(database: Engine, database_url: str) -> None:
    key, other = a_key(database, "submitter", "compliance"), a_key(database, "policy_author")
    with hosted(database_url) as service:
        principal = service.authenticator.principal(key)
        written = read_key(key)
        assert written is not None
        roles = frozenset({Role.SUBMITTER, Role.COMPLIANCE})
        assert principal == Principal("los", roles, frozenset(), f"key {written.key_id}")
        assert ask(service, key).status_code == 404
        assert ask(service, other).status_code == 403


def test_the_name_of_the_key_is_the_actor_of_what_is_recorded(database: Engine, database_url: str) -> None:
    with hosted(database_url) as service:
        answer = ask(service, a_key(database, name="los-7"), "/v1/submissions", "POST", content=EXAMPLE.read_bytes())
        assert answer.status_code == 201
    actor = text("SELECT actor FROM dealgate_ledger_entry WHERE entry_id = :id")
    with database.connect() as connection:
        assert connection.execute(actor, {"id": answer.json()["decision_id"]}).scalar() == "los-7"


def test_nobody_gets_in_with_something_else(database: Engine, database_url: str) -> None:
    key = a_key(database)
    revoked = a_key(database)
    revoke(database, revoked)
    wrong = key[:-1] + ("0" if key[-1] != "0" else "1")
    credentials = [None, "", "secret", key.upper(), key[:-1], wrong, "dg_" + "0" * 16 + "_" + "0" * 64]
    with hosted(database_url) as service:
        for answer in ask_often(service, [*credentials, revoked, an_expired_key(database)]):
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert answer.headers["content-type"] == "application/problem+json"
        for scheme in ("Basic", "Token", ""):
            assert ask(service, None, headers={"Authorization": f"{scheme} {key}"}).status_code == 401
        assert ask(service, None, DEAL + f"?key={key}").status_code == 401


@pytest.mark.parametrize("ahead", [timedelta(), timedelta(minutes=10)])
def test_a_revocation_takes_effect_within_the_seconds_that_are_told_whosever_clock_is_ahead(
    database: Engine, database_url: str, clock: Clock, ahead: timedelta
) -> None:
    key = a_key(database)
    with hosted(database_url) as service:
        assert ask(service, key).status_code == 404
        revoke(database, key, datetime.now(UTC) + ahead)
        clock.ahead += api_keys.KEPT_SECONDS
        assert ask(service, key).status_code == 401


def test_the_database_is_asked_once_in_those_seconds_and_not_for_what_is_no_key(
    database: Engine, database_url: str, clock: Clock
) -> None:
    key = a_key(database)
    with hosted(database_url) as service:
        asked: list[str] = []
        event.listen(service.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
        for _ in range(3):
            assert service.authenticator.principal(key)
        about_keys = [statement for statement in asked if "dealgate_api_key" in statement]
        assert len(about_keys) == 1
        clock.ahead += api_keys.KEPT_SECONDS
        assert service.authenticator.principal(key)
        assert len(asked) > len(about_keys)
        asked.clear()
        for credential in ("", "dg_", key[:-1], key + "0", key.upper(), "eyJ.e30.x"):
            assert service.authenticator.principal(credential) is None
        assert asked == []


def test_without_the_database_nobody_gets_in_on_what_was_known_before(
    database: Engine, database_url: str, clock: Clock
) -> None:
    key = a_key(database)
    with hosted(database_url) as service:
        assert service.authenticator.principal(key)
        with database.begin() as connection:
            set_aside(connection, "dealgate_api_key")
        clock.ahead += api_keys.KEPT_SECONDS
        with pytest.raises(DBAPIError):
            service.authenticator.principal(key)
        answer = ask(service, key)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    with database.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE aside RENAME TO dealgate_api_key")


def test_a_server_that_cannot_be_reached_lets_nobody_in() -> None:
    with hosted("postgresql+psycopg://nobody@127.0.0.1:1/none", request_seconds=2) as service:
        answer = ask(service, "dg_" + "0" * 16 + "_" + "0" * 64)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_keys_and_tokens_are_told_apart_and_never_tried_as_the_other(
    database: Engine, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with running(Issuer()) as issuer:
        issuer.add("k1")
        token = issuer.token("k1")
        with hosted(database_url, oidc=issuer.settings()) as service:
            asked: list[str] = []
            event.listen(service.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
            assert service.authenticator.principal(f"dg_{token}") is None
            assert issuer.asked == []
            assert "a token is refused" not in caplog.text
            found = service.authenticator.principal(token)
            assert asked == []
            assert found is not None
            assert found.roles == {Role.UNDERWRITER}
            assert ask(service, token).status_code == 404
            assert ask(service, token, "/v1/submissions", "POST").status_code == 403
            key = a_key(database)
            before = len(issuer.asked)
            assert service.authenticator.principal(key)
            assert len(issuer.asked) == before
        with hosted(database_url) as service:  # without an identity provider, no token opens
            assert ask(service, token).status_code == 401
