"""Which personal values a reader is shown. The others are withheld: their commitments stay, and every proof with them."""

import re
from collections.abc import Callable, Mapping

from dealgate.adapters.compliance.query import QueryError
from dealgate.rules.staleness import NAMED_QUOTE

IDENTITY = re.compile(r"/deal/(vehicle/vin|metadata|trade_ins/\d+/lienholder)|/override/note")
"""What could tell who the applicant is, as JSON pointers into an entry; the rest are amounts and scores, and what follows from them."""

NOT_SHOWN = "not shown"
"""What stands where a value was withheld or erased."""

OUTSIDE = "outside"
Shows = Callable[[str, str], bool]
"""Whether a reader is shown the personal value at a pointer into an entry, given what it says."""

READERS: Mapping[str, Shows] = {
    "compliance": lambda path, text: True,
    "analyst": lambda path, text: not IDENTITY.fullmatch(path) and NAMED_QUOTE not in text,
    OUTSIDE: lambda path, text: False,
}
"""Compliance is shown all, an analyst no identity and no sentence that tells it, an outsider nothing personal."""


class UnknownReaderError(QueryError):
    """A role that nobody reads in; the message names those that there are."""


def may_read(reader: str) -> Shows:
    """Raises `UnknownReaderError`."""
    if reader not in READERS:
        raise UnknownReaderError("reader", reader, f"use {', '.join(READERS)}")
    return READERS[reader]
