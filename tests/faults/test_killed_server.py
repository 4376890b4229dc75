"""T10: all processes of a PostgreSQL server that syncs are killed under load. What it had acknowledged is there when it is back."""

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from sqlalchemy import text

from dealgate.adapters.database import open_database
from dealgate.models.signing import Ed25519Signer, new_key
from tests.faults.clusters import Cluster
from tests.faults.efforts import efforts
from tests.faults.teams import team
from tests.models.ledgers import NAME, seal_all, verified

KEYS = text("SELECT idempotency_key FROM dealgate_ledger_entry WHERE idempotency_key IS NOT NULL")


@efforts(1, 6)
def test_what_a_killed_server_acknowledged_is_there_when_it_is_back(
    tmp_path: Path, effort: int, chance: Random, figures: Callable[[str], None]
) -> None:
    key = tmp_path / "key"
    key.write_text(new_key(NAME).private)
    signer, acknowledged = Ed25519Signer.from_file(key), list[str]()
    with Cluster.started() as cluster:
        database = open_database(url := cluster.new_database())
        for number in range(effort):
            with team(url, tmp_path / str(number), key, *["writer"] * 4, "sealer") as at_work:
                at_work.wait_for(8)
                time.sleep(chance.uniform(0.0, 1.0))
                cluster.kill()
                at_work.kill_all()
            acknowledged += at_work.acknowledged()
            cluster.start()
            database.dispose()
            with database.connect() as connection:
                kept = list(connection.execute(KEYS).scalars())
            assert len(kept) == len(set(kept))
            assert set(acknowledged) <= set(kept)
            assert verified(database, signer.key).flaws == []
        seal_all(database, signer)
        report = verified(database, signer.key)
        assert report.flaws == []
        assert report.sealed == report.entries
        database.dispose()
    figures(f"killed {effort} times: {len(acknowledged)} acknowledged, 0 lost; {report.sealed} entries verified")
