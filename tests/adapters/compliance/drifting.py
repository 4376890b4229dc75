"""Ways in which what is stored of a decision drifts, each as an insider or another version would bring it about."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, text

from dealgate import CompiledPolicy, Deal, Policy
from dealgate.models import record_policy, record_submission
from dealgate.rules.evaluation import Evaluation
from tests.models.ledgers import START, unguarded
from tests.models.samples import POLICY, a_deal, compiled

INCOME = "/deal/applicant/monthly_income"


def altered(database: Engine, table: str, statement: str, **parameters: Any) -> None:
    """Behind the application's back: the triggers of the table are dropped first."""
    with database.begin() as connection:
        unguarded(connection, table)
        connection.execute(text(statement), parameters)


def column_altered(database: Engine, decision_id: str) -> None:
    statement = "UPDATE dealgate_submission SET cash_price_cents = cash_price_cents - 100000 WHERE id = "
    found = "(SELECT submission_id FROM dealgate_decision WHERE decision_id = :id)"
    altered(database, "dealgate_submission", statement + found, id=decision_id)


def income_altered(database: Engine, decision_id: str, income: str) -> None:
    statement = "UPDATE dealgate_ledger_private SET value = :value WHERE path = :path AND entry = "
    found = "(SELECT id FROM dealgate_ledger_entry WHERE entry_id = :id)"
    value = f'"{income}"'.encode()
    altered(database, "dealgate_ledger_private", statement + found, id=decision_id, path=INCOME, value=value)


def envelope_altered(database: Engine, decision_id: str, old: bytes, new: bytes) -> None:
    found = "(SELECT id FROM dealgate_ledger_entry WHERE entry_id = :id)"
    with database.begin() as connection:
        unguarded(connection, "dealgate_ledger_body")
        read = text(f"SELECT envelope FROM dealgate_ledger_body WHERE entry = {found}")
        envelope = bytes(connection.execute(read, {"id": decision_id}).scalar_one())
        assert old in envelope
        write = text(f"UPDATE dealgate_ledger_body SET envelope = :envelope WHERE entry = {found}")
        connection.execute(write, {"id": decision_id, "envelope": envelope.replace(old, new)})


def policy_altered(database: Engine, old: str, new: str) -> None:
    statement = "UPDATE dealgate_policy_version SET document = replace(document, :old, :new)"
    altered(database, "dealgate_policy_version", statement, old=old, new=new)


class _ByAnother(Evaluation):
    """What another version of dealgate made of a deal under the sample policy: as if its limits had been these."""

    @property
    def policy(self) -> Mapping[str, str]:
        return compiled().evaluate(Deal.read(a_deal())).policy

    @property
    def engine(self) -> Mapping[str, Any]:
        return {"dealgate": "0.0.9", "durable_rules": "2.0.27", "agreed": True}


def decided_by_another_version(connection: Connection, deal: Mapping[str, Any], old: str = "", new: str = "") -> str:
    """The sample policy with some words exchanged stands for what the other version made of it."""
    record_policy(connection, compiled().policy, compiled().policy.self_contained, START)
    evaluation = CompiledPolicy(Policy.from_text(POLICY.replace(old, new) if old else POLICY, "sample.yaml")).evaluate(
        Deal.read(deal)
    )
    evaluation.__class__ = _ByAnother
    return record_submission(connection, Deal.read(deal), evaluation, decision_id=str(uuid4()), now=START).decision_id
