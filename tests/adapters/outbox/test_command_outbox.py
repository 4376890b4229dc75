"""`dealgate outbox`: what an operator sees of the outbox, and what sets it going again."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.adapters.commands import SCRIPT, invoke
from tests.adapters.outbox.receivers import SECRET, Receiver, receiving, until
from tests.models.samples import a_deal, submit

CONFIG = """
[webhooks.crm]
url = "{url}"
allow_private = true
events = ["decision.made"]

[outbox]
attempts = {attempts}
seconds = 5
first_pause = 60
"""


class Desk:
    """The command line on one database, with one subscriber whose secret stands in the environment."""

    def __init__(self, url: str, folder: Path, receiver: Receiver) -> None:
        self.url = url
        self.receiver = receiver
        self.config = folder / "dealgate.toml"
        self.attempts(1)

    def attempts(self, number: int) -> None:
        self.config.write_text(CONFIG.format(url=self.receiver.url, attempts=number))

    def run(self, command: str, *arguments: str, exit_code: int = 0) -> str:
        result = invoke("outbox", command, *arguments, "--db", self.url)
        assert result.exit_code == exit_code, result.output
        return result.stdout + result.stderr

    def deliver(self, exit_code: int = 0) -> str:
        return self.run("deliver", "--config", str(self.config), exit_code=exit_code)

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.run("list", "--json", *arguments))
        return found


@pytest.fixture
def desk(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("DEALGATE_WEBHOOKS__CRM__SECRET", SECRET)
    with receiving() as receiver:
        yield Desk(database_url, tmp_path, receiver)


def submit_deals(database: Engine, *deals: str) -> list[str]:
    with database.begin() as connection:
        return [submit(connection, a_deal(deal_id=deal)).decision_id for deal in deals]


def test_from_the_dead_letter_to_the_delivery(desk: Desk, database: Engine, caplog: pytest.LogCaptureFixture) -> None:
    assert desk.deliver() == "crm: 0 waiting, 0 dead\n"
    assert desk.run("list") == "Nothing is in the outbox.\n"
    decisions = submit_deals(database, "D-1", "D-2", "D-1")
    desk.receiver.answer = lambda told: 500 if told.subject == "D-1" else 204
    told = desk.deliver(exit_code=1)
    assert "crm: 1 waiting, 1 dead" in told
    assert "answered 500. To go on: dealgate outbox retry 1" in caplog.text
    (third, first) = desk.listed()
    assert (first["state"], first["entry_id"], first["behind"]) == ("dead", decisions[0], 1)
    assert (third["state"], third["entry_id"], third["waits_behind"]) == ("waiting", decisions[2], True)
    assert [one["entry_id"] for one in desk.listed("--state", "delivered")] == [decisions[1]]
    table = desk.run("list", "--state", "dead")
    assert "answered 500" in table
    assert "waits behind an earlier one" in desk.run("list")
    assert desk.run("retry", "--dead") == "event 1 is due now\n"
    assert desk.run("retry", "--dead") == "no event is dead\n"
    desk.receiver.answer = lambda _: 204
    assert desk.deliver() == "crm: 0 waiting, 0 dead\n"
    assert desk.receiver.accepted == [decisions[1], decisions[0], decisions[2]]
    assert SECRET not in told + table


def test_an_event_that_waits_for_its_next_attempt_is_retried_by_its_id(desk: Desk, database: Engine) -> None:
    desk.attempts(5)
    desk.deliver()
    submit_deals(database, "D-1", "D-2")
    desk.receiver.answer = lambda _: 503
    desk.deliver()
    desk.receiver.answer = lambda _: 204
    assert desk.deliver() == "crm: 2 waiting, 0 dead\n"
    answer = desk.run("retry", "2", "17", exit_code=2)
    assert "event 2 is due now" in answer
    assert "event 17 is not there, has not failed, or is being sent" in answer
    assert desk.deliver() == "crm: 1 waiting, 0 dead\n"


def test_a_subscriber_is_ended(desk: Desk, database: Engine) -> None:
    desk.deliver()
    submit_deals(database, "D-1", "D-2")
    assert desk.run("end", "crm") == "crm is told nothing more; 2 events are withdrawn\n"
    submit_deals(database, "D-1")
    assert [one["error"] for one in desk.listed("--state", "withdrawn")] == ["the subscriber was ended"] * 2
    assert desk.listed() == []


def test_a_watch_ends_when_it_is_told_to_and_finishes_what_it_was_sending(desk: Desk, database: Engine) -> None:
    desk.deliver()
    submit_deals(database, "D-1")
    command = [SCRIPT, "outbox", "deliver", "--watch", "--db", desk.url]
    environment = os.environ | {"DEALGATE_CONFIG": str(desk.config)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:

        def answer(_: object) -> int:
            process.send_signal(signal.SIGTERM)
            return 204

        desk.receiver.answer = answer
        _, log = process.communicate(timeout=60)
    assert process.returncode == 0, log
    until(lambda: desk.receiver.accepted)
    assert [one["state"] for one in desk.listed("--state", "delivered")] == ["delivered"]
    assert "told to crm at attempt 1" in log
    assert SECRET not in log


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["list", "--state", "lost"], "no state is called 'lost': use waiting, delivered, dead, withdrawn"),
        (["retry"], "give the ids of events, or --dead"),
        (["retry", "1", "--dead"], "give the ids of events, or --dead"),
        (["end", "nobody"], "no subscriber is called 'nobody'"),
        (["deliver", "--config", "/nowhere.toml"], "/nowhere.toml: cannot be read"),
    ],
)
def test_bad_input_is_refused_by_name(desk: Desk, arguments: list[str], words: str) -> None:
    assert words in desk.run(*arguments, exit_code=2)


def test_settings_that_make_no_sense_are_refused_without_telling_a_secret(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEALGATE_WEBHOOKS__CRM__SECRET", "whsec_c2hvcnQ=")
    answer = desk.deliver(exit_code=2)
    assert "webhooks.crm.secret (environment, file): *** is not taken: the secret has 5 bytes" in answer
    assert "c2hvcnQ" not in answer


def test_who_has_no_subscriber_delivers_nothing(database_url: str) -> None:
    result = invoke("outbox", "deliver", "--db", database_url)
    assert result.exit_code == 2
    assert "no subscriber is configured" in result.stderr
