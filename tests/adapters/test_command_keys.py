"""`dealgate key new|list|revoke`."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dealgate.models.api_keys import read_key
from tests.adapters.commands import dealgate, invoke

HOUR = timedelta(hours=1)


def new(url: str, *arguments: str) -> dict[str, Any]:
    ended = invoke("key", "new", *arguments, "--actor", "ann", "--json", "--db", url)
    assert ended.exit_code == 0, ended.output
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


def listed(url: str, *arguments: str) -> dict[str, str]:
    """The states of keys, by their ids."""
    ended = invoke("key", "list", *arguments, "--json", "--db", url)
    assert ended.exit_code == 0, ended.output
    return {key["key_id"]: key["state"] for key in json.loads(ended.stdout)}


def test_a_key_is_printed_once_alone_on_standard_output(database_url: str) -> None:
    ended = dealgate("key", "new", "los", "--role", "submitter", "--actor", "ann", "--db", database_url)
    assert ended.returncode == 0, ended.stderr
    written = read_key(ended.stdout.strip())
    assert written is not None
    assert f"{written.key_id} of los: valid, submitter, until" in ended.stderr
    secret = ended.stdout.strip().rpartition("_")[2]
    shown = (
        invoke("key", "list", "--db", database_url).output
        + invoke("key", "list", "--json", "--db", database_url).output
    )
    assert written.key_id in shown
    assert secret not in ended.stderr + shown


def test_keys_are_listed_as_they_stand_or_stood(database_url: str) -> None:
    los = new(database_url, "los", "--role", "submitter")["key_id"]
    desk = new(database_url, "desk", "--role", "underwriter", "--authority", "branch", "--expires-in", "1")["key_id"]
    assert invoke("key", "revoke", los, "--actor", "bob", "--db", database_url).exit_code == 0
    now = datetime.now(UTC)
    assert listed(database_url) == {desk: "valid"}
    assert listed(database_url, "--all") == {los: "revoked", desk: "valid"}
    assert listed(database_url, "--all", "--at", (now + 25 * HOUR).isoformat()) == {los: "revoked", desk: "expired"}
    assert listed(database_url, "--at", (now - HOUR).isoformat()) == {}
    table = invoke("key", "list", "--all", "--db", database_url).stdout
    assert "branch" in table
    assert "bob" in table


def test_who_found_a_whole_key_revokes_it_with_that(database_url: str) -> None:
    key = new(database_url, "los", "--role", "submitter")
    ended = invoke("key", "revoke", key["key"], "--actor", "bob", "--db", database_url)
    assert ended.stdout.startswith(f"{key['key_id']} of los: revoked")
    again = invoke("key", "revoke", key["key"], "--actor", "bob", "--db", database_url)
    assert again.exit_code == 2
    cut_off = invoke("key", "revoke", key["key"][:-1], "--actor", "bob", "--db", database_url)
    assert (cut_off.exit_code, "not the whole of a key" in cut_off.stderr) == (2, True)
    assert key["key"][-30:-1] not in ended.output + again.output + cut_off.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("new", "los", "--role", "boss", "--actor", "ann"), "no role is called 'boss'"),
        (("new", "los", "--role", "submitter", "--actor", "ann", "--expires-in", "366"), "give 1 to 365"),
        (("new", "los", "--role", "submitter", "--actor", " "), "who issues the key"),
        (("revoke", "0123456789abcdef", "--actor", "bob"), "no key has the id"),
        (("list", "--at", "yesterday"), "is no moment with a time zone"),
    ],
)
def test_what_is_not_possible_ends_with_exit_code_2(database_url: str, arguments: tuple[str, ...], words: str) -> None:
    ended = invoke("key", *arguments, "--db", database_url)
    assert ended.exit_code == 2
    assert words in ended.output
    assert listed(database_url, "--all") == {}
