"""The gate as the service runs it: the same, and what it does is counted, timed and noted."""

import logging
from datetime import datetime

from sqlalchemy import Connection, Engine

from dealgate.adapters.attempts import Attempt, Concluded
from dealgate.adapters.gate import Gate
from dealgate.adapters.policies import PolicyDocument
from dealgate.adapters.programs import InForce
from dealgate.adapters.sealer import Sealer
from dealgate.adapters.service.metrics import Metrics
from dealgate.adapters.service.observation import observed, part
from dealgate.models import Recorded
from dealgate.rules.deal import Deal
from dealgate.rules.evaluation import Evaluation
from dealgate.rules.policy import Policy
from dealgate.rules.reading import ENGINE_DISAGREEMENT

log = logging.getLogger("dealgate.service")


class ObservedGate(Gate):
    def __init__(
        self,
        database: Engine,
        policy: Policy | PolicyDocument | InForce | str,
        metrics: Metrics,
        *,
        isolated: bool,
        sealer: Sealer | None,
    ) -> None:
        self.metrics = metrics
        super().__init__(database, policy, isolated=isolated, sealer=sealer)

    def _conclude(self, connection: Connection | None, deal: Deal, now: datetime | None = None) -> Concluded:
        with part("evaluate"), self.metrics.evaluation.time():
            concluded = super()._conclude(connection, deal, now)
        if not concluded.answer.evaluation.engine["agreed"]:
            self._count_doubt(deal, concluded.answer.evaluation)
        return concluded

    def _keep(self, engine: Engine, attempt: Attempt) -> Recorded:
        with part("store"), self.metrics.storage.time():
            recorded = super()._keep(engine, attempt)
        if recorded.replayed:
            self.metrics.replayed.inc()
        else:
            self.metrics.recorded(recorded.decision)
        if request := observed():
            request.decided(recorded.decision_id, recorded.decision["outcome"])
        return recorded

    def _count_doubt(self, deal: Deal, evaluation: Evaluation) -> None:
        disagrees = any(finding.rule == ENGINE_DISAGREEMENT for finding in evaluation.findings)
        kind = "disagreement" if disagrees else "failure"
        self.metrics.engine_failures.labels(kind).inc()
        log.critical("a deal is referred for the engine's %s", kind, extra={"deal_id": deal.deal_id})
