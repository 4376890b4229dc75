"""What the charts are made of: marks of Vega-Lite, text that is broken to a width, and round numbers for axes."""

import re
from collections.abc import Iterable, Sequence
from math import fsum
from typing import Any, NamedTuple
from unicodedata import east_asian_width

from dealgate.rules.amounts import dollars

Chart = dict[str, Any]

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
"""The first is carried by vl-convert; the others have the same widths where a browser draws."""

INK, GREY, GRID = "#1a1a1a", "#595959", "#d9d9d9"
NAVY, VERMILION = "#1f3d5c", "#d55e00"
"""Far apart in lightness too: they stay apart for the colour-blind and in a black-and-white print."""

TEXT, SMALL = 12, 11


UNBROKEN = re.compile(r"\s+(?!%)")


class Line(NamedTuple):
    """A text that is broken into as many lines as it needs."""

    text: str
    size: int = TEXT
    bold: bool = False
    fill: str = INK


def written(lines: Iterable[Line], width: int) -> Chart:
    """Text, broken to the width."""
    marks, y = list[Chart](), 0
    for line in lines:
        for text in broken(line, width):
            look = {"fontSize": line.size, "fontWeight": "bold" if line.bold else "normal", "fill": line.fill}
            place = {"align": "left", "baseline": "top", "x": 0, "y": y, "limit": width}
            marks.append(mark_of({"type": "text", "text": text} | look | place))
            y += line.size + (7 if line.bold else 4)
    return {"width": width, "height": y, "layer": marks}


def broken(line: Line, width: int) -> list[str]:
    """Break a text into lines of at most so many pixels; a word too long for a line is broken too."""
    lines = [""]
    for word in UNBROKEN.split(line.text):
        joined = f"{lines[-1]} {word}".strip()
        if text_width(joined, line.size, bold=line.bold) <= width:
            lines[-1] = joined
            continue
        lines += [""] if lines[-1] else []
        for character in word:
            if text_width(lines[-1] + character, line.size, bold=line.bold) > width:
                lines.append("")
            lines[-1] += character
    return lines


SHARES = {
    0.23: "ijl",
    0.29: "tfI.,:;/'!| ",
    0.34: "r()-",
    0.5: "ckvxyszJ",
    0.56: "abdeghnopquL0123456789$+",
    0.67: "ABEFKPSTVXYZ",
    0.73: "CDHNRUw&−_",
    0.84: "mMGOQ",
}
WIDTHS = {character: share for share, characters in SHARES.items() for character in characters}
"""Widths of common characters as shares of the font's size, rounded up; any other is taken as wide."""


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """About how many pixels a text takes, rather too many than too few."""
    shares = (WIDTHS.get(character, 1.05 if east_asian_width(character) in "WF" else 1.02) for character in text)
    return fsum(shares) * size * (1.07 if bold else 1.0)


NO_AXIS: Chart = {"type": "quantitative", "axis": None}


def mark_of(mark: Chart, encoding: Chart | None = None, values: Sequence[Chart] = ({},)) -> Chart:
    return {"data": {"values": list(values)}, "mark": mark, "encoding": encoding or {}}


def rounded_ticks(low: int, high: int, most: int) -> list[int]:
    """Round amounts of cents from low to high, about so many, 1, 2 or 5 of some power of ten apart."""
    steps = (factor * 10**power for power in range(12) for factor in (1, 2, 5))
    step = next(step for step in steps if (high - low) // step < most)
    return list(range(-(-low // step) * step, high + 1, step))


def short_dollars(amount: int, ticks: Sequence[int]) -> str:
    """An axis label: "$30k", "$2.5M"; with cents where the axis counts cents."""
    sign, amount = ("−", -amount) if amount < 0 else ("", amount)
    largest = max(abs(tick) for tick in ticks)
    for unit, letter in ((100_000_000, "M"), (100_000, "k")):
        if amount and largest >= 5 * unit:
            whole, part = divmod(amount, unit)
            decimals = f"{part * 1000 // unit:03d}".rstrip("0")
            return f"{sign}${whole}{'.' if decimals else ''}{decimals}{letter}"
    whole_dollars = all(tick % 100 == 0 for tick in ticks)
    return f"{sign}${amount // 100:,}" if whole_dollars else f"{sign}{dollars(amount)}"
