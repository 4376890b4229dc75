"""A host's payloads as deals, and decisions as its replies, by documents that say which field is which."""

from dealgate.adapters.mappings.mapping import SHIPPED, HostMapping, MappedDeal, load_mapping
from dealgate.adapters.mappings.problems import MappingDocumentError, MappingError, MappingProblem

__all__ = [
    "SHIPPED",
    "HostMapping",
    "MappedDeal",
    "MappingDocumentError",
    "MappingError",
    "MappingProblem",
    "load_mapping",
]
