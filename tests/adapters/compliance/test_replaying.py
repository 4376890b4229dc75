"""Decisions made again: what drifted is told apart, with the direction, and everything else matches."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from dealgate.adapters.compliance import replaying
from dealgate.adapters.compliance.replaying import (
    Replayed,
    Summary,
    Verdict,
    decisions_between,
    find_decisions,
    replay_stored,
)
from dealgate.models.erasure import purge, record_notice, redact
from dealgate.rules.decision import Decision
from dealgate.rules.evaluation import CompiledPolicy
from dealgate.rules.reference import Result
from tests.adapters.commands import invoke
from tests.adapters.compliance.drifting import (
    INCOME,
    altered,
    column_altered,
    decided_by_another_version,
    envelope_altered,
    income_altered,
    policy_altered,
)
from tests.models.ledgers import START, a_signer, seal_all, submit_deals, verified
from tests.models.samples import CLEAN, OVERRIDABLE, a_deal, compiled, submit

MANY = 24


def replayed(database: Engine, url: str, *ids: str, processes: int = 1) -> Summary:
    with database.connect() as connection:
        numbers = find_decisions(connection, ids) if ids else decisions_between(connection, START)
    return replay_stored(url, numbers, processes=processes)


def the_drift(summary: Summary) -> Replayed:
    (one,) = summary.told
    return one


def test_every_decision_matches_whatever_policy_and_deal(database: Engine, database_url: str) -> None:
    submit_deals(database, 3)
    with database.begin() as connection:
        submit(connection, a_deal(applicant__credit_score=None, deal_id="D-UNKNOWN"), now=START)
        submit(connection, a_deal(), policy=compiled(OVERRIDABLE), now=START)
    summary = replayed(database, database_url)
    assert summary.verdicts == {Verdict.MATCH: 5}
    assert summary.document()["drifted"] == []


def test_a_column_that_was_altered_is_input_drift_and_names_the_column(database: Engine, database_url: str) -> None:
    ids = submit_deals(database, 3)
    column_altered(database, ids[1])
    summary = replayed(database, database_url)
    one = the_drift(summary)
    assert (one.decision_id, one.verdict, one.direction) == (ids[1], Verdict.INPUT_DRIFT, "evidence only")
    assert "cash_price_cents of the submission" in one.why
    assert summary.verdicts[Verdict.MATCH] == 2


@pytest.mark.parametrize(("income", "way", "rule"), [("9999.00", "looser", "PTI"), ("1200.00", "stricter", "DTI")])
def test_a_personal_value_that_was_altered_is_input_drift_with_its_direction(
    database: Engine, database_url: str, income: str, way: str, rule: str
) -> None:
    """Looser and stricter are today's decision on the altered inputs, against the stored one."""
    (decision,) = submit_deals(database, 1)
    income_altered(database, decision, income)
    one = the_drift(replayed(database, database_url, decision))
    assert (one.verdict, one.direction) == (Verdict.INPUT_DRIFT, way)
    assert f"personal value: {INCOME}" in one.why
    assert f"/findings/{rule}/severity" in [each.where for each in one.differences]


def test_an_envelope_that_was_altered_is_input_drift_even_where_it_cannot_be_read(
    database: Engine, database_url: str
) -> None:
    ids = submit_deals(database, 2)
    seal_all(database, a_signer())
    envelope_altered(database, ids[0], b'"outcome":"refer"', b'"outcome":"flag_"')
    envelope_altered(database, ids[1], b'{"', b'("')
    told = {one.decision_id: one for one in replayed(database, database_url).told}
    assert {one.verdict for one in told.values()} == {Verdict.INPUT_DRIFT}
    assert told.keys() == set(ids)
    assert told[ids[1]].direction is None


def test_an_envelope_that_was_altered_together_with_its_column_is_input_drift(
    database: Engine, database_url: str
) -> None:
    """Column and envelope agree with each other, and not with the hash that was sealed."""
    ids = submit_deals(database, 2)
    seal_all(database, a_signer())
    envelope_altered(database, ids[0], b'"actor":null', b'"actor":"else"')
    for table in ("dealgate_ledger_entry", "dealgate_submission"):
        altered(database, table, f"UPDATE {table} SET actor = 'else' WHERE deal_id = 'D-0'")
    summary = replayed(database, database_url)
    one = the_drift(summary)
    assert (one.decision_id, one.verdict, one.why) == (ids[0], Verdict.INPUT_DRIFT, f"envelope: entry {ids[0]}")
    assert summary.verdicts[Verdict.MATCH] == 1
    assert [flaw.what for flaw in verified(database).flaws if ids[0] in flaw.where] == ["envelope"]  # once


