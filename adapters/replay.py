"""Making stored decisions again from what was stored: the deal, the policy version and nothing else."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from dealgate.models.envelope import read_deal, read_decision
from dealgate.models.ledger import BODY, BODY_OF_ENTRY, ENTRY, private_values
from dealgate.models.numbered_rows import in_turn
from dealgate.models.recording import VERSION, plain_json
from dealgate.models.verification import Progress, Report, differences
from dealgate.models.versions import Step, all_steps, in_force
from dealgate.rules.deal import Deal
from dealgate.rules.decision import Decision
from dealgate.rules.document import PolicyError
from dealgate.rules.evaluation import VERSIONS, CompiledPolicy, Evaluation, engine_finding
from dealgate.rules.policy import Policy
from dealgate.rules.programs import Chosen, choose
from dealgate.rules.reading import ENGINE_FAILURE, OF_THE_ENGINE
from dealgate.rules.unanswered import UNANSWERED, unanswered

BATCH = 200


class Again(NamedTuple):
    """A decision made again: as it comes out today, None where it cannot be made; `problem` is what is wrong with the policy."""

    decision: Mapping[str, Any] | None
    problem: str = ""


class Version(NamedTuple):
    """A stored policy version, ready to decide; `problem` where it is not the one that its hash names."""

    compiled: CompiledPolicy | None
    problem: str = ""


class Difference(NamedTuple):
    """A place in which a decision comes out otherwise, such as `/findings/LTV-TOTAL/limit`."""

    where: str
    stored: Any
    today: Any


class Replayer:
    """Policy versions compiled once, by hash, from the text that is stored."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._compiled: dict[str, Version] = {}

    def decide_again(self, deal: Mapping[str, Any], stored: Mapping[str, Any]) -> Again:
        """The decision as it would be made today with the policy of then."""
        if stored["policy"]["sha256"] == UNANSWERED.sha256:
            return self._choose_again(Deal.read(deal), stored)
        version = self._policy(stored["policy"]["sha256"])
        if version.compiled is None:
            return Again(None, version.problem)
        evaluation = _evaluated(version.compiled, Deal.read(deal), stored)
        return Again(_identity(stored) | evaluation.document(), version.problem)

    def _choose_again(self, deal: Deal, stored: Mapping[str, Any]) -> Again:
        """The decision where no policy in force answered, or not exactly one, by the steps that were known then."""
        at = datetime.fromisoformat(stored["decided_at"])
        versions = [self._policy(one.sha256) for one in in_force(self.steps, at, at)]
        if unusable := [one.problem for one in versions if one.problem]:
            return Again(None, unusable[0])
        choice = choose([one.compiled.policy for one in versions if one.compiled], deal)
        if isinstance(choice, Chosen):
            return Again(None, f"{choice.policy.name} {choice.policy.version} was in force and answers for the deal")
        return Again(_identity(stored) | unanswered(deal, choice.reason, choice.missing).document())

    @cached_property
    def steps(self) -> list[Step]:
        return all_steps(self.connection)

    def _policy(self, sha256: str) -> Version:
        if sha256 not in self._compiled:
            self._compiled[sha256] = self._compile(sha256)
        return self._compiled[sha256]

    def _compile(self, sha256: str) -> Version:
        row = self.connection.execute(select(VERSION).where(VERSION.c.sha256 == sha256)).first()
        if row is None:
            return Version(None, f"the policy version {sha256} is not stored")
        name = f"{row.name} {row.version}"
        try:
            policy = Policy.from_text(row.document, name)
        except PolicyError as error:
            return Version(None, f"the stored text of {name} cannot be read: {error}")
        compiled = CompiledPolicy(policy)
        if policy.sha256 != sha256:
            return Version(compiled, f"the stored text of {name} has the content hash {policy.sha256}, not {sha256}")
        if (found := hashlib.sha256(row.content.encode()).hexdigest()) != sha256:
            return Version(compiled, f"the stored content of {name} has the hash {found}, not {sha256}")
        return Version(compiled)


