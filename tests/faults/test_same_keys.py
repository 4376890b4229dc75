"""T6: sixteen threads submit two busy deals under the same keys; each key leads to one decision, whoever came first."""

from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Barrier

from sqlalchemy import Engine

from dealgate import Gate
from tests.databases import count_rows
from tests.faults.efforts import efforts
from tests.models.ledgers import a_signer, seal_all, verified
from tests.models.samples import a_deal, a_policy

THREADS = 16
DEALS = 2


@efforts(6, 25)
def test_equal_keys_of_many_threads_come_to_one_decision_each(
    database: Engine, effort: int, chance: Random, figures: Callable[[str], None]
) -> None:
    gate, start = Gate(database, a_policy()), Barrier(THREADS)
    orders = [chance.sample(range(effort), effort) for _ in range(THREADS)]

    def work(order: list[int]) -> list[tuple[int, str, bool]]:
        start.wait()
        verdicts = ((key, gate.submit(a_deal(deal_id=f"D-{key % DEALS}"), idempotency_key=f"K-{key}")) for key in order)
        return [(key, verdict.decision_id, verdict.replayed) for key, verdict in verdicts]

    with ThreadPoolExecutor(THREADS) as pool:
        answers = [answer for found in pool.map(work, orders) for answer in found]

    decisions = defaultdict[int, set[str]](set)
    for key, decision_id, _ in answers:
        decisions[key].add(decision_id)
    assert {key: len(found) for key, found in decisions.items()} == dict.fromkeys(range(effort), 1)
    replays = sum(replayed for *_, replayed in answers)
    assert replays == (THREADS - 1) * effort
    assert count_rows(database)["dealgate_decision"] == effort
    signer = a_signer()
    seal_all(database, signer)
    assert verified(database, signer.key).flaws == []
    figures(f"{THREADS} threads x {effort} keys: {effort} decisions, {replays} replays, 0 errors")