def test_what_was_lawfully_erased_is_not_replayable_and_no_drift(database: Engine, database_url: str) -> None:
    ids, later = submit_deals(database, 3), START + timedelta(days=800)
    with database.begin() as connection:
        redact(connection, ids[0], [INCOME], "asked", START, actor="privacy")
        record_notice(connection, "D-1", "approval", START + timedelta(hours=1), later, actor="los")
    seal_all(database, a_signer())
    with database.begin() as connection:
        assert purge(connection, later, actor="records") is not None
    summary = replayed(database, database_url)
    assert summary.verdicts == {Verdict.MATCH: 1, Verdict.NOT_REPLAYABLE: 2}
    assert summary.drifted == 0
    assert set(summary.reasons) == {
        "personal values that it rests on were erased",
        "it was purged when its time of retention was over",
    }


def test_an_erasure_that_nobody_gave_leave_for_is_input_drift(database: Engine, database_url: str) -> None:
    (decision,) = submit_deals(database, 1)
    altered(database, "dealgate_ledger_private", "DELETE FROM dealgate_ledger_private")
    assert the_drift(replayed(database, database_url, decision)).verdict is Verdict.INPUT_DRIFT


@pytest.mark.parametrize(
    ("old", "new", "way"),
    [('"125%"', '"150%"', "looser"), ("<= $3,000", "<= $1,000", "stricter"), ('"125%"', '"("', None)],
)
def test_a_policy_whose_text_was_altered_is_policy_drift(
    database: Engine, database_url: str, old: str, new: str, way: str | None
) -> None:
    with database.begin() as connection:
        decision = submit(connection, a_deal(products=[{"kind": "gap", "price": "2000.00"}]), now=START).decision_id
    policy_altered(database, old, new)
    one = the_drift(replayed(database, database_url, decision))
    assert (one.verdict, one.direction) == (Verdict.POLICY_DRIFT, way)
    assert "the stored text of sample 1" in one.why


@pytest.mark.parametrize(
    ("old", "new", "way"),
    [
        ("limit: 125%", "limit: 150%", "stricter"),
        ("<= $5,000", "<= $1,000", "looser"),
        ("Age of automobile", "Old automobile", "evidence only"),
    ],
)
def test_what_another_version_concluded_otherwise_is_engine_drift(
    database: Engine, database_url: str, old: str, new: str, way: str
) -> None:
    with database.begin() as connection:
        decision = decided_by_another_version(connection, a_deal(), old, new)
    one = the_drift(replayed(database, database_url, decision))
    assert (one.verdict, one.direction) == (Verdict.ENGINE_DRIFT, way)
    assert one.why == "it was made by dealgate 0.0.9, durable_rules 2.0.27"


def test_another_version_that_concluded_the_same_matches(database: Engine, database_url: str) -> None:
    with database.begin() as connection:
        decision = decided_by_another_version(connection, a_deal())
    assert replayed(database, database_url, decision).verdicts == {Verdict.MATCH: 1}


def failed(*_: object) -> dict[str, Result]:
    raise MemoryError("the engine gave up")


@pytest.mark.parametrize("engine", [lambda *_: {}, failed])
@pytest.mark.parametrize("deal", [a_deal(), CLEAN])
def test_a_doubted_decision_is_made_again_with_its_doubt(
    database: Engine,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    engine: Callable[..., dict[str, Result]],
    deal: dict[str, Any],
) -> None:
    doubted = CompiledPolicy(compiled().policy)
    monkeypatch.setattr(doubted.engine, "evaluate", engine)
    with database.begin() as connection:
        decision = submit(connection, deal, now=START, policy=doubted).decision_id
    assert replayed(database, database_url, decision).verdicts == {Verdict.MATCH: 1}
    report = verified(database, level="replay")
    assert report.flaws == []
    assert [one for one in report.remarks if "engine" in one] == [
        "1 decisions refer their deals as the rules engine failed or differed then: that it did, nothing shows today"
    ]


FORGED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "outcome": lambda decision: {"outcome": "pass"},
    "rule": lambda decision: {
        "findings": [one if one["rule"] != "LTV-TOTAL" else one | {"result": "pass"} for one in decision["findings"]]
    },
    "doubt": lambda decision: {"outcome": "pass", "findings": decision["findings"][:-1]},
    "severity": lambda decision: {
        "findings": [*decision["findings"][:-1], decision["findings"][-1] | {"severity": "flag"}]
    },
    "elsewhere": lambda decision: {"findings": [decision["findings"][-1], *decision["findings"][:-1]]},
}


@pytest.mark.parametrize("forged", FORGED)
def test_that_the_engine_is_said_to_have_failed_excuses_nothing(
    database: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch, forged: str
) -> None:
    """Written by the program's own door, by whoever may submit."""
    doubted, told = CompiledPolicy(compiled().policy), Decision.document
    monkeypatch.setattr(doubted.engine, "evaluate", lambda *_: {})
    with database.begin() as connection, monkeypatch.context() as patch:
        patch.setattr(Decision, "document", lambda decision: told(decision) | FORGED[forged](told(decision)))
        decision = submit(connection, a_deal(), now=START, policy=doubted).decision_id
    assert "replay" in {flaw.what for flaw in verified(database, level="replay").flaws}
    assert Verdict.MATCH not in replayed(database, database_url, decision).verdicts


