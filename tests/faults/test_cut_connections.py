"""T5: the connection to PostgreSQL is cut after any byte of a submission, either way, and the deal is decided once."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import Connection, Engine, event, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dealgate import Gate
from dealgate.adapters import transactions
from dealgate.adapters.database import READS_ONLY, open_database
from dealgate.adapters.gate import Verdict
from dealgate.models.erasure import record_notice
from dealgate.models.signing import Ed25519Signer, new_key
from tests.adapters.commands import invoke
from tests.databases import PostgreSQL
from tests.faults.efforts import efforts
from tests.faults.proxies import Way, Wire, wire
from tests.hosts import book, kept_together, make_tables
from tests.models.ledgers import a_signer, seal_all, verified
from tests.models.samples import MINIMAL, a_deal, a_policy, submit

DECISIONS = text(
    "SELECT count(*), count(DISTINCT idempotency_key) FROM dealgate_ledger_entry WHERE idempotency_key IS NOT NULL"
)


@pytest.fixture
def database_url(postgresql: PostgreSQL) -> Iterator[str]:
    url = postgresql.ready()
    yield url
    postgresql.give_back(url)


@pytest.fixture
def cable(database_url: str) -> Iterator[Wire]:
    folder = make_url(database_url).query["host"]
    with wire(f"{folder}/.s.PGSQL.5432") as made:
        yield made


@pytest.fixture
def far(database_url: str, cable: Wire) -> Iterator[Engine]:
    """The database, at the other end of the wire."""
    there = make_url(database_url).difference_update_query(["host"]).set(host="127.0.0.1", port=cable.port)
    engine = open_database(
        there.update_query_dict({"sslmode": "disable", "gssencmode": "disable"}).render_as_string(hide_password=False)
    )
    yield engine
    engine.dispose()


def length(cable: Wire, gate: Gate, number: int) -> dict[str, int]:
    """Bytes of one submission each way, on a connection that stood idle."""
    cable.count()
    gate.submit(MINIMAL | {"deal_id": "D-1"}, idempotency_key=f"COUNTED-{number}")
    return dict(cable.passed)


def cuts(lengths: dict[str, int], effort: int | None, chance: Random) -> list[tuple[Way, int]]:
    every: list[tuple[Way, int]] = [("up", at) for at in range(lengths["up"])]
    every += [("down", at) for at in range(lengths["down"])]
    return every if effort is None else chance.sample(every, effort)


@efforts(15, None)
def test_a_connection_cut_at_any_byte_of_a_submission_leaves_one_decision(
    database_url: str,
    cable: Wire,
    far: Engine,
    effort: int | None,
    chance: Random,
    figures: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transactions, "FIRST_PAUSE", 0.002)
    gate, near = Gate(far, a_policy()), open_database(database_url)
    lengths = [length(cable, gate, number) for number in range(3)]
    tried = cuts(lengths[-1], effort, chance)
    unknown = cut = 0
    for number, (way, after) in enumerate(tried):
        cable.cut(way, after)
        verdict = gate.submit(MINIMAL | {"deal_id": f"D-{number % 3}"}, idempotency_key=f"K-{number}")
        cut += cable.was_cut
        unknown += verdict.replayed
    with near.connect() as connection:
        assert tuple(connection.execute(DECISIONS).one()) == (len(tried) + len(lengths),) * 2
    assert cut >= 0.9 * len(tried)
    signer = a_signer()
    seal_all(near, signer)
    assert verified(near, signer.key).flaws == []
    near.dispose()
    figures(
        f"{lengths[-1]} bytes; {cut} cuts, each left one decision; {unknown} had been committed before the caller knew"
    )


def booked(database: Engine, gate: Gate, number: int) -> Verdict:
    with Session(database) as session, session.begin():
        return book(session, gate, f"D-{number % 3}", f"K-{number}")


@efforts(8, 1_000)
def test_a_connection_cut_at_any_byte_of_a_hosts_transaction_leaves_all_of_it_or_nothing(
    database_url: str, cable: Wire, far: Engine, effort: int, chance: Random, figures: Callable[[str], None]
) -> None:
    """The caller is told, does not know whether it was committed, and finds out by the same key."""
    gate, near = Gate(policy=a_policy()), open_database(database_url)
    make_tables(near)
    for number in range(-4, 0):
        cable.count()
        booked(far, gate, number)
    tried = cuts(dict(cable.passed), effort, chance)
    told = 0
    for number, (way, after) in enumerate(tried):
        cable.cut(way, after)
        try:
            booked(far, gate, number)
        except DBAPIError:
            told += 1
            booked(far, gate, number)
    assert told >= 0.8 * len(tried)
    assert kept_together(near) == {f"K-{number}" for number in range(-4, len(tried))}
    near.dispose()
    figures(f"{told} of {len(tried)} cuts told; 0 halves")


COMMIT: dict[Way, int] = {"up": 12, "down": 18}
"""Bytes of a COMMIT, and of the answer to it."""


@efforts(8, None)
def test_a_connection_cut_at_any_byte_of_a_hosts_commit_leaves_all_of_it_or_nothing(
    database_url: str, cable: Wire, far: Engine, effort: int | None, chance: Random, figures: Callable[[str], None]
) -> None:
    gate, near = Gate(policy=a_policy()), open_database(database_url)
    make_tables(near)
    every: list[tuple[Way, int]] = [(way, after) for way in COMMIT for after in range(COMMIT[way])]
    tried = every if effort is None else chance.sample(every, effort)
    unknown = 0
    for number, (way, after) in enumerate(tried):
        event.listen(far, "commit", lambda _, way=way, after=after: cable.cut(way, after), once=True)
        with pytest.raises(DBAPIError):
            booked(far, gate, number)
        replayed = booked(far, gate, number).replayed
        assert replayed is (way == "down")
        unknown += replayed
    assert kept_together(near) == {f"K-{number}" for number in range(len(tried))}
    near.dispose()
    figures(f"{len(tried)} cuts told, {unknown} of which had been committed; 0 halves")


@pytest.fixture
def lost_answer(far: Engine, cable: Wire) -> Iterator[str]:
    """The URL at the other end of the wire, which is cut before the answer to the first COMMIT that records anything."""

    cuts: Iterator[tuple[Way, int]] = iter([("down", 0)])

    def cut(connection: Connection) -> None:
        if not connection.get_execution_options().get(READS_ONLY):
            for one in cuts:
                cable.cut(*one)

    event.listen(Engine, "commit", cut)
    yield far.url.render_as_string(hide_password=False)
    event.remove(Engine, "commit", cut)


OLD = datetime(2020, 1, 1, tzinfo=UTC)
RECORDED = text(
    "SELECT kind FROM dealgate_ledger_entry WHERE kind NOT IN ('policy_publication', 'decision') ORDER BY id"
)
SAID = {
    "notice": ("notice D-1 --kind approval --actor a", "recorded by entry"),
    "legal_hold": ("hold D-1 --reason r --actor a", "recorded by entry"),
    "redaction": ("redact {decision} /deal/vehicle/vin --reason r --actor a", "erased 1 values"),
    "retention_purge": ("purge --actor a --yes", "purged 1 deals"),
    "restore": ("restored --reason r --actor a", "lender.example/ledger/2\n"),
    "key_rotation": ("rotate-key --new-key {new}", "lender.example/ledger\n"),
}


@pytest.mark.parametrize("kind", SAID)
def test_a_command_whose_commit_is_not_answered_records_once_and_says_what_it_did(
    database_url: str, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    keys = {name: new_key("lender.example/ledger").private for name in ("old", "new")}
    (tmp_path / "new").write_text(keys["new"])
    near = open_database(database_url)
    with near.begin() as connection:
        decision = submit(connection, a_deal(deal_id="D-1"), now=OLD).decision_id
        record_notice(connection, "D-1", "approval", OLD, OLD, actor="a")
    seal_all(near, Ed25519Signer.parse(keys["old"]), OLD)
    with near.connect() as connection:
        before = connection.execute(RECORDED).scalars().all()
    words, said = SAID[kind]
    url = request.getfixturevalue("lost_answer")
    command = words.format(decision=decision, new=tmp_path / "new").split()
    told = invoke("ledger", *command, "--db", url, DEALGATE_LEDGER_KEY=keys["old"])
    assert told.exit_code == 0, told.output
    assert told.stdout.startswith(said)
    with near.connect() as connection:
        assert connection.execute(RECORDED).scalars().all() == [*before, kind]
    near.dispose()


def test_a_commit_that_the_server_is_still_at_is_neither_taken_for_lost_nor_for_kept(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standby that the server waits for may keep it there for long."""
    monkeypatch.setattr(transactions, "FIRST_PAUSE", 0.001)
    near = open_database(database_url)

    def became(end: Callable[[Connection], None]) -> bool:
        with near.connect() as first, near.connect() as second:
            this = first.execute(transactions.THIS).one()
            end(first)
            return transactions._was_committed(second, this)

    assert became(Connection.commit)
    assert not became(Connection.rollback)
    with pytest.raises(transactions.UnansweredError, match="the server is still at it"):
        became(lambda _: None)
    another = text("SELECT CAST(pg_current_xact_id() AS text) AS number, clock_timestamp() AS since")
    monkeypatch.setattr(transactions, "THIS", another)
    with pytest.raises(transactions.UnansweredError, match="the server was started since"):
        became(Connection.commit)
    near.dispose()
