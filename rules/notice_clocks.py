"""By which day an applicant must hear what became of an application: the times of 12 CFR 1002.9, in whole days of the lender's zone.

What a person must look at in the end is when the lender itself took action; here the clocks start as early as the record allows.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from dealgate.rules.effective import zone_of

APPLICATION_DAYS = INCOMPLETE_DAYS = 30
COUNTEROFFER_DAYS = 90
"""The last day is the thirtieth, or the ninetieth, after the one it is counted from."""

OF_ACTION = ("approval", "counteroffer", "adverse_action")
CLOSING = ("approval", "adverse_action")
"""Notices after which nothing is owed on what was decided before, and a further submission is a new request."""

LOOKED_UP = ("vehicle.values[", "applicant.credit_score", "applicant.tier")
"""Beginnings of names of fields that the creditor finds out by itself: where only they are missing, the application is complete."""


class Submitted(NamedTuple):
    """A submission: when it came, and whether the applicant had given everything, and whether it was declined."""

    at: datetime
    complete: bool
    declined: bool


class Sent(NamedTuple):
    """A notice, by its kind."""

    at: datetime
    kind: str


class Clock(NamedTuple):
    """One duty to notify: from which day it counts, the last day for it, and the day on which it was met, if it was."""

    duty: str
    source: str
    began_on: date
    due_on: date
    met_on: date | None

    def days_left(self, today: date) -> int:
        """Until the last day; negative once it has passed."""
        return (self.due_on - today).days

    def state(self, today: date) -> str:
        """`met`, `met late`, `running` or `overdue`."""
        if self.met_on is not None:
            return "met" if self.met_on <= self.due_on else "met late"
        return "running" if today <= self.due_on else "overdue"


def complete(missing: Iterable[str]) -> bool:
    """Whether nothing is missing that the applicant would supply."""
    return all(name.startswith(LOOKED_UP) for name in missing)


def notice_clocks(submissions: Sequence[Submitted], notices: Sequence[Sent], time_zone: str = "UTC") -> list[Clock]:
    """The clocks of a deal's latest request, from submissions and notices in the order of their times.

    Submissions after a notice that closed the request before are a new one.
    """
    zone = zone_of(time_zone)
    latest = submissions[-1].at
    closed = max((one.at for one in notices if one.kind in CLOSING and one.at < latest), default=None)
    mine = [one for one in submissions if closed is None or one.at > closed]
    sent = [one for one in notices if closed is None or one.at > closed]

    def clock(duty: str, source: str, began: datetime, days: int, kinds: Sequence[str]) -> Clock:
        began_on = began.astimezone(zone).date()
        met = next((one.at for one in sent if one.kind in kinds and one.at >= began), None)
        due_on = began_on + timedelta(days=days)
        return Clock(duty, f"12 CFR 1002.9{source}", began_on, due_on, met.astimezone(zone).date() if met else None)

    clocks = []
    if whole := next((one for one in mine if one.complete), None):
        duty = "tell of approval, counteroffer or adverse action"
        clocks.append(clock(duty, "(a)(1)(i)", whole.at, APPLICATION_DAYS, OF_ACTION))
    else:
        duty = "tell of action taken, or of what the application lacks"
        clocks.append(clock(duty, "(c)(1)", mine[0].at, INCOMPLETE_DAYS, (*OF_ACTION, "incomplete")))
        if declined := next((one for one in mine if one.declined), None):
            duty = "tell of adverse action on an incomplete application"
            clocks.append(clock(duty, "(a)(1)(ii)", declined.at, INCOMPLETE_DAYS, ("adverse_action",)))
    duty = "tell of adverse action, unless the counteroffer was accepted"
    offers = [one for one in sent if one.kind == "counteroffer"]
    clocks += [clock(duty, "(a)(1)(iv)", one.at, COUNTEROFFER_DAYS, CLOSING) for one in offers]
    return clocks