def test_several_processes_find_the_same_as_one(
    database: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "CHUNK", MANY // 4)
    ids = submit_deals(database, MANY)
    for decision in (ids[7], ids[-1]):
        column_altered(database, decision)
    told = []
    with database.connect() as connection:
        numbers = decisions_between(connection, START)
    summary = replay_stored(database_url, numbers, processes=2, progress=lambda done, total: told.append((done, total)))
    assert summary.verdicts == {Verdict.MATCH: MANY - 2, Verdict.INPUT_DRIFT: 2}
    assert [one.decision_id for one in summary.told] == [ids[7], ids[-1]]
    assert told[-1] == (MANY, MANY)


def test_a_window_takes_what_was_recorded_from_since_on_and_before_until(database: Engine) -> None:
    submit_deals(database, 4)
    with database.connect() as connection:
        second = timedelta(seconds=1)
        assert len(decisions_between(connection, START + second, START + 3 * second)) == 2
        assert decisions_between(connection, START + 4 * second) == []


def test_the_command_names_the_drift_as_the_verification_of_the_ledger_does(
    database: Engine, database_url: str
) -> None:
    ids = submit_deals(database, 3)
    column_altered(database, ids[2])
    result = invoke("audit", "replay", "--since", "2026-11-01T00:00:00Z", "--db", database_url)
    assert result.exit_code == 1
    assert f"input drift  deal D-2  decision {ids[2]}" in result.stdout
    assert "1 of 3 decisions drifted." in result.stdout
    assert [flaw.where for flaw in verified(database).flaws if flaw.what == "projection"] == [
        f"cash_price_cents of the submission of entry {ids[2]}"
    ]
    named = json.loads(invoke("audit", "replay", ids[2], "--json", "--db", database_url).stdout)
    assert [one["decision_id"] for one in named["drifted"]] == [ids[2]]
    clean = invoke("audit", "replay", *ids[:2], "--db", database_url)
    assert (clean.exit_code, "Every decision that was made again matches." in clean.stdout) == (0, True)


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_drift_shows_a_reader_no_more_than_they_may_read(
    database: Engine, database_url: str, as_json: list[str]
) -> None:
    """Without a word the reader is one from outside: where it drifted and what it came to, no number and no sentence on the income."""
    (decision,) = submit_deals(database, 1)
    income_altered(database, decision, "1200.00")
    envelope_altered(database, decision, b'"actor":null', b'"actor":"e.miller"')
    words = ["140.43", "540.43", "1,200.00", "e.miller"]

    def told(*reader: str) -> list[str]:
        output = invoke("audit", "replay", decision, *reader, *as_json, "--db", database_url).stdout
        assert "input drift" in output
        assert "/findings/PTI/explanation" in output
        return [word for word in words if word in output]

    assert told("--reader", "compliance") == words
    assert told() == told("--reader", "outside") == []


def test_every_place_that_differs_is_told_and_what_is_open_is_shown(database: Engine, database_url: str) -> None:
    (decision,) = submit_deals(database, 1)
    income_altered(database, decision, "1200.00")
    with database.connect() as connection:
        numbers = find_decisions(connection, [decision])
    outside, all_of_it = (
        the_drift(replay_stored(database_url, numbers, reader=reader)) for reader in ("outside", "compliance")
    )
    assert [one.where for one in outside.differences] == [one.where for one in all_of_it.differences]
    shown = {one.where for one in outside.differences if one in all_of_it.differences}
    assert {"/findings/DTI/severity", "/findings/DTI/result"} <= shown
    assert not [where for where in shown if where.endswith(("/value", "/explanation", "/margin", "/evidence"))]
    assert "not shown" not in str(all_of_it)
    assert any(one.where == "/findings/DTI/explanation" for one in all_of_it.differences)


def test_a_reader_whom_nobody_knows_is_refused(database: Engine, database_url: str) -> None:
    result = invoke("audit", "replay", "x", "--reader", "boss", "--db", database_url)
    assert (result.exit_code, "reader: 'boss': use compliance, analyst, outside" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give either the ids of decisions, or --since"),
        (["x", "--since", "2026-11-01T00:00:00Z"], "give either the ids of decisions, or --since"),
        (["x", "--until", "2026-11-01T00:00:00Z"], "--until goes with --since"),
        (["nobody"], "no decision has the id 'nobody'"),
        (["--since", "2026-11-01"], "is no moment with a time zone"),
        (["--since", "2026-11-02T00:00:00Z", "--until", "2026-11-01T00:00:00Z"], "is not after --since"),
    ],
)
def test_bad_input_is_refused_by_name(database_url: str, arguments: list[str], words: str) -> None:
    result = invoke("audit", "replay", *arguments, "--db", database_url)
    assert (result.exit_code, words in result.stderr) == (2, True)
