"""Compliance queries: what an examiner, an auditor or the fair-lending team asks of the stored decisions."""

from dealgate.adapters.compliance.query import Condition, Query, QueryError
from dealgate.adapters.compliance.readers import Reader
from dealgate.adapters.compliance.search import Page, count_by_outcome, search, search_all

__all__ = ["Condition", "Page", "Query", "QueryError", "Reader", "count_by_outcome", "search", "search_all"]
