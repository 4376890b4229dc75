"""Making stored decisions again from what was stored: the deal, the policy version and nothing else."""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, select

from dealgate.models.envelope import read_deal, read_decision
from dealgate.models.ledger import BODY, BODY_OF_ENTRY, ENTRY, private_values
from dealgate.models.recording import VERSION, plain_json
from dealgate.models.verification import Progress, Report, differences
from dealgate.models.versions import Step, all_steps, in_force
from dealgate.rules.deal import Deal
from dealgate.rules.decision import Decision
from dealgate.rules.document import PolicyError
from dealgate.rules.evaluation import VERSIONS, CompiledPolicy
from dealgate.rules.policy import Policy
from dealgate.rules.programs import Chosen, choose
from dealgate.rules.unanswered import UNANSWERED, unanswered

BATCH = 200


class Replayer:
    """Policy versions compiled once, by hash, from the text that is stored."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._compiled: dict[str, CompiledPolicy | str] = {}

    def decide_again(self, deal: Mapping[str, Any], stored: Mapping[str, Any]) -> Mapping[str, Any] | str:
        """The decision as it would be made today with the policy of then; a sentence where it cannot be."""
        if stored["policy"]["sha256"] == UNANSWERED.sha256:
            return self._choose_again(Deal.read(deal), stored)
        compiled = self._policy(stored["policy"]["sha256"])
        if isinstance(compiled, str):
            return compiled
        evaluation = compiled.evaluate(Deal.read(deal))
        return {name: value for name, value in stored.items() if name in IDENTITY} | evaluation.document()

    def _choose_again(self, deal: Deal, stored: Mapping[str, Any]) -> Mapping[str, Any] | str:
        """The decision where no policy in force answered, or not exactly one, by the steps that were known then."""
        at = datetime.fromisoformat(stored["decided_at"])
        versions = [self._policy(one.sha256) for one in in_force(self.steps, at, at)]
        if unusable := [one for one in versions if isinstance(one, str)]:
            return unusable[0]
        choice = choose([one.policy for one in versions if not isinstance(one, str)], deal)
        if isinstance(choice, Chosen):
            return f"{choice.policy.name} {choice.policy.version} was in force and answers for the deal"
        identity = {name: value for name, value in stored.items() if name in IDENTITY}
        return identity | unanswered(deal, choice.reason, choice.missing).document()

    @cached_property
    def steps(self) -> list[Step]:
        return all_steps(self.connection)

    def _policy(self, sha256: str) -> CompiledPolicy | str:
        if sha256 not in self._compiled:
            self._compiled[sha256] = self._compile(sha256)
        return self._compiled[sha256]

    def _compile(self, sha256: str) -> CompiledPolicy | str:
        version = self.connection.execute(select(VERSION).where(VERSION.c.sha256 == sha256)).first()
        if version is None:
            return f"the policy version {sha256} is not stored"
        try:
            policy = Policy.from_text(version.document, f"{version.name} {version.version}")
        except PolicyError as error:
            return f"the stored text of {version.name} {version.version} cannot be read: {error}"
        if policy.sha256 != sha256:
            return f"the stored text of {version.name} {version.version} has the content hash {policy.sha256}"
        return CompiledPolicy(policy)


IDENTITY = frozenset(Decision.__slots__) - {"evaluation"}
"""What tells a decision from others, and is no part of what was concluded."""


def replay_decisions(connection: Connection, report: Report, progress: Progress | None = None) -> None:
    """Make every stored decision again and compare it whole. One by another version of dealgate or of the engine that differs is a
    remark; one by this version is a flaw.
    """
    replayer, done = Replayer(connection), 0
    skipped = drifted = doubted = 0
    statement = (
        select(ENTRY.c.id, ENTRY.c.entry_id, BODY.c.envelope)
        .select_from(ENTRY)
        .join(BODY, BODY_OF_ENTRY)
        .where(ENTRY.c.kind == "decision")
        .order_by(ENTRY.c.id)
        .limit(BATCH)
    )
    while rows := connection.execute(statement.where(ENTRY.c.id > done)).all():
        done = rows[-1].id
        values = private_values(connection, [row.entry_id for row in rows])
        for row in rows:
            envelope = json.loads(row.envelope)
            if len(envelope["private"]) != len(values[row.entry_id]):
                skipped += 1
                continue
            stored = read_decision(envelope, values[row.entry_id])
            if not stored["engine"]["agreed"]:
                doubted += 1
                continue
            again = replayer.decide_again(read_deal(envelope, values[row.entry_id]), stored)
            drifted += _compare(report, row.entry_id, stored, again)
        if progress:
            progress(done, done)
    if skipped:
        report.remarks.append(f"{skipped} decisions were not made again: personal values that they rest on are erased")
    if doubted:
        report.remarks.append(f"{doubted} decisions were not made again: the rules engine failed when they were made")
    if drifted:
        report.remarks.append(
            f"{drifted} decisions by other versions of dealgate or durable_rules come out otherwise today"
        )


def _compare(report: Report, entry_id: str, stored: Mapping[str, Any], again: Mapping[str, Any] | str) -> int:
    """Whether the decision comes out otherwise because another version made it."""
    if isinstance(again, str):
        report.flaw("replay", f"entry {entry_id}", "the policy version it was made under", again)
        return 0
    differing = list(differences(_comparable(again), _comparable(stored)))
    if differing and any(stored["engine"][name] != VERSIONS[name] for name in VERSIONS):
        return 1
    for path, expected, got in differing:
        report.flaw("replay", f"{path} of entry {entry_id}", expected, got)
    return 0


def _comparable(decision: Mapping[str, Any]) -> Any:
    """A decision as it is read back from JSON. The name of the file that a policy was read from is no part of it."""
    document = json.loads(plain_json(decision))
    for finding in document["findings"]:
        if "limit_origin" in finding:
            finding["limit_origin"] = finding["limit_origin"].rpartition(":")[2]
    return document
