"""Which personal values a reader is shown. The others are withheld: their commitments stay, and every proof with them."""

import re
from collections.abc import Callable, Mapping

from dealgate.adapters.compliance.query import QueryError

IDENTITY = re.compile(r"/deal/(vehicle/vin|metadata|trade_ins/\d+/lienholder)|/override/note")
"""What could tell who the applicant is, as JSON pointers into an entry; the rest are amounts and scores, and what follows from them."""

NOT_SHOWN = "not shown"
"""What stands where a value was withheld or erased."""

OUTSIDE = "outside"
Shows = Callable[[str], bool]

READERS: Mapping[str, Shows] = {
    "compliance": lambda path: True,
    "analyst": lambda path: not IDENTITY.fullmatch(path),
    OUTSIDE: lambda path: False,
}
"""Whether a reader is shown the personal value at a pointer: compliance all, an analyst no identity, an outsider none."""


class UnknownReaderError(QueryError):
    """A role that nobody reads in; the message names those that there are."""


def may_read(reader: str) -> Shows:
    """Raises `UnknownReaderError`."""
    if reader not in READERS:
        raise UnknownReaderError("reader", reader, f"use {', '.join(READERS)}")
    return READERS[reader]
