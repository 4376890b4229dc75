"""A gate for vehicle loans: holds every submitted deal against the lender's written policy, says why, keeps the record.

from dealgate import Gate
gate = Gate(engine, policy="policy.yaml")
verdict = gate.submit(deal, actor="los")
"""

from typing import TYPE_CHECKING, Any

from dealgate.rules.cures import Cure, Cures, Unfixable
from dealgate.rules.deal import Deal, DealError
from dealgate.rules.decision import Decision
from dealgate.rules.document import PolicyError
from dealgate.rules.evaluation import CompiledPolicy, Evaluation, evaluate
from dealgate.rules.finding import Finding
from dealgate.rules.policy import Outcome, Policy
from dealgate.rules.reference import Result

if TYPE_CHECKING:
    from dealgate.adapters.declined import DeclinedError
    from dealgate.adapters.gate import Gate, Verdict
    from dealgate.adapters.programs import IN_FORCE

__all__ = [
    "IN_FORCE",
    "CompiledPolicy",
    "Cure",
    "Cures",
    "Deal",
    "DealError",
    "Decision",
    "DeclinedError",
    "Evaluation",
    "Finding",
    "Gate",
    "Outcome",
    "Policy",
    "PolicyError",
    "Result",
    "Unfixable",
    "Verdict",
    "evaluate",
]


def __getattr__(name: str) -> Any:
    """The gate brings SQLAlchemy with it; whoever only evaluates does not wait for that."""
    if name in {"DeclinedError", "Gate", "Verdict"}:
        from dealgate.adapters import gate  # noqa: PLC0415

        return getattr(gate, name)
    if name == "IN_FORCE":
        from dealgate.adapters import programs  # noqa: PLC0415

        return programs.IN_FORCE
    raise AttributeError(f"module 'dealgate' has no attribute {name!r}")
