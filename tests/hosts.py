"""A host as the gate meets it: a table of its own, written in the session in which it submits."""

from collections import defaultdict

from sqlalchemy import Connection, Engine, ForeignKey, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from dealgate import Gate
from dealgate.adapters.gate import Verdict
from tests.models.samples import a_deal


class Base(DeclarativeBase):
    """The host's."""


class Clerk(Base):
    __tablename__ = "clerk"

    name: Mapped[str] = mapped_column(primary_key=True)


class Application(Base):
    """One for each decision. That its clerk exists is looked at when the transaction commits."""

    __tablename__ = "application"

    decision_id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    clerk: Mapped[str | None] = mapped_column(ForeignKey("clerk.name", deferrable=True, initially="DEFERRED"))


def make_tables(database: Engine) -> None:
    Base.metadata.create_all(database)


def book(session: Session, gate: Gate, deal_id: str, key: str, clerk: str | None = None) -> Verdict:
    """Submit, and write the host's own row beside it; the caller commits."""
    verdict = gate.submit(a_deal(deal_id=deal_id), session=session, actor="los", idempotency_key=key)
    if not verdict.replayed:
        session.add(Application(decision_id=verdict.decision_id, key=key, clerk=clerk))
        session.flush()
    return verdict


PARTS = {
    "application": "SELECT decision_id FROM application",
    "decision": "SELECT decision_id FROM dealgate_decision",
    "submission": "SELECT d.decision_id FROM dealgate_decision d JOIN dealgate_submission s ON s.id = d.submission_id",
    "entry": "SELECT entry_id FROM dealgate_ledger_entry WHERE kind = 'decision'",
    "body": "SELECT e.entry_id FROM dealgate_ledger_entry e JOIN dealgate_ledger_body b ON b.entry = e.id WHERE e.kind = 'decision'",
    "queue": "SELECT e.entry_id FROM dealgate_ledger_entry e JOIN dealgate_ledger_pending p ON p.entry = e.id WHERE e.kind = 'decision'",
}
"""Where a decision that is not sealed yet must stand."""

SUBMISSIONS = "SELECT deal_id, submission FROM dealgate_submission ORDER BY deal_id, submission"
COUNTED = "SELECT deal_id, submissions, entries FROM dealgate_deal"


def kept_together(database: Engine | Connection) -> set[str]:
    """The keys of the host's applications, once it is sure that all their parts are there, no others, and numbered without gap."""
    if isinstance(database, Engine):
        with database.connect().execution_options(isolation_level="SERIALIZABLE") as connection:  # all as of one moment
            return kept_together(connection)
    found = {part: sorted(database.execute(text(query)).scalars()) for part, query in PARTS.items()}
    assert found == dict.fromkeys(PARTS, found["application"])
    numbers = defaultdict[str, list[int]](list)
    for deal, number in database.execute(text(SUBMISSIONS)):
        numbers[deal].append(number)
    assert sum(map(len, numbers.values())) == len(found["application"])
    assert numbers == {deal: [*range(1, len(those) + 1)] for deal, those in numbers.items()}
    counted = {deal: (submissions, entries) for deal, submissions, entries in database.execute(text(COUNTED))}
    assert counted == {deal: (len(those), len(those)) for deal, those in numbers.items()}
    return set(database.execute(text("SELECT key FROM application")).scalars())
