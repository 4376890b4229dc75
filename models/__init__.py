"""What is stored: deals, submissions, decisions, findings and policy versions."""

from dealgate.models.reading import Page, find_decision, find_submission, list_decisions
from dealgate.models.recording import (
    Entry,
    IdempotencyConflictError,
    PolicyConflictError,
    Recorded,
    find_by_key,
    record_policy,
    record_submission,
    record_submissions,
)
from dealgate.models.tables import (
    Base,
    BookValue,
    Deal,
    Decision,
    Finding,
    PolicyVersion,
    Product,
    Submission,
    TradeIn,
)

__all__ = [
    "Base",
    "BookValue",
    "Deal",
    "Decision",
    "Entry",
    "Finding",
    "IdempotencyConflictError",
    "Page",
    "PolicyConflictError",
    "PolicyVersion",
    "Product",
    "Recorded",
    "Submission",
    "TradeIn",
    "find_by_key",
    "find_decision",
    "find_submission",
    "list_decisions",
    "record_policy",
    "record_submission",
    "record_submissions",
]
