"""The application in examples/origination: built, installed beside dealgate's wheel, brought up and driven over HTTP."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from dealgate.adapters.database import open_database
from dealgate.migrations.watching import problems
from dealgate.models.unanswered import unanswered
from tests.databases import PostgreSQL, SqliteFiles
from tests.models.ledgers import a_signer, seal_all, verified
from tests.wheels import EXAMPLE, clean_environment, dealgate_dist, example_wheel, installed, run

APPLICATION: dict[str, Any] = json.loads((EXAMPLE / "application.json").read_text())
"""$5,500 of negative equity is rolled in, $500 more than the policy allows."""

CURE = "$500.00 more cash down, $1,500.00 in all, clears NE-ROLLED."
NO_OVERRIDE = ["NE-ROLLED refers the deal: no override was asked for"]
TOO_MUCH = {"price": "31000.00", "cash_down": "0.00"}
"""Both LTV and rolled-in negative equity over their limits: declined."""

RUNNING = re.compile(r"running on (http://127\.0\.0\.1:\d+)")
BOTH_ALEMBIC = "from alembic.config import main; main(['upgrade', 'head']); main(['check'])"


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment with both wheels."""
    wheels = dealgate_dist(tmp_path_factory)[0], example_wheel(tmp_path_factory)
    return installed(tmp_path_factory.mktemp("environment"), *wheels)


