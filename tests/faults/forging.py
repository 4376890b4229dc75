"""Forgery done well: whoever alters an entry makes every hash, chain, projection and, with the key, every checkpoint anew."""

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from dealgate.models.canonical import canonical
from dealgate.models.ledger import BODY, DEAL, ENTRY, PRIVATE, table
from dealgate.models.merkle import Frontier, leaf_hash
from dealgate.models.notes import Checkpoint, sign_checkpoint
from dealgate.models.open_clocks import set_clocks
from dealgate.models.recording import DECISION, FINDING, INSERT_PART, SUBMISSION
from dealgate.models.sealing import PENDING
from dealgate.models.signing import Ed25519Signer
from dealgate.models.tree import CHECKPOINT, INSERT_LEAF, INSERT_TILE, LEAF, TILE, GrowingTree


def number_of(connection: Connection, entry_id: str) -> int:
    number: int = connection.execute(select(ENTRY.c.id).where(ENTRY.c.entry_id == entry_id)).scalar_one()
    return number


def envelope_of(connection: Connection, number: int) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        connection.execute(select(BODY.c.envelope).where(BODY.c.entry == number)).scalar_one()
    )
    return document


def write_envelope(connection: Connection, number: int, document: dict[str, Any]) -> bytes:
    data = canonical(document)
    connection.execute(update(BODY).where(BODY.c.entry == number).values(envelope=data))
    return leaf_hash(data)


def turn_outcome(connection: Connection, entry_id: str) -> None:
    """The decision says the opposite, in its envelope and in every row made from it; the hashes stay as they were."""
    number = number_of(connection, entry_id)
    document = envelope_of(connection, number)
    document["decision"]["outcome"] = "pass"
    write_envelope(connection, number, document)
    connection.execute(update(DECISION).where(DECISION.c.decision_id == entry_id).values(outcome="pass"))
    connection.execute(update(DEAL).where(DEAL.c.decision_id == entry_id).values(outcome="pass"))
    set_clocks(connection, connection.execute(select(DEAL.c.deal_id).where(DEAL.c.decision_id == entry_id)).scalars())


def chain_anew(connection: Connection) -> None:
    """Every entry's hash, and the one before it in its deal's chain, from the envelopes as they are now."""
    heads: dict[str | None, bytes] = {}
    for row in connection.execute(select(ENTRY).order_by(ENTRY.c.id)).all():
        document = envelope_of(connection, row.id)
        if row.deal_seq and row.deal_seq > 1:
            document["previous"] = heads[row.deal_id].hex()
        heads[row.deal_id] = leaf = write_envelope(connection, row.id, document)
        connection.execute(update(ENTRY).where(ENTRY.c.id == row.id).values(leaf_hash=leaf))
    for deal, head in heads.items():
        connection.execute(update(DEAL).where(DEAL.c.deal_id == deal).values(head=head))


def seal_anew(connection: Connection, sign: Callable[[Checkpoint, bytes], bytes]) -> None:
    """Leaves, tiles and checkpoints over the entries' hashes as they are now, at the sizes that there were."""
    old = connection.execute(select(CHECKPOINT).order_by(CHECKPOINT.c.size)).all()
    leaves = connection.execute(
        select(LEAF.c.leaf_index, LEAF.c.entry, ENTRY.c.leaf_hash).join(ENTRY, ENTRY.c.id == LEAF.c.entry)
    ).all()
    for each in (LEAF, TILE, CHECKPOINT):
        connection.execute(delete(each))
    tree, checkpoints = GrowingTree(connection, Frontier()), {row.size: row for row in old}
    for row in sorted(leaves):
        connection.execute(INSERT_LEAF, row._asdict())
        tree.append(row.leaf_hash)
        size = tree.frontier.size
        if size in checkpoints:
            origin = checkpoints[size].note.split("\n")[0]
            note = sign(Checkpoint(origin, size, tree.frontier.root()), checkpoints[size].note.encode())
            values = {"note": note.decode(), "frontier": tree.frontier.to_bytes()}
            connection.execute(insert(CHECKPOINT), checkpoints[size]._asdict() | values)
    if tree.filled:
        connection.execute(INSERT_TILE, tree.filled)


def keep_note(_checkpoint: Checkpoint, note: bytes) -> bytes:
    """What is left to who has no key."""
    return note


def with_key(signer: Ed25519Signer) -> Callable[[Checkpoint, bytes], bytes]:
    return lambda checkpoint, _note: sign_checkpoint(checkpoint, signer)


def remove(connection: Connection, entry_id: str) -> None:
    """An entry with everything about it, as if it had never been."""
    number = number_of(connection, entry_id)
    connection.execute(delete(PRIVATE).where(PRIVATE.c.entry == number))
    connection.execute(delete(BODY).where(BODY.c.entry == number))
    connection.execute(delete(PENDING).where(PENDING.c.entry == number))
    connection.execute(delete(LEAF).where(LEAF.c.entry == number))
    decision = connection.execute(select(DECISION).where(DECISION.c.decision_id == entry_id)).one()
    connection.execute(delete(FINDING).where(FINDING.c.decision == decision.id))
    connection.execute(delete(DECISION).where(DECISION.c.id == decision.id))
    for part in map(table, INSERT_PART):
        connection.execute(delete(part).where(part.c.submission_id == decision.submission_id))
    connection.execute(delete(SUBMISSION).where(SUBMISSION.c.id == decision.submission_id))
    connection.execute(delete(ENTRY).where(ENTRY.c.id == number))


def count_back(connection: Connection, deal_id: str) -> None:
    """The head of a deal, one entry earlier: to the decision before its last."""
    last = connection.execute(
        select(ENTRY).where(ENTRY.c.deal_id == deal_id).order_by(ENTRY.c.deal_seq.desc()).limit(1)
    ).one()
    outcome = connection.execute(select(DECISION.c.outcome).where(DECISION.c.decision_id == last.entry_id)).scalar()
    values = {"submissions": DEAL.c.submissions - 1, "entries": last.deal_seq, "head": last.leaf_hash}
    connection.execute(
        update(DEAL).where(DEAL.c.deal_id == deal_id).values(**values, decision_id=last.entry_id, outcome=outcome)
    )
    set_clocks(connection, [deal_id])
