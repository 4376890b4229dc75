"""A submission on its way: what was concluded about a deal, before it is stored."""

from datetime import datetime
from typing import NamedTuple

from dealgate.adapters.programs import Answer
from dealgate.adapters.shadows import Look
from dealgate.rules.deal import Deal


class Concluded(NamedTuple):
    """What a submission came to."""

    answer: Answer
    looks: list[Look]
    at: datetime


class Attempt(NamedTuple):
    """A deal, what was concluded about it, and under which id, by whom and with which key that is to be stored."""

    deal: Deal
    concluded: Concluded
    entry_id: str
    actor: str | None = None
    key: str | None = None