class Lender:
    """The application as it runs, and its database as other programs see it."""

    def __init__(self, scripts: Path, folder: Path, url: str) -> None:
        self.scripts, self.folder, self.url = scripts, folder, url
        self.database: Engine = open_database(url)
        self.http = httpx.Client(timeout=60)

    def run(self, script: str, *arguments: str) -> str:
        """A script of the environment, on this database."""
        variables = {"DATABASE_URL": self.url, "DEALGATE_DB": self.url}
        done = run(self.scripts / script, *arguments, cwd=self.folder, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def serving(self) -> Iterator[None]:
        log = self.folder / "server.log"
        with log.open("w") as output:
            server = subprocess.Popen(
                [self.scripts / "python", "-m", "uvicorn", "origination.app:app", "--port", "0"],
                cwd=self.folder,
                env=clean_environment() | {"DATABASE_URL": self.url},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            until = monotonic() + 120
            while not (found := RUNNING.search(log.read_text())):
                assert server.poll() is None and monotonic() < until, log.read_text()  # noqa: PT018
                sleep(0.05)
            self.http.base_url = httpx.URL(found[1])
            yield
        finally:
            server.terminate()
            server.wait(30)

    def ask(self, method: str, path: str, status: int = 200, person: str = "dana", **more: Any) -> Any:
        key = more.pop("key", "")
        headers = {"X-User": person, "Idempotency-Key": key} if key else {"X-User": person}
        reply = self.http.request(method, f"/applications{path}", headers=headers, json=more or None)
        assert reply.status_code == status, reply.text
        return reply.json()

    def take(self, number: str, status: int = 201, **changes: Any) -> Any:
        return self.ask("POST", "", status, **(APPLICATION | {"number": number} | changes))

    def get_override(self, number: str, grantor: str = "ann") -> None:
        decision = self.ask("GET", f"/{number}")["decision_id"]
        words = {"reason": "STRONG-INCOME", "note": "Pay slips of a year seen."}
        asked = self.ask("POST", f"/{number}/overrides", 201, decision_id=decision, rules=["NE-ROLLED"], **words)
        granted = self.ask("POST", f"/{number}/overrides/{asked['override_id']}/grant", person=grantor)
        assert (asked["state"], granted["state"]) == ("requested", "in force")

    def rows(self, statement: str, number: str) -> list[tuple[Any, ...]]:
        with self.database.begin() as connection:
            return [tuple(row) for row in connection.execute(text(statement), {"number": number})]

    def decisions(self, number: str) -> list[tuple[Any, ...]]:
        return self.rows(
            "SELECT s.submission, d.outcome, s.actor FROM dealgate_decision d JOIN dealgate_submission s "
            "ON s.id = d.submission_id WHERE s.deal_id = :number ORDER BY s.submission",
            number,
        )

    def behind_its_back(self, statement: str, number: str) -> None:
        with self.database.begin() as connection:
            assert connection.execute(text(statement), {"number": number}).rowcount == 1


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def lender(request: pytest.FixtureRequest, scripts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lender]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "postgresql":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        url = server.apart()
    else:
        url = SqliteFiles(folder).empty()
    shutil.copy(EXAMPLE / "alembic.ini", folder)
    lender = Lender(scripts, folder, url)
    lender.run("dealgate", "db", "upgrade")
    assert "No new upgrade operations detected" in lender.run("python", "-c", BOTH_ALEMBIC)
    with lender.http, lender.serving():
        yield lender
    lender.database.dispose()


def test_rolled_in_negative_equity_over_the_limit_is_referred_in_words_and_its_cure_clears_it(lender: Lender) -> None:
    taken = lender.take("A-1")
    assert taken["outcome"] == "refer"
    assert taken["findings"] == ["Rolled-in negative equity is $5,500.00; tier B allows $5,000.00. $500.00 over."]
    assert CURE in taken["cures"]
    assert lender.ask("POST", "/A-1/fund", 409)["detail"] == taken["against_funding"] == NO_OVERRIDE
    cured = lender.ask("PATCH", "/A-1", person="ann", cash_down="1500.00")
    assert (cured["outcome"], cured["findings"], cured["against_funding"]) == ("pass", [], [])
    assert lender.ask("POST", "/A-1/fund")["status"] == "funded"
    assert lender.decisions("A-1") == [(1, "refer", "dana"), (2, "pass", "ann")]
    assert lender.rows("SELECT funded_on FROM loan_application WHERE number = :number", "A-1") == [
        (cured["decision_id"],)
    ]
    assert lender.ask("PATCH", "/A-1", 409, cash_down="0.00")["detail"] == "application A-1 is funded"


def test_what_is_changed_behind_it_is_seen_and_not_funded(lender: Lender) -> None:
    changes = {
        "A-2": "UPDATE loan_application SET cash_down = 1499.99 WHERE number = :number",
        "A-3": "UPDATE trade_in SET payoff = payoff + 0.01 WHERE application = :number",
    }
    for number, change in changes.items():
        assert lender.take(number, cash_down="1500.00")["outcome"] == "pass"
        lender.behind_its_back(change, number)
        seen = ["the deal is not the one that was decided: it was changed since"]
        assert lender.ask("POST", f"/{number}/fund", 409)["detail"] == seen
    assert re.findall(r"A-\d", lender.run("dealgate", "guard", "list")) == ["A-2", "A-3"]
    assert lender.run("python", "-m", "origination.sweep") == "A-2 refer\nA-3 refer\n"
    for number in changes:
        assert lender.ask("POST", f"/{number}/fund", 409)["detail"] == NO_OVERRIDE
        written = lender.rows(
            "SELECT kind, actor FROM dealgate_ledger_entry WHERE deal_id = :number ORDER BY deal_seq", number
        )
        assert written == [("decision", "dana"), ("decision", "sweep"), ("guard_bypass", "sweep")]


def test_an_override_lets_a_referred_one_through_and_dies_when_the_term_is_changed(lender: Lender) -> None:
    lender.take("A-4")
    lender.get_override("A-4")
    assert lender.ask("GET", "/A-4")["against_funding"] == []
    changed = lender.ask("PATCH", "/A-4", term_months=66)
    assert (changed["outcome"], changed["against_funding"]) == ("refer", NO_OVERRIDE)
    assert lender.ask("POST", "/A-4/fund", 409)["detail"] == NO_OVERRIDE
    lender.get_override("A-4")
    assert lender.ask("POST", "/A-4/fund")["status"] == "funded"


def test_an_override_is_granted_with_authority_only_and_for_what_was_read(lender: Lender) -> None:
    first = lender.take("A-5")["decision_id"]
    lender.ask("PATCH", "/A-5", term_months=66)
    words: dict[str, Any] = {"rules": ["NE-ROLLED"], "reason": "STRONG-INCOME", "note": "Seen."}
    stale = lender.ask("POST", "/A-5/overrides", 409, decision_id=first, **words)
    assert stale["detail"] == "the application was decided again since: read it first"
    asked = lender.ask("POST", "/A-5/overrides", 201, decision_id=lender.ask("GET", "/A-5")["decision_id"], **words)
    refused = lender.ask("POST", f"/A-5/overrides/{asked['override_id']}/grant", 409)
    assert "gives the role 'desk' no authority" in refused["detail"]
    assert lender.ask("POST", "/A-5/fund", 409)["detail"] == [
        f"NE-ROLLED refers the deal: override {asked['override_id']} waits for 1 to grant it"
    ]


def test_a_declined_change_is_not_written_leaves_a_record_and_ends_the_override(lender: Lender) -> None:
    lender.take("A-6")
    lender.get_override("A-6")
    refused = lender.ask("PATCH", "/A-6", 409, **TOO_MUCH)["detail"]
    assert refused[0] == "LoanApplication A-6 is not written: origination 2026.11 declines deal A-6."
    assert any(line.startswith("Cure: ") for line in refused)
    stored = lender.rows("SELECT price, cash_down FROM loan_application WHERE number = :number", "A-6")
    assert [tuple(map(float, row)) for row in stored] == [(24000.0, 1000.0)]
    assert lender.decisions("A-6") == [(1, "refer", "dana"), (2, "decline", "dana")]
    ended = ["a change of the deal was refused since, and ended what cleared it: submit the deal again"]
    assert lender.ask("POST", "/A-6/fund", 409)["detail"] == ended
    again = lender.ask("POST", "/A-6/submit", key="A-6/again")
    assert (again["submission"], again["outcome"], again["against_funding"]) == (3, "refer", NO_OVERRIDE)
    lender.get_override("A-6")
    assert lender.ask("POST", "/A-6/fund")["status"] == "funded"


def test_an_application_that_is_declined_at_once_can_be_mended_and_taken_under_its_number(lender: Lender) -> None:
    lender.take("A-7", 409, **TOO_MUCH)
    lender.ask("GET", "/A-7", 404)
    assert lender.take("A-7", cash_down="1500.00")["outcome"] == "pass"
    assert [row[:2] for row in lender.decisions("A-7")] == [(1, "decline"), (2, "pass")]


def test_a_trade_in_that_is_changed_is_decided_by_itself(lender: Lender) -> None:
    lender.take("A-8")
    without = lender.ask("PATCH", "/A-8", trade_ins=[])
    assert (without["outcome"], len(lender.decisions("A-8"))) == ("pass", 2)


def test_a_submission_is_taken_once_under_its_key(lender: Lender) -> None:
    lender.take("A-9")
    first, again = (lender.ask("POST", "/A-9/submit", key="A-9/1") for _ in range(2))
    assert (first["submission"], first["replayed"], again["replayed"]) == (2, False, True)
    assert first["decision_id"] == again["decision_id"]
    lender.ask("PATCH", "/A-9", cash_down="1500.00")
    assert "'A-9/1' was used for another deal" in lender.ask("POST", "/A-9/submit", 409, key="A-9/1")["detail"]
    assert len(lender.decisions("A-9")) == 3


def test_of_two_who_fund_at_once_one_does(lender: Lender) -> None:
    lender.take("A-10", cash_down="1500.00")
    with ThreadPoolExecutor(2) as both:
        answers = list(both.map(lambda _: lender.http.post("/applications/A-10/fund", headers={"X-User": "ben"}), "12"))
    assert sorted(answer.status_code for answer in answers) == [200, 409]


def test_what_cannot_be_a_deal_is_refused_with_the_field(lender: Lender) -> None:
    refused = lender.take("A-11", 422, term_months=700)["detail"]
    assert "term_months" in refused[0]
    assert "700" in refused[0]
    lender.ask("GET", "/A-11", 404)
    lender.ask("GET", "/A-1", 401, person="eve")


def test_after_all_of_it_the_ledger_verifies_and_nothing_is_unanswered(lender: Lender) -> None:
    lender.take("A-12")
    signer = a_signer()
    seal_all(lender.database, signer)
    assert verified(lender.database, signer.key).intact
    with lender.database.connect() as connection:
        assert problems(connection) == []
        assert unanswered(connection) == []
