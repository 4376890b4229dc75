"""No secret is where it should not be: in the database, the logs, or an answer."""

import logging
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.adapters.commands import invoke
from tests.adapters.service.asking import EXAMPLE, a_key, ask, hosted
from tests.adapters.service.issuer import Issuer, running
from tests.databases import TABLES, set_aside


def everything_in(database: Engine) -> str:
    """Every value of every table, bytes as they are and as hexadecimal; of SQLite the file too."""
    found = []
    with database.connect() as connection:
        for table in TABLES:
            for row in connection.execute(text(f"SELECT * FROM {table}")):
                for value in row:
                    data = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                    found += [data.decode("latin-1"), data.hex()]
    if database.dialect.name == "sqlite":
        for suffix in ("", "-wal"):
            file = Path(f"{database.url.database}{suffix}")
            found.append(file.read_bytes().decode("latin-1") if file.exists() else "")
    return "\n".join(found)


def test_neither_keys_nor_tokens_stand_anywhere(
    database: Engine, database_url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    los, author = a_key(database, "submitter", "compliance"), a_key(database, "policy_author")
    with (
        running(Issuer()) as issuer,
        hosted(database_url, oidc=issuer.settings(), rate_limit="8/minute", failed_rate_limit="4/minute") as service,
    ):
        issuer.add("k1")
        token, refused = issuer.token("k1"), issuer.token("k1", aud="another")
        wrong = los[:-8] + los[-8:][::-1]
        shown = [los, author, token, refused, wrong, f"{token}x"]
        answers = [ask(service, los, "/v1/submissions", "POST", content=EXAMPLE.read_bytes())]
        answers += [ask(service, one) for one in shown for _ in range(9)]
        answers += [ask(service, one, "/v1/submissions", "POST", content=b"{}") for one in shown]
        with database.begin() as connection:
            set_aside(connection, "dealgate_api_key")
        answers.append(ask(service, a_wrong_key(), address="192.0.2.9"))
        with database.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE aside RENAME TO dealgate_api_key")
    assert {201, 401, 403, 404, 429, 503} <= {answer.status_code for answer in answers}
    printed = capfd.readouterr()
    listed = invoke("key", "list", "--all", "--json", "--db", database_url).output
    told = "\n".join(f"{answer.headers} {answer.text}" for answer in answers)
    searched = {
        "answers": told,
        "logs": caplog.text,
        "output": printed.out + printed.err,
        "list": listed,
        "database": everything_in(database),
    }
    assert "dealgate_ledger_entry" in searched["database"] or database.dialect.name != "sqlite"
    secrets = [los.rpartition("_")[2], author.rpartition("_")[2], wrong.rpartition("_")[2]]
    secrets += [piece for one in (token, refused) for piece in one.split(".")[1:]]
    secrets += [bytes.fromhex(secret).decode("latin-1") for secret in secrets[:3]]
    found = [(where, secret) for where, text in searched.items() for secret in secrets if secret in text]
    assert found == []


def a_wrong_key() -> str:
    return "dg_" + "1" * 16 + "_" + "a1" * 32
