"""How often a caller may ask, and how often somebody may try."""

from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import Engine

from dealgate.adapters.service.settings import read_settings
from tests.adapters.service.asking import a_key, ask, ask_often, hosted
from tests.adapters.service.issuer import Issuer, running

UNKNOWN = "dg_" + "0" * 16 + "_" + "0" * 64


def test_each_key_has_its_own_rate_and_is_told_when_to_come_again(database: Engine, database_url: str) -> None:
    first, second = a_key(database), a_key(database)
    with hosted(database_url, rate_limit="3/minute") as service:
        answers = ask_often(service, [first] * 4)
        assert [answer.status_code for answer in answers] == [404, 404, 404, 429]
        last = answers[-1]
        assert 1 <= int(last.headers["Retry-After"]) <= 60
        assert last.headers["content-type"] == "application/problem+json"
        assert last.json()["type"] == "urn:dealgate:problem:rate"
        assert ask(service, first, address="192.0.2.2").status_code == 429
        assert ask(service, second).status_code == 404


def test_what_is_not_allowed_counts_too(database: Engine, database_url: str) -> None:
    key = a_key(database, "policy_author")
    with hosted(database_url, rate_limit="2/minute") as service:
        assert [answer.status_code for answer in ask_often(service, [key] * 3)] == [403, 403, 429]


def test_the_rate_is_over_any_window_and_not_by_the_clock(database: Engine, database_url: str) -> None:
    key = a_key(database)
    with hosted(database_url, rate_limit="2/second") as service:
        answers = ask_often(service, [key] * 40)
    assert {answer.status_code for answer in answers} == {404, 429}
    assert all(answer.headers["Retry-After"] == "1" for answer in answers if answer.status_code == 429)


def test_tokens_of_one_name_share_a_rate(database_url: str) -> None:
    with running(Issuer()) as issuer, hosted(database_url, rate_limit="2/minute", oidc=issuer.settings()) as service:
        issuer.add("k1")
        ann = [issuer.token("k1", jti=str(number)) for number in range(3)]
        assert [answer.status_code for answer in ask_often(service, [*ann])] == [404, 404, 429]
        assert ask(service, issuer.token("k1", sub="bob")).status_code == 404


def test_who_tries_credentials_is_stopped_by_address_and_others_are_not(database: Engine, database_url: str) -> None:
    key, fresh = a_key(database), a_key(database)
    with hosted(database_url, failed_rate_limit="3/minute") as service:
        assert ask(service, key).status_code == 404
        tried = ask_often(service, [UNKNOWN] * 4)
        assert [answer.status_code for answer in tried] == [401, 401, 401, 429]
        assert 1 <= int(tried[-1].headers["Retry-After"]) <= 60
        assert ask(service, fresh).status_code == 429, "nobody knows yet whether it opens"
        assert ask(service, key).status_code == 404, "it opened before: one bad neighbour does not lock it out"
        assert ask(service, UNKNOWN, address="192.0.2.2").status_code == 401
        assert ask(service, fresh, address="192.0.2.2").status_code == 404


def test_a_request_without_a_credential_is_no_attempt(database_url: str) -> None:
    with hosted(database_url, failed_rate_limit="1/minute") as service:
        assert {answer.status_code for answer in ask_often(service, [None] * 3)} == {401}
        assert ask(service, UNKNOWN).status_code == 401


def test_whether_the_service_lives_may_be_asked_as_often_as_one_likes(database_url: str) -> None:
    with hosted(database_url, rate_limit="1/minute", failed_rate_limit="1/minute") as service:
        answers = ask_often(service, [UNKNOWN, None] * 3, "/readyz")
        assert {answer.status_code for answer in answers} == {200}


@pytest.mark.parametrize("given", [{"rate_limit": "often"}, {"failed_rate_limit": "-1/minute"}, {"rate_limit": ""}])
def test_a_rate_that_is_none_is_refused_with_an_example(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match='is no rate; write it as "600/minute"'):
        read_settings(**given)
