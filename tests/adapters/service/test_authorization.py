"""Who may do what: every path and method of the OpenAPI document, with every role and every credential that is none."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from dealgate.adapters.service.application import create_application
from dealgate.adapters.service.principals import Role
from dealgate.adapters.service.service import Service
from dealgate.models.api_keys import read_key, revoke_key
from tests.adapters.service.asking import a_key, an_expired_key, ask_often, hosted
from tests.databases import Databases, SqliteFiles
from tests.models.ledgers import START

SUBMITTER, UNDERWRITER, AUTHOR, APPROVER, COMPLIANCE = Role
EVERYBODY: None = None
"""Whoever can reach the port."""

MAY: dict[tuple[str, str], set[Role] | None] = {
    ("POST", "/v1/submissions"): {SUBMITTER},
    ("POST", "/v1/evaluations"): {SUBMITTER, UNDERWRITER, AUTHOR, APPROVER},
    ("GET", "/v1/decisions/{decision_id}"): {SUBMITTER, UNDERWRITER, COMPLIANCE},
    ("GET", "/v1/deals/{deal_id}"): {SUBMITTER, UNDERWRITER, COMPLIANCE},
    ("POST", "/v1/overrides"): {UNDERWRITER},
    ("GET", "/v1/overrides"): {SUBMITTER, UNDERWRITER, COMPLIANCE},
    ("GET", "/v1/overrides/{override_id}"): {SUBMITTER, UNDERWRITER, COMPLIANCE},
    ("POST", "/v1/overrides/{override_id}/grant"): {UNDERWRITER},
    ("POST", "/v1/overrides/{override_id}/deny"): {UNDERWRITER},
    ("GET", "/v1/deals/{deal_id}/clearance"): {SUBMITTER, UNDERWRITER, COMPLIANCE},
    ("POST", "/v1/policies"): {AUTHOR},
    ("POST", "/v1/policy-checks"): {AUTHOR},
    ("GET", "/v1/policies"): set(Role),
    ("GET", "/v1/policies/{sha256}"): set(Role),
    ("POST", "/v1/policies/{sha256}/approve"): {APPROVER},
    ("POST", "/v1/policies/{sha256}/retire"): {APPROVER},
    ("GET", "/v1/audit/reports"): {COMPLIANCE},
    ("GET", "/v1/audit/reports/{name}"): {COMPLIANCE},
    ("POST", "/v1/audit/search"): {COMPLIANCE},
    ("POST", "/v1/audit/exports"): {COMPLIANCE},
    ("POST", "/v1/audit/replays"): {COMPLIANCE},
    ("GET", "/v1/audit/deals/{deal_id}/file"): {COMPLIANCE},
    ("POST", "/v1/audit/deals/{deal_id}/notices"): {COMPLIANCE},
    ("GET", "/v1/audit/deals/{deal_id}/clocks"): {COMPLIANCE},
    ("GET", "/v1/ledger/checkpoint"): {SUBMITTER, COMPLIANCE},
    ("GET", "/v1/ledger/entries/{entry_id}/proof"): {SUBMITTER, COMPLIANCE},
    ("GET", "/healthz"): EVERYBODY,
    ("GET", "/readyz"): EVERYBODY,
}
"""All that is allowed. What is not here is forbidden, and an endpoint that is not here fails the test."""


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Databases:
    """Who may do what does not depend on the database: one kind is enough."""
    return SqliteFiles(tmp_path_factory.mktemp("databases"))


@pytest.fixture
def service(database_url: str) -> Iterator[Service]:
    with hosted(database_url, failed_rate_limit="1000/minute") as service:
        yield service


def document(service: Service) -> dict[str, Any]:
    application: Any = create_application(service)
    found: dict[str, Any] = application.app.app.openapi()
    return found


def endpoints(service: Service) -> dict[tuple[str, str], dict[str, Any]]:
    paths = document(service)["paths"]
    return {
        (method.upper(), path): operation for path, methods in paths.items() for method, operation in methods.items()
    }


def asked(service: Service, endpoint: tuple[str, str], credentials: list[str | None]) -> list[int]:
    """The statuses that these get. The request itself is not one that could be answered."""
    method, path = endpoint
    answers = ask_often(service, credentials, path.replace("{", "").replace("}", ""), method)
    return [answer.status_code for answer in answers]


def test_every_endpoint_is_in_the_table_and_has_the_responses_of_who_is_not_let_in(service: Service) -> None:
    found = endpoints(service)
    assert found.keys() == MAY.keys()
    for endpoint, operation in found.items():
        if MAY[endpoint] is not EVERYBODY:
            assert {"401", "403", "429", "503"} <= operation["responses"].keys(), endpoint
            assert operation["security"], endpoint


def test_each_role_gets_where_the_table_lets_it_and_nowhere_else(database: Engine, service: Service) -> None:
    keys = {role: a_key(database, role) for role in Role}
    for endpoint, may in MAY.items():
        statuses = asked(service, endpoint, list(keys.values()))
        for role, status in zip(keys, statuses, strict=True):
            allowed = may is EVERYBODY or role in may
            assert (status != 403) is allowed, f"{endpoint} as {role}: {status}"
            assert status not in {401, 429, 500, 503}, f"{endpoint} as {role}: {status}"


def test_who_has_several_roles_may_do_what_any_of_them_may(database: Engine, service: Service) -> None:
    key = a_key(database, *Role)
    for endpoint in MAY:
        assert asked(service, endpoint, [key])[0] not in {401, 403}, endpoint


def test_nobody_gets_anywhere_without_a_credential_that_stands(database: Engine, service: Service) -> None:
    revoked = a_key(database, *Role)
    written = read_key(revoked)
    assert written is not None
    with database.begin() as connection:
        revoke_key(connection, written.key_id, START, actor="bob")
    unknown = "dg_" + "0" * 16 + "_" + "0" * 64
    for endpoint, may in MAY.items():
        expected = {200} if may is EVERYBODY else {401}
        statuses = asked(service, endpoint, [None, "", "x", unknown, an_expired_key(database, *Role), revoked])
        assert set(statuses) == expected, endpoint


def test_what_is_no_endpoint_tells_nothing_to_anybody(database: Engine, service: Service) -> None:
    key = a_key(database, *Role)
    for endpoint in (("GET", "/v1/keys"), ("GET", "/docs"), ("GET", "/v1/submissions"), ("DELETE", "/v1/deals/D-1")):
        assert set(asked(service, endpoint, [None, key])) <= {404, 405}
