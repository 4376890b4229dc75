"""The gate, and the guard on applications: every session of this process is under it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from dealgate import Gate
from dealgate.adapters.mappings import load_mapping
from origination.tables import ENGINE, LoanApplication

HERE = Path(__file__).parent
ACTING: ContextVar[str] = ContextVar("ACTING")

gate = Gate(policy=str(HERE / "policy.yaml"))
gate.guard(LoanApplication, mapping=load_mapping(str(HERE / "deal.yaml")), on_decline="raise", actor=ACTING.get)

new_session = sessionmaker(ENGINE)


@contextmanager
def work_of(person: str) -> Iterator[Session]:
    """One transaction: what a person changes and what the policy makes of it are committed together, or neither."""
    ACTING.set(person)
    with new_session.begin() as session:
        yield session
