"""Numbers as a policy writes them, on a command line: 125%, $2,500, 72."""

import re
from collections.abc import Mapping
from fractions import Fraction

from dealgate.rules.expressions import Number
from dealgate.rules.fields import Unit

FORMS: Mapping[Unit, tuple[re.Pattern[str], Fraction]] = {
    Unit.MONEY: (re.compile(r"(-?)\$(\d{1,3}(?:,\d{3})+(?:\.\d{1,2})?|\d+(?:\.\d{1,2})?)"), Fraction(100)),
    Unit.PERCENT: (re.compile(r"(-?)(\d{1,6}(?:\.\d{1,6})?) ?%"), Fraction(1, 100)),
    Unit.COUNT: (re.compile(r"(-?)(\d{1,9})"), Fraction(1)),
}


def read_amount(text: str, unit: str) -> Number | None:
    """A number of a unit, perhaps below zero; None for anything else."""
    form, scale = FORMS[Unit(unit)]
    match = form.fullmatch(text.strip())
    if match is None:
        return None
    found = Fraction(match[2].replace(",", "")) * scale * (-1 if match[1] else 1)
    return Number(Unit(unit), found.numerator, found.denominator)
