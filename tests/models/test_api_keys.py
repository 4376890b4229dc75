"""API keys: who is let in as what, until when; each an entry of the ledger, none of them readable from what is stored."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from dealgate.models.api_keys import (
    ApiKeyError,
    IssuedKey,
    all_keys,
    find_key,
    issue_key,
    read_key,
    revoke_key,
)
from tests.databases import count_rows
from tests.models.ledgers import START, unguarded, verified

DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)


def issued(database: Engine, name: str = "los", **given: Any) -> tuple[IssuedKey, str]:
    with database.begin() as connection:
        return issue_key(connection, name, START, **{"roles": ["submitter"], "actor": "ann"} | given)


def revoked(database: Engine, key: IssuedKey, **given: Any) -> IssuedKey:
    with database.begin() as connection:
        return revoke_key(connection, key.key_id, START + DAY, **{"actor": "bob"} | given)


def stored(database: Engine, key_id: str) -> IssuedKey | None:
    with database.connect() as connection:
        return find_key(connection, key_id)


def test_a_key_opens_with_its_own_secret_and_no_other(database: Engine) -> None:
    key, shown = issued(database)
    _, other = issued(database)
    found = stored(database, key.key_id)
    written = read_key(shown)
    assert found == key
    assert written is not None
    assert key.opens(written)
    secret = shown.rpartition("_")[2]
    for wrong in (other, shown.replace(secret, secret[::-1]), shown.replace(secret, other.rpartition("_")[2])):
        read = read_key(wrong)
        assert read is not None
        assert not key.opens(read)


def test_only_a_hash_of_the_secret_is_kept(database: Engine) -> None:
    key, shown = issued(database)
    secret = shown.rpartition("_")[2]
    assert len(bytes.fromhex(secret)) * 8 == 256
    assert key.secret_sha256 == hashlib.sha256(secret.encode()).digest()
    assert secret not in repr(key) + repr(read_key(shown)) + repr(key.document(START))


def test_a_key_is_valid_until_it_expires_or_is_revoked(database: Engine) -> None:
    key, _ = issued(database, days=30)
    end = START + 30 * DAY
    assert [key.state(at) for at in (START, end - INSTANT, end)] == ["valid", "valid", "expired"]
    ended = revoked(database, key)
    assert [ended.state(START + DAY - INSTANT), ended.state(START + DAY), ended.state(end)] == [
        "valid",
        "revoked",
        "revoked",
    ]
    assert stored(database, key.key_id) == ended
    assert (ended.revoked_by, ended.issued_by) == ("bob", "ann")


def test_keys_of_one_name_stand_side_by_side_so_that_they_can_be_exchanged(database: Engine) -> None:
    old, _ = issued(database, "los")
    new, _ = issued(database, "los")
    revoked(database, old)
    with database.connect() as connection:
        assert [(key.key_id, key.state(START + DAY)) for key in all_keys(connection)] == [
            (old.key_id, "revoked"),
            (new.key_id, "valid"),
        ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"roles": []}, "a key without a role opens nothing"),
        ({"roles": ["submitter", "boss"]}, "no role is called 'boss': use submitter, underwriter"),
        ({"days": 0}, "a key for 0 days: give 1 to 365"),
        ({"days": 366}, "a key for 366 days"),
        ({"name": " "}, "the name of who calls"),
        ({"name": "a" * 201}, "in 1 to 200 printable characters"),
        ({"name": "los\nroot"}, "printable"),
        ({"actor": ""}, "who issues the key"),
        ({"authorities": ["branch", ""]}, "an authority"),
    ],
)
def test_what_cannot_be_a_key_is_refused_and_nothing_is_stored(
    database: Engine, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(ApiKeyError, match=words):
        issued(database, **given)
    assert not any(count_rows(database).values())


def test_a_key_is_revoked_once_and_only_if_there_is_one(database: Engine) -> None:
    key, _ = issued(database)
    revoked(database, key)
    with pytest.raises(ApiKeyError, match=r"bob revoked the key .* at 2026-11-21T15:00"):
        revoked(database, key)
    with database.begin() as connection, pytest.raises(ApiKeyError, match="no key has the id 'abc'"):
        revoke_key(connection, "abc", START, actor="bob")


@given(st.text() | st.from_regex(r"dg_[0-9a-f]{10,20}_[0-9a-f]{60,70}"))
@example("dg_" + "0" * 16 + "_" + "0" * 64 + "\n")
@example("dg_" + "0" * 16 + "_" + "٠" * 64)
def test_nothing_but_a_key_is_read_as_one(text: str) -> None:
    parts = text.split("_")
    is_key = (
        len(parts) == 3
        and (parts[0], len(parts[1]), len(parts[2])) == ("dg", 16, 64)
        and not set(parts[1] + parts[2]) - set("0123456789abcdef")
    )
    assert (read_key(text) is not None) is is_key


# The ledger


def test_issuing_and_revoking_are_entries_of_the_ledger(database: Engine) -> None:
    key, _ = issued(database, authorities=["branch", "credit"], roles=["underwriter", "submitter", "submitter"])
    revoked(database, key)
    with database.connect() as connection:
        rows = connection.execute(text("SELECT kind, actor FROM dealgate_ledger_entry ORDER BY id")).all()
    assert [tuple(row) for row in rows] == [("api_key_issued", "ann"), ("api_key_revoked", "bob")]
    assert key.roles == ("submitter", "underwriter")
    assert verified(database).intact


ALTERED = [
    ("dealgate_api_key", "UPDATE dealgate_api_key SET secret_sha256 = :hash", "secret_sha256"),
    ("dealgate_api_key", """UPDATE dealgate_api_key SET roles = '["compliance", "submitter"]'""", "roles"),
    ("dealgate_api_key", """UPDATE dealgate_api_key SET authorities = '["board"]'""", "authorities"),
    ("dealgate_api_key", "UPDATE dealgate_api_key SET name = 'bob'", "name"),
    ("dealgate_api_key", "UPDATE dealgate_api_key SET issued_by = 'bob'", "issued_by"),
    ("dealgate_api_key", "UPDATE dealgate_api_key SET issued_at = expires_at", "issued_at"),
    ("dealgate_api_key", "UPDATE dealgate_api_key SET expires_at = '2096-01-01 00:00:00+00'", "expires_at"),
    ("dealgate_api_key_revocation", "DELETE FROM dealgate_api_key_revocation", "API key revocation"),
    ("dealgate_api_key_revocation", "UPDATE dealgate_api_key_revocation SET revoked_by = 'ann'", "API key revocation"),
]


@pytest.mark.parametrize(("table", "statement", "where"), ALTERED)
def test_a_key_that_was_altered_is_found_and_before_that_refused(
    database: Engine, table: str, statement: str, where: str
) -> None:
    revoked(database, issued(database)[0])
    with database.begin() as connection, pytest.raises(DBAPIError, match="keeps what was recorded"):
        _alter(connection, statement)
    with database.begin() as connection:
        unguarded(connection, table)
        _alter(connection, statement)
    assert [flaw for flaw in verified(database).flaws if flaw.what.startswith("API key") and where in str(flaw)]


def _alter(connection: Connection, statement: str) -> None:
    statement = statement.replace("96-01-01 00:00:00+00", "96-01-01 00:00:00") if _is_sqlite(connection) else statement
    connection.execute(text(statement), {"hash": bytes(32)} if ":hash" in statement else {})


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


@pytest.mark.parametrize("entry", ["999", "(SELECT max(id) FROM dealgate_ledger_entry)"])
def test_the_database_takes_no_key_without_an_entry_that_issues_it(database: Engine, entry: str) -> None:
    """Of another kind, or none."""
    revoked(database, issued(database)[0])
    forged = text(
        "INSERT INTO dealgate_api_key SELECT 'ffffffffffffffff', "
        f"{entry}, name, secret_sha256, roles, authorities, issued_at, issued_by, expires_at FROM dealgate_api_key"
    )
    with database.begin() as connection, pytest.raises(DBAPIError, match="by an entry of the ledger that says so"):
        connection.execute(forged)
