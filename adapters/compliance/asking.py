"""The question that a report is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from dealgate.rules.decision import moment

FIRST_YEAR, LAST_YEAR = 1900, 2999
"""Of a moment: beyond them, a zone or a period would lead out of what can be stored."""


class ReportError(ValueError):
    """A report that cannot be given as it is asked for; the message names what, and what to do."""


class Numbers(NamedTuple):
    """Between which numbers rows lie. It tells no more than the period does, and in what else names them by their numbers."""

    first: int
    last: int


class Bounds(NamedTuple):
    """Between which numbers the decisions of a period lie, and their submissions."""

    decisions: Numbers
    submissions: Numbers


@dataclass(frozen=True)
class Asked:
    """What is asked of a report. `since` is part of the period, `until` is not; `as_of` leaves out what was recorded later.

    `bounds` follow from the period, once they were looked up.
    """

    as_of: datetime
    since: datetime | None = None
    until: datetime | None = None
    by: tuple[str, ...] = ()
    given: Mapping[str, str] = field(default_factory=dict)
    bounds: Bounds | None = None

    def document(self) -> dict[str, Any]:
        """As plain JSON values: what a cursor is bound to, and what a page says of itself."""
        return {
            "as_of": moment(self.as_of),
            "since": moment(self.since) if self.since else None,
            "until": moment(self.until) if self.until else None,
            "by": list(self.by),
            **self.given,
        }