def _evaluated(policy: CompiledPolicy, deal: Deal, stored: Mapping[str, Any]) -> Evaluation:
    """Where the engine did not confirm a decision, that is believed, and nothing else: its finding refers the deal, and what the
    reference makes of the rules stands beside it.
    """
    if stored["engine"]["agreed"]:
        return policy.evaluate(deal)
    doubts = [one for one in stored["findings"] if one["rule"] in OF_THE_ENGINE]
    rule, said = (doubts[-1]["rule"], doubts[-1]["explanation"]) if doubts else (ENGINE_FAILURE, "")
    return policy.referred(deal, engine_finding(rule, said))


IDENTITY = frozenset(Decision.__slots__) - {"evaluation"}
"""What tells a decision from others, and is no part of what was concluded."""


def _identity(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in stored.items() if name in IDENTITY}


def compared(stored: Mapping[str, Any], again: Mapping[str, Any]) -> list[Difference]:
    """Where a decision comes out otherwise today. By which versions it was made is no part of what was concluded."""
    found = differences(_comparable(stored), _comparable(again))
    return [Difference(where, before, today) for where, before, today in found]


def other_versions(stored: Mapping[str, Any]) -> str:
    """By which other versions of dealgate or the engine a decision was made; empty where by these."""
    made_by = [
        f"{name} {stored['engine'].get(name)}" for name in VERSIONS if stored["engine"].get(name) != VERSIONS[name]
    ]
    return ", ".join(made_by)


def replay_decisions(connection: Connection, report: Report, progress: Progress | None = None) -> None:
    """Make every stored decision again and compare it whole, also one that the engine did not confirm. One by another version of
    dealgate or of the engine that differs is a remark; one by this version is a flaw.
    """
    replayer = Replayer(connection)
    skipped = drifted = doubted = 0
    statement = (
        select(ENTRY.c.id, ENTRY.c.entry_id, BODY.c.envelope)
        .select_from(ENTRY)
        .join(BODY, BODY_OF_ENTRY)
        .where(ENTRY.c.kind == "decision")
    )
    for rows in in_turn(connection, statement, ENTRY.c.id, BATCH):
        values = private_values(connection, [row.entry_id for row in rows])
        for row in rows:
            envelope = json.loads(row.envelope)
            if len(envelope["private"]) != len(values[row.entry_id]):
                skipped += 1
                continue
            stored = read_decision(envelope, values[row.entry_id])
            doubted += not stored["engine"]["agreed"]
            again = replayer.decide_again(read_deal(envelope, values[row.entry_id]), stored)
            drifted += _tell(report, row.entry_id, stored, again)
        if progress:
            progress(rows[-1].id, rows[-1].id)
    if skipped:
        report.remarks.append(f"{skipped} decisions were not made again: personal values that they rest on are erased")
    if doubted:
        report.remarks.append(
            f"{doubted} decisions refer their deals as the rules engine failed or differed then: that it did, nothing shows today"
        )
    if drifted:
        report.remarks.append(
            f"{drifted} decisions by other versions of dealgate or durable_rules come out otherwise today"
        )


def _tell(report: Report, entry_id: str, stored: Mapping[str, Any], again: Again) -> int:
    """Whether the decision comes out otherwise because another version made it."""
    if again.problem or again.decision is None:
        report.flaw("replay", f"entry {entry_id}", "the policy version it was made under", again.problem)
        return 0
    differing = compared(stored, again.decision)
    if differing and other_versions(stored):
        return 1
    for where, before, today in differing:
        report.flaw("replay", f"{where} of entry {entry_id}", today, before)
    return 0


def _comparable(decision: Mapping[str, Any]) -> Any:
    """A decision as it is read back from JSON, its findings by rule. The name of the file that a policy was read from is no part
    of it.
    """
    document = json.loads(plain_json(decision))
    del document["engine"]
    for finding in document["findings"]:
        if "limit_origin" in finding:
            finding["limit_origin"] = finding["limit_origin"].rpartition(":")[2]
    rules = [finding["rule"] for finding in document["findings"]]
    return document | {"rules": rules, "findings": {finding["rule"]: finding for finding in document["findings"]}}
