"""T9: the clock jumps back an hour and on a day. Nothing depends on it: order is that of the chains and of the tree."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from random import Random

from sqlalchemy import Engine, text

from dealgate.adapters.sealer import Sealer
from tests.faults.efforts import efforts
from tests.models.ledgers import START, a_signer, seal_all, verified
from tests.models.samples import a_deal, submit

IN_ORDER = text(
    "SELECT e.deal_id, e.deal_seq, e.recorded_at FROM dealgate_ledger_entry e "
    "JOIN dealgate_ledger_leaf l ON l.entry = e.id ORDER BY l.leaf_index"
)


@efforts(12, 300)
def test_a_clock_that_jumps_changes_no_order(
    database: Engine, effort: int, chance: Random, figures: Callable[[str], None]
) -> None:
    now, signer = START, a_signer()
    for number in range(effort):
        now += chance.choice([timedelta(seconds=1), timedelta(hours=-1), timedelta(days=1)])
        with database.begin() as connection:
            submit(connection, a_deal(deal_id=f"D-{number % 3}"), now=now)
        if number % 4 == 3:
            seal_all(database, signer, now - timedelta(minutes=5))
    seal_all(database, signer, START - timedelta(days=400))

    assert verified(database, signer.key).flaws == []
    with database.connect() as connection:
        rows = connection.execute(IN_ORDER).all()
    inversions = sum(one.recorded_at > other.recorded_at for one, other in pairwise(rows))
    assert inversions > 0
    for deal in {row.deal_id for row in rows} - {None}:
        chain = [row.deal_seq for row in rows if row.deal_id == deal]
        assert chain == list(range(1, len(chain) + 1))
    figures(f"{inversions} of {len(rows)} leaves were recorded before the leaf in front of them; verified, in order")


def test_the_sealer_goes_on_whatever_the_clock_says(database: Engine) -> None:
    """Its own clock is the machine's; entries from the future wait no longer than others."""
    signer = a_signer()
    with database.begin() as connection:
        submit(connection, a_deal(), now=START + timedelta(days=4_000))
    sealed = Sealer(database, signer).seal()
    assert sealed is not None
    assert verified(database, signer.key).sealed == sealed.checkpoint.size
