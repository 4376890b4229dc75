"""The two charts of a decided deal as one Vega-Lite specification: the structure as a waterfall, and equity over time.

Everything is placed in pixels of a given width: labels stand in columns and rows of their own, so that none meets another
whatever the amounts are. Floats serve the drawing only; every number that is written comes from integers.
"""

import json
from collections.abc import Sequence

from dealgate.adapters.chart_marks import FONT, GREY, INK, SMALL, TEXT, Chart, Line, written
from dealgate.adapters.curve_chart import curve_chart
from dealgate.adapters.waterfall import waterfall
from dealgate.rules.equity_curve import EquityCurve, equity_curve
from dealgate.rules.structure import Document, Structure, Unknown, structure_of

NARROWEST, WIDEST, USUAL = 360, 2400, 800


def picture(deal: Document, decision: Document, width: int = USUAL, *, hover: bool = False) -> Chart:
    """The whole figure of a decision: both charts under each other, each with what it says in words.

    With `hover` each month tells its amounts under a pointer, which only a page can show.
    """
    structure, curve = structure_of(deal, decision), equity_curve(deal, decision)
    policy = f"{decision['policy']['name']} {decision['policy']['version']}"
    head = f"Deal {decision['deal_id']}: {decision['outcome'].upper()} under {policy}"
    parts = [
        written([Line(head, 15, bold=True)], width),
        *structure_parts(structure, width),
        *curve_parts(curve, width, hover=hover),
    ]
    return figure(parts, head)


def figure(parts: Sequence[Chart], description: str) -> Chart:
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "description": description,
        "background": "white",
        "padding": 12,
        "spacing": 12,
        "config": {"font": FONT, "view": {"stroke": None}, "text": {"fontSize": TEXT, "fill": INK}},
        "vconcat": list(parts),
    }


def structure_parts(structure: Structure | Unknown, width: int) -> list[Chart]:
    heading = Line("Structure", 13, bold=True)
    if isinstance(structure, Unknown):
        return [written([heading, Line(structure.sentence)], width)]
    return [written([heading, *map(Line, structure.sentences)], width), waterfall(structure, width)]


def curve_parts(curve: EquityCurve | Unknown, width: int, *, hover: bool) -> list[Chart]:
    heading = Line("Equity over time", 13, bold=True)
    if isinstance(curve, Unknown):
        return [written([heading, Line(curve.sentence)], width)]
    said = written([heading, Line(" ".join(curve.sentences))], width)
    notes = [Line(note, SMALL, fill=GREY) for note in (curve.assumptions, curve.source)]
    return [said, curve_chart(curve, width, min(430, max(250, width // 3)), hover=hover), written(notes, width)]


def text_of(chart: Chart) -> str:
    """The specification as JSON that may stand inside a page: no `<` of a deal's can end a script there."""
    return json.dumps(chart, ensure_ascii=True).replace("<", "\\u003c")
