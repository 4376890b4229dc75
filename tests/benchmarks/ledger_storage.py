"""What a million decisions take on disk, table by table, from the sample deals."""

import json
from collections import Counter
from itertools import cycle, islice
from pathlib import Path

import apsw
from sqlalchemy import Engine, text

from dealgate import Deal, Gate
from dealgate.adapters.sealer import Sealer
from dealgate.models.signing import Ed25519Signer, new_key

SAMPLES = Path(__file__).parents[2] / "examples" / "deals.jsonl"
AT_ONCE = 200
PAGES = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name"
OWNERS = "SELECT name, tbl_name FROM sqlite_master WHERE type IN ('table', 'index')"
RELATIONS = text("""
SELECT coalesce(p.relname, c.relname), sum(pg_total_relation_size(c.oid)) FROM pg_class c
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
WHERE c.relkind IN ('r', 'p') AND c.relname LIKE 'dealgate\\_%' AND c.relnamespace = current_schema()::regnamespace GROUP BY 1
""")


def fill(engine: Engine, decisions: int) -> None:
    """Submit the sample deals again and again, each time as new deals, and seal them."""
    documents = [json.loads(line) for line in SAMPLES.read_text(encoding="utf-8").splitlines()]
    gate = Gate(engine)
    deals = (
        Deal.read(document | {"deal_id": f"{document['deal_id']}-{number}"})
        for number, document in enumerate(cycle(documents))
    )
    for _ in range(0, decisions, AT_ONCE):
        with engine.begin() as connection:
            for _verdict in gate.submit_all(islice(deals, AT_ONCE), session=connection, actor="los"):
                pass
    Sealer(engine, Ed25519Signer.parse(new_key("lender.example/ledger").private)).seal()


def measure_storage(engine: Engine, decisions: int) -> Counter[str]:
    """Bytes by table, indexes included."""
    empty = sizes(engine)
    fill(engine, decisions)
    full = sizes(engine)
    return Counter({name: full[name] - empty[name] for name in full if full[name] > empty[name]})


def sizes(engine: Engine) -> Counter[str]:
    found = Counter[str]()
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            found.update({name: int(size) for name, size in connection.execute(RELATIONS).tuples()})
        return found
    database = apsw.Connection(str(engine.url.database), flags=apsw.SQLITE_OPEN_READONLY)
    owners = dict(database.execute(OWNERS))
    for name, size in database.execute(PAGES):
        found[owners.get(name, name)] += size
    database.close()
    return found
