"""What of a decision that drifted a reader is shown: every place, and its values where they are not personal."""

import re

from dealgate.adapters.compliance.withholding import NOT_SHOWN, OUTSIDE, Shows
from dealgate.adapters.replay import Difference
from dealgate.models.envelope import TOLD_OF_A_FINDING
from dealgate.models.verification import Flaw

PARTS = re.compile(r"/(measures|findings)/.*|/(cures|unfixable)(/.*)?")
PLAIN = re.compile(rf"/measures/[^/]+/unit|/findings/[^/]+/({'|'.join(TOLD_OF_A_FINDING)})(/\d+)?")
"""What of measures and findings an envelope says openly, whatever they rest on; every other part of one may be personal."""

TELLING = re.compile(r"actor of .*|(.* of )?findings of .*")
"""Flaws with the name of staff, or with columns of a finding that somebody may have filled with what was kept out of them."""


def shown_difference(difference: Difference, shows: Shows) -> Difference:
    path = _pointer(difference.where)
    if path is None or shows(path, f"{difference.stored} {difference.today}"):
        return difference
    return difference._replace(stored=NOT_SHOWN, today=NOT_SHOWN)


def _pointer(where: str) -> str | None:
    """Where it would stand in an envelope if it were personal; None where it never is."""
    return f"/decision{where}/evidence" if PARTS.fullmatch(where) and not PLAIN.fullmatch(where) else None


def shown_flaw(flaw: Flaw, reader: str) -> Flaw:
    """An error about a row that cannot be read may quote it."""
    if reader == OUTSIDE and (flaw.what == "row" or TELLING.fullmatch(flaw.where)):
        return flaw._replace(expected=NOT_SHOWN, got=NOT_SHOWN)
    return flaw
