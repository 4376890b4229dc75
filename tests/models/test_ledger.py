"""The ledger: an entry for each thing that happened, byte for byte as it was hashed, chained deal by deal."""

import hashlib
import json
import re
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, select, text

from dealgate import Deal
from dealgate.models import (
    Base,
    Entry,
    LedgerEntry,
    LedgerPrivate,
    UnknownDealError,
    find_decision,
    find_submission,
    record_policy,
    record_submissions,
)
from dealgate.models.canonical import CanonicalError
from dealgate.models.envelope import Draft
from dealgate.models.ledger import append
from dealgate.models.merkle import leaf_hash
from tests.models.erasing import ALL, erase
from tests.models.samples import CLEAN, MINIMAL, NOW, POLICY, a_deal, a_policy, compiled, submit
from tests.models.sound import assert_chained, assert_projected, assert_sound, entries, head
from tests.rules.random_deals import DEALS

DEAL_ID = a_deal()["deal_id"]


def test_an_entry_is_stored_byte_for_byte_as_it_was_hashed(database: Engine) -> None:
    with database.begin() as connection:
        recorded = submit(connection, a_deal(), actor="los", key="K-1")
        (row,) = entries(connection, LedgerEntry.entry_id == recorded.decision_id)
        assert recorded.receipt == (recorded.decision_id, row.leaf_hash, row.id, 1)
        assert (row.kind, row.deal_id, row.deal_seq, row.idempotency_key) == ("decision", DEAL_ID, 1, "K-1")
        assert (row.actor, row.recorded_at, row.effective_at) == ("los", NOW, NOW)
        assert row.policy_sha256 == compiled().policy.sha256
        assert_sound(connection)


@pytest.mark.parametrize(
    "words", ["x" * 201, "los\0", "los\n", "\ud800", 5, True, ["los"]], ids=lambda one: ascii(one)[:9]
)
@pytest.mark.parametrize("name", ["actor", "idempotency_key"])
def test_words_that_not_every_database_gives_back_are_refused_before_a_place_is_taken(
    database: Engine, name: str, words: Any
) -> None:
    refused = pytest.raises(ValueError, match=f"{name} is .*: give a text of at most 200 characters")
    with database.begin() as connection:
        submit(connection, a_deal())
        with refused:
            submit(connection, a_deal(), **{"actor" if name == "actor" else "key": words})
        with refused:
            append(connection, Draft(str(uuid4()), "note", {}, deal_id=DEAL_ID, **{name: words}), NOW)
        assert submit(connection, a_deal(), actor="\N{IDEOGRAPHIC SPACE}" * 200).receipt.deal_seq == 2
        assert_sound(connection)


def test_content_that_cannot_be_written_is_refused_before_a_place_is_taken(database: Engine) -> None:
    with database.begin() as connection:
        submit(connection, a_deal())
        with pytest.raises(CanonicalError, match=r"/note: .* holds half a character"):
            append(connection, Draft(str(uuid4()), "note", {"note": "\ud83d"}, deal_id=DEAL_ID), NOW)
        assert_sound(connection)


def test_a_policy_version_is_an_entry_of_its_own_that_is_about_no_deal(database: Engine) -> None:
    policy = a_policy()
    with database.begin() as connection:
        for day in range(2):
            record_policy(connection, policy, POLICY, NOW + timedelta(days=day))
        record_policy(connection, a_policy(version='"2"'), POLICY, NOW)
        first, second = entries(connection)
    document = json.loads(first.envelope)
    assert document["policy"] == {
        "name": "sample",
        "version": "1",
        "sha256": policy.sha256,
        "document_sha256": hashlib.sha256(POLICY.encode()).hexdigest(),
    }
    assert (first.kind, first.deal_id, first.deal_seq, first.policy_sha256) == (
        "policy_publication",
        None,
        None,
        policy.sha256,
    )
    assert (document["previous"], document["private"]) == (None, [])
    assert UUID(first.entry_id) != UUID(second.entry_id)
    assert json.loads(second.envelope)["policy"]["version"] == "2"


def test_every_entry_waits_for_the_seal_from_the_moment_it_is_appended(database: Engine) -> None:
    with database.begin() as connection:
        submit(connection, a_deal())
        submit(connection, CLEAN)
        waiting = connection.execute(text("SELECT entry FROM dealgate_ledger_pending")).scalars().all()
        assert sorted(waiting) == [row.id for row in entries(connection)]
        assert len(waiting) == 3


