"""Moments as they are written on the command line."""

from datetime import datetime

from dealgate.adapters.command_line.failures import refuse


def read_moment(text: str) -> datetime:
    """A moment with its time zone; for anything else the command ends with exit code 2."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        refuse([f"{text!r} is no moment with a time zone: write it as 2026-11-20T15:04:05-06:00"])
    return moment
