"""The service, its database or its sealer is killed under load: what was acknowledged is there whole, the rest whole or absent."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Engine, text

from dealgate.adapters.database import open_database
from dealgate.models import find_decision
from dealgate.models.signing import Ed25519Signer, new_key
from tests.faults.callers import Callers
from tests.faults.clusters import Cluster
from tests.faults.efforts import efforts
from tests.faults.services import ServiceProcess, a_credential, services
from tests.models.ledgers import NAME, seal_all, verified

KEYS = text("SELECT idempotency_key, entry_id FROM dealgate_ledger_entry WHERE kind = 'decision'")
WHOLE = text(
    "SELECT e.idempotency_key FROM dealgate_ledger_entry e JOIN dealgate_decision d ON d.decision_id = e.entry_id "
    "JOIN dealgate_submission s ON s.id = d.submission_id "
    "WHERE e.kind = 'decision' AND EXISTS (SELECT 1 FROM dealgate_finding f WHERE f.decision = d.id) "
    "AND EXISTS (SELECT 1 FROM dealgate_ledger_body b WHERE b.entry = e.id)"
)


def check_kept(database: Engine, callers: Callers, signer: Ed25519Signer) -> int:
    """Every acknowledged submission is there as it was answered, and nothing is there by halves; returns how many there are."""
    with database.connect() as connection:
        kept = {row.idempotency_key: row.entry_id for row in connection.execute(KEYS)}
        whole = set(connection.execute(WHOLE).scalars())
        assert set(kept) == whole
        assert set(callers.acknowledged) <= set(kept) <= callers.asked
        for key, answer in callers.acknowledged.items():
            assert answer["decision_id"] == kept[key]
            assert as_answered(find_decision(connection, kept[key]) or {}) == as_answered(answer)
    assert callers.odd == []
    seal_all(database, signer)
    report = verified(database, signer.key)
    assert report.flaws == []
    assert report.sealed == report.entries
    return len(kept)


def as_answered(decision: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in decision.items() if name not in {"receipt", "replayed"}}


@efforts(2, 100)
def test_what_a_killed_service_acknowledged_is_kept(
    database: Engine, database_url: str, effort: int, chance: Random, figures: Callable[[str], None]
) -> None:
    signer = Ed25519Signer.parse(new_key(NAME).private)
    with services(database_url) as [service]:
        callers = Callers([service.address], a_credential(database_url))
        with callers.calling():
            for number in range(effort):
                callers.wait_for(5 * (number + 1), service.alive)
                time.sleep(chance.uniform(0.0, 0.1))
                service.kill()
                service.start()
            callers.wait_for(len(callers.acknowledged) + 5, service.alive)
    kept = check_kept(database, callers, signer)
    figures(
        f"{database.dialect.name}: killed {effort} times, {len(callers.acknowledged)} acknowledged, {kept} kept, 0 lost"
    )


@efforts(1, 10)
def test_what_was_acknowledged_before_the_database_server_was_killed_is_kept(
    effort: int, chance: Random, figures: Callable[[str], None]
) -> None:
    signer = Ed25519Signer.parse(new_key(NAME).private)
    with Cluster.started() as cluster:
        url = cluster.new_database()
        with services(url) as [service]:
            callers = Callers([service.address], a_credential(url))
            with callers.calling():
                for number in range(effort):
                    callers.wait_for(8 * (number + 1), service.alive)
                    time.sleep(chance.uniform(0.0, 0.3))
                    cluster.kill()
                    cluster.start()
                callers.wait_for(len(callers.acknowledged) + 8, service.alive)
        database = open_database(url)
        kept = check_kept(database, callers, signer)
        database.dispose()
    figures(f"server killed {effort} times, {len(callers.acknowledged)} acknowledged, {kept} kept, 0 lost")


@efforts(2.0, 10.0)
def test_while_the_database_is_gone_nobody_passes_and_the_service_recovers_by_itself(
    effort: float, figures: Callable[[str], None]
) -> None:
    with Cluster.started() as cluster, services(url := cluster.new_database()) as [service]:
        callers = Callers([service.address], a_credential(url), gives_up=False)
        with callers.calling():
            callers.wait_for(8, service.alive)
            cluster.kill()
            time.sleep(0.5)  # answers that were on their way
            before = len(callers.acknowledged)
            assert service.answers("/healthz")
            assert not service.answers("/readyz")
            time.sleep(effort)
            assert len(callers.acknowledged) == before
            refused = callers.refused["503"]
            assert refused
            cluster.start()
            began = time.monotonic()
            callers.wait_for(before + 8, service.alive)
            recovered = time.monotonic() - began
            assert service.answers("/readyz")
        assert callers.odd == []
        assert set(callers.refused) == {"503"}
        assert service.stop() == 0
    figures(
        f"gone for {effort:g} s: {refused} times 503, none passed; 8 more acknowledged {recovered:.1f} s after it was back"
    )


@efforts(1, 40)
def test_of_two_services_and_a_sealer_each_entry_is_sealed_once_whoever_is_killed(
    database: Engine, database_url: str, tmp_path: Path, effort: int, chance: Random, figures: Callable[[str], None]
) -> None:
    file = tmp_path / "key"
    file.write_text(new_key(NAME).private)
    signer = Ed25519Signer.from_file(file)
    with services(database_url, 2, ledger_key=str(file)) as both:
        callers = Callers([one.address for one in both], a_credential(database_url))
        with callers.calling():
            for number in range(effort):
                callers.wait_for(5 * (number + 1))
                doomed: ServiceProcess = chance.choice(both)
                time.sleep(chance.uniform(0.0, 1.0))
                doomed.kill()
                doomed.start()
            callers.wait_for(len(callers.acknowledged) + 5)
        assert [one.stop() for one in both] == [0, 0]
    with database.connect() as connection:
        leaves, entries = connection.execute(
            text("SELECT (SELECT count(*) FROM dealgate_ledger_leaf), (SELECT count(*) FROM dealgate_ledger_entry)")
        ).one()
    assert leaves == entries, "who was told to stop sealed what waited"
    kept = check_kept(database, callers, signer)
    figures(f"{database.dialect.name}: killed {effort} times, {kept} decisions, each sealed once")