def test_the_entries_of_a_deal_are_chained_whatever_happens_to_other_deals_between(database: Engine) -> None:
    with database.begin() as connection:
        for number in range(4):
            submit(connection, a_deal(cash_down=f"{number}.00"))
            submit(connection, CLEAN)
            append(connection, Draft(str(uuid4()), "override", {"by": "desk"}, deal_id=DEAL_ID), NOW)
        submit(connection, MINIMAL)
        assert_sound(connection)
        assert head(connection, DEAL_ID)[0] == 8
        assert head(connection, "D-CLEAN")[0] == 4
        assert head(connection, "D-MINIMAL")[0] == 1


def test_a_batch_with_the_same_deal_several_times_is_chained_in_its_order(database: Engine) -> None:
    documents = [a_deal(), CLEAN, a_deal(cash_down="1.00"), MINIMAL, a_deal(cash_down="2.00"), CLEAN]
    deals = [Deal.read(document) for document in documents]
    with database.begin() as connection:
        submit(connection, a_deal())
        batch = [Entry(deal, compiled().evaluate(deal), str(uuid4())) for deal in deals]
        recorded = record_submissions(connection, batch, now=NOW)
        assert [one.decision_id for one in recorded] == [entry.decision_id for entry in batch]
        chain = entries(connection, LedgerEntry.deal_id == DEAL_ID)
        assert [row.entry_id for row in chain[1:]] == [recorded[index].decision_id for index in (0, 2, 4)]
        assert [one.receipt.leaf_hash for one in recorded] == [
            next(row.leaf_hash for row in entries(connection, LedgerEntry.entry_id == one.decision_id))
            for one in recorded
        ]
        assert_sound(connection)


def test_what_is_rolled_back_leaves_the_chain_where_it_was(database: Engine) -> None:
    with database.begin() as connection:
        submit(connection, a_deal())
    for _ in range(2):
        with database.connect() as connection:
            submit(connection, a_deal(), key="K-1")
            submit(connection, a_deal())
    with database.begin() as connection:
        submit(connection, a_deal(), key="K-1")
        assert_sound(connection)
        assert head(connection, DEAL_ID)[0] == 2


def test_an_entry_about_a_deal_that_was_never_submitted_is_refused(database: Engine) -> None:
    with database.connect() as connection, pytest.raises(UnknownDealError, match="no deal 'D-NOBODY' was submitted"):
        append(connection, Draft(str(uuid4()), "override", {}, deal_id="D-NOBODY"), NOW)


def test_an_erasure_leaves_hashes_chain_and_columns_as_they_were(database: Engine) -> None:
    with database.begin() as connection:
        recorded = [submit(connection, a_deal(cash_down=f"{number}.00")) for number in range(3)]
        before = entries(connection, LedgerEntry.kind == "decision")
        erase(connection, recorded[0].decision_id, ALL)
        erase(connection, recorded[1].decision_id, "/deal/applicant/monthly_income")
        assert entries(connection, LedgerEntry.kind == "decision") == before
        assert_chained(connection)
        assert_projected(connection)
        for row in before:
            assert leaf_hash(row.envelope) == row.leaf_hash
        left = find_submission(connection, recorded[1].decision_id)
        assert left is not None
        assert "monthly_income" not in left["applicant"]
        assert left["applicant"]["monthly_debt"] == "1150.00"
        assert find_submission(connection, recorded[2].decision_id) == a_deal(cash_down="2.00")
        assert find_decision(connection, recorded[2].decision_id) == recorded[2].decision


