"""Moments as they are written on the command line."""

from datetime import datetime

from dealgate.adapters.command_line.failures import refuse

YEARS = range(1900, 3000)
"""Far enough from the ends of the calendar for every time zone and every count of days."""


def read_moment(text: str) -> datetime:
    """A moment with its time zone, of an age that both databases know; for anything else the command ends with exit code 2."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        refuse([f"{text!r} is no moment with a time zone: write it as 2026-11-20T15:04:05-06:00"])
    if moment.year not in YEARS:
        refuse([f"{text!r} is no moment of this age: give a year from {YEARS.start} to {YEARS.stop - 1}"])
    return moment
