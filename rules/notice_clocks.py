"""By which day an applicant must hear what became of an application: the times of 12 CFR 1002.9, in whole days of the lender's zone.

What a person must look at in the end is when the lender itself took action; here the clocks start as early as the record allows.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from dealgate.rules.effective import zone_of
from dealgate.rules.fields import FIELDS

OF_ACTION = ("approval", "counteroffer", "adverse_action")
CLOSING = ("approval", "adverse_action")
"""Notices after which nothing is owed on what was decided before, and a further submission is a new request."""

LOOKED_UP = ("vehicle.values[", "applicant.credit_score", "applicant.credit_report_as_of", "applicant.tier")
"""Beginnings of names of fields that the creditor finds out by itself: where only they are missing, the application is complete."""

PATHS = frozenset(field.path for field in FIELDS.values())


class Duty(NamedTuple):
    """What to tell, within how many days after the one it counts from, and the kinds of notices that meet it."""

    words: str
    source: str
    days: int
    kinds: Sequence[str]


APPLICATION = Duty("tell of approval, counteroffer or adverse action", "12 CFR 1002.9(a)(1)(i)", 30, OF_ACTION)
INCOMPLETE = Duty(
    "tell of action taken, or of what the application lacks", "12 CFR 1002.9(c)(1)", 30, (*OF_ACTION, "incomplete")
)
DECLINED = Duty(
    "tell of adverse action on an incomplete application", "12 CFR 1002.9(a)(1)(ii)", 30, ("adverse_action",)
)
COUNTEROFFER = Duty(
    "tell of adverse action, unless the counteroffer was accepted", "12 CFR 1002.9(a)(1)(iv)", 90, CLOSING
)


class Submitted(NamedTuple):
    """A submission: when it came, whether the applicant had given everything, whether it was declined, the day that it names."""

    at: datetime
    complete: bool
    declined: bool
    names: date | None = None


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
        """Until the last day, which has 0; negative once it has passed."""
        return (self.due_on - today).days

    def state(self, today: date) -> str:
        """`met`, `met late`, `running` or `overdue`."""
        if self.met_on is not None:
            return "met" if self.met_on <= self.due_on else "met late"
        return "running" if today <= self.due_on else "overdue"


def complete(missing: Iterable[str]) -> bool:
    """Whether nothing is missing that the applicant would supply."""
    return not asked_of_applicant(missing)


def asked_of_applicant(missing: Iterable[str]) -> list[str]:
    """Of what left rules unjudged, what the applicant would supply: not what a measure or a table of the policy comes to by itself."""
    return [name for name in missing if not name.startswith(LOOKED_UP) and not _is_of_the_policy(name)]


def _is_of_the_policy(name: str) -> bool:
    """As in "collateral_value (above zero)" and "max_total_ltv (no row holds)"."""
    head, remark, _ = name.partition(" (")
    return bool(remark) and "[" not in head and head not in PATHS


def clock(duty: Duty, began_on: date, met_on: date | None = None) -> Clock:
    return Clock(duty.words, duty.source, began_on, began_on + timedelta(days=duty.days), met_on)


def notice_clocks(submissions: Sequence[Submitted], notices: Sequence[Sent], time_zone: str = "UTC") -> list[Clock]:
    """The clocks of a deal's latest request, from submissions and notices in the order of their times.

    Submissions after a notice that closed the request before are a new one. Each counts from the day it came, or from the one that it
    names if that is earlier, but not from before that notice. What had run out before the application became complete stays told.
    """
    zone = zone_of(time_zone)
    latest = submissions[-1].at
    closed = max((one.at for one in notices if one.kind in CLOSING and one.at < latest), default=None)
    mine = [one for one in submissions if closed is None or one.at > closed]
    sent = [one for one in notices if closed is None or one.at > closed]

    def day(moment: datetime) -> date:
        return moment.astimezone(zone).date()

    def began_on(one: Submitted) -> date:
        earlier = min(day(one.at), one.names or date.max)
        return max(earlier, day(closed)) if closed else earlier

    def running(duty: Duty, since: datetime, start: date) -> Clock:
        met = next((one.at for one in sent if one.kind in duty.kinds and one.at >= since), None)
        return clock(duty, start, day(met) if met else None)

    def of_submissions(duty: Duty, those: Sequence[Submitted]) -> list[Clock]:
        return [running(duty, those[0].at, min(map(began_on, those)))] if those else []

    complete_ones = [one for one in mine if one.complete]
    before = [one for one in mine if not complete_ones or one.at < complete_ones[0].at]
    clocks = of_submissions(INCOMPLETE, before) + of_submissions(DECLINED, [one for one in before if one.declined])
    if complete_ones:
        whole_on = day(complete_ones[0].at)
        clocks = [one for one in clocks if one.due_on < whole_on and one.state(whole_on) != "met"]
    clocks += of_submissions(APPLICATION, complete_ones)
    return clocks + [running(COUNTEROFFER, one.at, day(one.at)) for one in sent if one.kind == "counteroffer"]