INCOMES = ("6173.91", "8765.43")
DEBT, SCORE, VIN, LIENHOLDER, NOTE = "1357.23", 777, "5YJSA1E26MF168123", "Zzyzx Bank", "kept in the blue notebook"
PERSONAL = re.compile(
    r"6173\.?91|6,173\.91|8765\.?43|8,765\.43|1357\.?23|1,357\.23|(?<![\w.])777(?![\w.])|5YJSA1E26MF168123|Zzyzx|notebook"
)
RANDOM = re.compile(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
"""Hashes and ids as text: any three digits stand somewhere in them."""


def personal_deal(number: int) -> dict[str, Any]:
    document = a_deal(deal_id=f"D-{number}", applicant__monthly_income=INCOMES[number % 2], vehicle__vin=VIN)
    document["applicant"] |= {"monthly_debt": DEBT, "credit_score": SCORE}
    document["trade_ins"][0]["lienholder"] = LIENHOLDER
    document["metadata"] = {"desk": [NOTE, SCORE]}
    return document


def cells(connection: Connection, table: str) -> str:
    """A table as text, cell for cell, bytes as the text they hold."""
    rows = connection.execute(Base.metadata.tables[table].select())
    decoded = (cell.decode("latin-1") if isinstance(cell, bytes) else str(cell) for row in rows for cell in row)
    return RANDOM.sub("", "\n".join(decoded))


def test_personal_values_stand_in_the_table_of_private_values_and_nowhere_else(database: Engine) -> None:
    with database.begin() as connection:
        recorded = [submit(connection, personal_deal(number), key=f"K-{number}", actor="los") for number in range(2)]
        for number, one in enumerate(recorded):
            assert find_submission(connection, one.decision_id) == personal_deal(number)
            assert find_decision(connection, one.decision_id) == one.decision
        told = {table: set(PERSONAL.findall(cells(connection, table))) for table in Base.metadata.tables}
        private = told.pop("dealgate_ledger_private")
    assert {table: found for table, found in told.items() if found} == {}
    assert private >= {*INCOMES, DEBT, str(SCORE), VIN, "Zzyzx", "notebook"}


def test_personal_values_that_were_erased_stand_nowhere(database: Engine) -> None:
    with database.begin() as connection:
        for number in range(2):
            erase(connection, submit(connection, personal_deal(number)).decision_id, ALL)
        assert connection.execute(select(LedgerPrivate)).all() == []
        assert [table for table in Base.metadata.tables if PERSONAL.search(cells(connection, table))] == []


def a_random_deal(random: Random) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "deal_id": f"D-{random.randrange(4)}",
        "cash_down": f"{random.randrange(9000)}.{random.randrange(100):02d}",
        "applicant__monthly_income": random.choice([None, "0.00", "2000.01", "9000.00"]),
        "applicant__tier": random.choice([None, "A", "D"]),
        "vehicle__vin": random.choice([None, VIN]),
        "vehicle__model_year": random.choice([None, 2019, 2026]),
        "products": a_deal()["products"][: random.randrange(3)],
        "trade_ins": a_deal()["trade_ins"][: random.randrange(3)],
        "metadata": random.choice([None, {"commit": "x"}, {"n": 1.5, "\U0001f600": [2**53 - 1, None]}]),
        "term_months": random.choice([12, 72, 84]),
    }
    return a_deal(**changes)


@pytest.mark.parametrize("seed", range(3))
def test_any_history_is_chained_hashed_and_projected_from_its_envelopes(database: Engine, seed: int) -> None:
    random = Random(seed)
    decisions = []
    for _ in range(8):
        with database.connect() as connection:
            made = [submit(connection, a_random_deal(random), key=random.choice([None, str(uuid4())]))]
            deals = [Deal.read(a_random_deal(random)) for _ in range(random.randrange(4))]
            batch = [Entry(deal, compiled().evaluate(deal), str(uuid4())) for deal in deals]
            made += record_submissions(connection, batch, now=NOW, actor="desk") if batch else []
            if random.random() < 0.7:
                connection.commit()
                decisions += made
    with database.connect() as connection:
        assert_sound(connection)
        for one in decisions:
            assert find_decision(connection, one.decision_id) == one.decision
        assert len(entries(connection, LedgerEntry.kind == "decision")) == len(decisions)


@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(documents=st.lists(DEALS, min_size=1, max_size=3))
def test_any_deals_are_chained_hashed_and_projected_from_their_envelopes(
    database: Engine, documents: list[dict[str, Any]]
) -> None:
    with database.connect() as connection:  # nothing is committed, so each example begins with nothing
        made = [submit(connection, document) for document in documents]
        assert_sound(connection)
        for one, document in zip(made, documents, strict=True):
            assert find_decision(connection, one.decision_id) == one.decision
            found = find_submission(connection, one.decision_id)
            assert Deal.read(found).document() == Deal.read(document).document()
