"""100,000 generated deals with unknowns and boundary amounts: every engine gives for each what submitting it gives.

python tests/portfolio_equality.py [DEALS] [SEED]
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))

from dealgate import CompiledPolicy
from dealgate.adapters.policies import load_policy
from dealgate.adapters.portfolio.engines import ENGINES, open_engine
from tests.booked import SinglePath, judged, random_deals, write_book

SUBMITTED = 1_000
"""Deals of those that also go through the whole of a submission's evaluation, the rules engine included."""


def main(count: int, seed: int) -> None:
    policy = load_policy("prime-auto").policy
    single, deals = SinglePath(policy), list(random_deals(seed, count))
    with TemporaryDirectory() as name:
        book = write_book(deals, Path(name) / "book.parquet")
        for engine_name in ENGINES:
            begun, engine = time.monotonic(), open_engine(engine_name)
            rows = judged(engine, policy, book, Path(name) / f"{engine_name}.parquet")
            engine.close()
            wrong = [deal.deal_id for deal in deals if single.differences(deal, rows[deal.deal_id])]
            print(
                f"{engine_name}: {len(rows):,} deals, {len(wrong)} differ ({time.monotonic() - begun:.0f} s)",
                flush=True,
            )
            assert not wrong, wrong[:10]
    compiled = CompiledPolicy(policy)
    for deal in deals[:SUBMITTED]:
        evaluation, row = compiled.evaluate(deal), rows[deal.deal_id]
        assert evaluation.engine["agreed"]
        assert (str(evaluation.outcome), list(evaluation.reasons)) == (row["outcome"], row["reasons"]), deal.deal_id
    print(
        f"{min(count, SUBMITTED):,} of them through the whole evaluation of a submission: the same outcome and reasons"
    )


if __name__ == "__main__":
    given = [int(number) for number in sys.argv[1:]]
    main(given[0] if given else 100_000, given[1] if len(given) > 1 else 1)
