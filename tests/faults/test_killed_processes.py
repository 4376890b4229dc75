"""T3: writers and sealers are killed with SIGKILL; what was acknowledged is there, once, and is sealed once."""

import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import Engine, text

from dealgate.models.signing import Ed25519Signer, new_key
from tests.faults.efforts import efforts
from tests.faults.teams import Team, team
from tests.models.ledgers import NAME, seal_all, verified

KEYS = text("SELECT idempotency_key FROM dealgate_ledger_entry WHERE idempotency_key IS NOT NULL")
UNSEALED = text("SELECT count(*) FROM dealgate_ledger_entry WHERE id NOT IN (SELECT entry FROM dealgate_ledger_leaf)")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text(new_key(NAME).private)
    return file


def stored_keys(database: Engine) -> list[str]:
    with database.connect() as connection:
        return list(connection.execute(KEYS).scalars())


def kill_one_by_one(at_work: Team, chance: Random) -> None:
    """A sealer first, while the others go on; in the end nobody is left."""
    killed = [*at_work.processes("sealer")[:1], *at_work.processes("writer")]
    for process in killed:
        time.sleep(chance.uniform(0.0, 0.2))
        at_work.kill(process)


@efforts(1, 15)
def test_what_was_acknowledged_survives_the_death_of_writers_and_sealers(
    database: Engine,
    database_url: str,
    key: Path,
    tmp_path: Path,
    effort: int,
    chance: Random,
    figures: Callable[[str], None],
) -> None:
    acknowledged = list[str]()
    for number in range(effort):
        roles = ("writer", "writer", "writer", "sealer", "sealer")
        with team(database_url, tmp_path / str(number), key, *roles) as at_work:
            at_work.wait_for(6)
            kill_one_by_one(at_work, chance)
        assert at_work.errors() == []
        acknowledged += at_work.acknowledged()

    kept = stored_keys(database)
    assert len(kept) == len(set(kept))
    assert set(acknowledged) <= set(kept)
    signer = Ed25519Signer.from_file(key)
    seal_all(database, signer)
    with database.connect() as connection:
        assert connection.execute(UNSEALED).scalar() == 0
    report = verified(database, signer.key)
    assert report.flaws == []
    assert report.sealed == report.entries
    figures(
        f"{len(acknowledged)} acknowledged, 0 lost, {len(kept) - len(acknowledged)} stored and not acknowledged; "
        f"{report.sealed} entries under {report.checkpoints} checkpoints, 0 skipped"
    )
