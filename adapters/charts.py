"""The two charts of a decided deal as one Vega-Lite specification: the structure as a waterfall, and equity over time.

Everything is placed in pixels of a given width: labels stand in columns and rows of their own, so that none meets another
whatever the amounts are. Floats serve the drawing only; every number that is written comes from integers.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from unicodedata import east_asian_width

from dealgate.rules.amounts import dollars
from dealgate.rules.equity_curve import EquityCurve, equity_curve
from dealgate.rules.structure import Document, Structure, Unknown, structure_of

Chart = dict[str, Any]

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
"""The first is carried by vl-convert; the others have the same widths where a browser draws."""

INK, GREY, GRID = "#1a1a1a", "#595959", "#d9d9d9"
ADDED, CREDITED, TOTAL, OVER = "#5b9bd5", "#f2d9a6", "#1f3d5c", "#d55e00"
TEXT, SMALL = 12, 11
ROW, BAR = 21, 13
CURVE_TOP = 46
NARROWEST, WIDEST, USUAL = 360, 2400, 800


def picture(deal: Document, decision: Document, width: int = USUAL) -> Chart:
    """The whole figure of a decision: both charts under each other, each with what it says in words."""
    structure, curve = structure_of(deal, decision), equity_curve(deal, decision)
    policy = f"{decision['policy']['name']} {decision['policy']['version']}"
    head = f"Deal {decision['deal_id']}: {decision['outcome'].upper()} under {policy}"
    parts = [
        written([Line(head, 15, bold=True)], width),
        *structure_parts(structure, width),
        *curve_parts(curve, width),
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
    return [written([heading, *map(Line, structure.sentences)], width), _waterfall(structure, width)]


def curve_parts(curve: EquityCurve | Unknown, width: int) -> list[Chart]:
    heading = Line("Equity over time", 13, bold=True)
    if isinstance(curve, Unknown):
        return [written([heading, Line(curve.sentence)], width)]
    said = written([heading, Line(" ".join(curve.sentences))], width)
    notes = [Line(note, SMALL, fill=GREY) for note in (curve.assumptions, curve.source)]
    return [said, curve_chart(curve, width, min(430, max(250, width // 3))), written(notes, width)]


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
            marks.append(_mark({"type": "text", "text": text} | look | place))
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
}
WIDTHS = {character: share for share, characters in SHARES.items() for character in characters}
"""Widths of common characters as shares of the font's size, rounded up; any other is taken as wide."""


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """About how many pixels a text takes, rather too many than too few."""
    shares = (WIDTHS.get(character, 1.05 if east_asian_width(character) in "WF" else 0.85) for character in text)
    return sum(shares) * size * (1.07 if bold else 1.0)


NO_AXIS: Chart = {"type": "quantitative", "axis": None}


def _mark(mark: Chart, encoding: Chart | None = None, values: Sequence[Chart] = ({},)) -> Chart:
    return {"data": {"values": list(values)}, "mark": mark, "encoding": encoding or {}}


def _waterfall(structure: Structure, width: int) -> Chart:
    rows = _rows(structure)
    labels = max(text_width(row["label"], TEXT, bold=True) for row in rows) + 10
    amounts = max(text_width(row["amount"], TEXT, bold=True) for row in rows) + 10
    places = {"range": [labels, width - amounts]}
    low, high = min(0, *(row["from"] for row in rows)), max(row["to"] for row in rows)
    ticks = rounded_ticks(low, high, min(12, max(2, int((width - labels - amounts) / 40))))
    scale = places | {"domain": [low / 100, high / 100], "nice": False, "zero": False}
    x = NO_AXIS | {"scale": scale}
    top = 4
    for number, row in enumerate(rows):
        row |= {"y": top + number * ROW, "middle": top + number * ROW + BAR / 2, "start": row["from"] / 100,
                "end": row["to"] / 100, "level": row["at"] / 100}  # fmt: skip
    height = top + len(rows) * ROW
    return {
        "width": width,
        "height": height,
        "layer": [
            *_dollar_grid(ticks, x, height),
            *_connectors(rows, x),
            *(_bar(row, x) for row in rows),
            *_over_the_limit(structure, rows, x),
            *(_upright(row, x, top) for row in rows if row["kind"] in {"limit", "value"}),
            *(_row_text(row["label"], 0, row, "left") for row in rows),
            *(_row_text(row["amount"], width, row, "right") for row in rows),
        ],
    }


def _rows(structure: Structure) -> list[Chart]:
    """A row for each bar, top to bottom, in cents: where it starts and ends, and the level it leaves."""
    rows, level = list[Chart](), 0
    for step in structure.steps:
        after = level + step.amount
        kind = "added" if step.amount > 0 else "credited"
        amount = dollars(step.amount) if not rows else f"{'+' if step.amount > 0 else '−'}{dollars(abs(step.amount))}"
        rows.append({"label": step.label, "amount": amount, "kind": kind, "at": after} | _span(level, after))
        level = after
    total = structure.amount_financed
    rows.append(_standing("Amount financed", total, "total"))
    if structure.limit:
        named = f"LTV limit {structure.limit.percent} %, {structure.limit.rule}"
        label = named if len(named) <= 32 else f"LTV limit {structure.limit.percent} %"
        rows.append(_standing(label, structure.limit.amount, "limit"))
    if not isinstance(structure.collateral_value, Unknown):
        rows.append(_standing("Collateral value", structure.collateral_value, "value"))
    return rows


def _standing(label: str, amount: int, kind: str) -> Chart:
    return {"label": label, "amount": dollars(amount), "kind": kind, "at": amount} | _span(0, amount)


def _span(one: int, other: int) -> dict[str, int]:
    return {"from": min(one, other), "to": max(one, other)}


BARS: dict[str, Chart] = {
    "added": {"fill": ADDED, "stroke": ADDED},
    "credited": {"fill": CREDITED, "stroke": "#9a7b34"},
    "total": {"fill": TOTAL, "stroke": TOTAL},
    "limit": {"fill": "white", "stroke": INK, "strokeDash": [4, 3]},
    "value": {"fill": "#e6e6e6", "stroke": INK},
}


def _bar(row: Chart, x: Chart) -> Chart:
    mark: Chart = {"type": "rect", "strokeWidth": 1, "y": row["y"], "y2": row["y"] + BAR, **BARS[row["kind"]]}
    return _mark(mark, {"x": {"field": "start"} | x, "x2": {"field": "end"}}, [_shown(row)])


def _over_the_limit(structure: Structure, rows: Sequence[Chart], x: Chart) -> list[Chart]:
    """The part of the amount financed that the limit does not allow."""
    if structure.limit is None or structure.limit.amount >= structure.amount_financed:
        return []
    row = next(row for row in rows if row["kind"] == "total")
    mark = {"type": "rect", "fill": OVER, "stroke": TOTAL, "strokeWidth": 1, "y": row["y"], "y2": row["y"] + BAR}
    part = {"start": structure.limit.amount / 100, "end": row["end"]}
    return [_mark(mark, {"x": {"field": "start"} | x, "x2": {"field": "end"}}, [part])]


def _upright(row: Chart, x: Chart, top: int) -> Chart:
    """A line from a level up through the steps above it."""
    dash = [4, 3] if row["kind"] == "limit" else [1, 0]
    mark = {"type": "rule", "stroke": INK, "strokeDash": dash, "strokeWidth": 1, "y": top - 4, "y2": row["y"]}
    return _mark(mark, {"x": {"field": "level"} | x}, [_shown(row)])


def _connectors(rows: Sequence[Chart], x: Chart) -> list[Chart]:
    steps = [row for row in rows if row["kind"] in {"added", "credited"}]
    mark = {"type": "rule", "stroke": GREY, "strokeWidth": 1}
    return [
        _mark(mark | {"y": row["y"] + BAR, "y2": row["y"] + ROW}, {"x": {"field": "level"} | x}, [_shown(row)])
        for row in steps
    ]


def _shown(row: Chart) -> Chart:
    return {name: row[name] for name in ("label", "amount", "start", "end", "level")}


def _row_text(text: str, x: int, row: Chart, align: str) -> Chart:
    weight = "bold" if row["kind"] == "total" else "normal"
    return _mark({"type": "text", "text": text, "align": align, "baseline": "middle", "fontWeight": weight, "x": x,
                  "y": row["middle"]})  # fmt: skip


def _dollar_grid(ticks: Sequence[int], x: Chart, height: int) -> list[Chart]:
    values = [{"level": tick / 100, "label": short_dollars(tick, ticks)} for tick in ticks]
    at = {"x": {"field": "level"} | x}
    text = {"type": "text", "fontSize": SMALL, "fill": GREY, "baseline": "top", "y": height + 2}
    return [
        _mark({"type": "rule", "stroke": GRID, "y": 0, "y2": height}, at, values),
        _mark(text, at | {"text": {"field": "label"}}, values),
    ]


def curve_chart(curve: EquityCurve, width: int, height: int) -> Chart:
    """Balance and value by month; where the balance is above the value the gap is shaded."""
    projection = curve.projection
    high = max(*projection.balances, *projection.values)
    ticks = rounded_ticks(0, high, max(2, (height - CURVE_TOP) // 28))
    left = max(text_width(short_dollars(tick, ticks), SMALL) for tick in ticks) + 8
    x = NO_AXIS | {"scale": {"domain": [0, curve.months], "range": [left, width - 10], "nice": False}}
    y = NO_AXIS | {"scale": {"domain": [0, high / 100], "range": [height, CURVE_TOP], "nice": False}}
    months = [
        {"month": month, "balance": balance / 100, "value": value / 100, "told": f"month {month}",
         "owed": dollars(balance), "brings": dollars(value)}
        for month, (balance, value) in enumerate(zip(projection.balances, projection.values, strict=True))
    ]  # fmt: skip
    at_month = {"x": {"field": "month"} | x}
    hints = [{"field": "told", "title": "end of"}, {"field": "owed"}, {"field": "brings"}]
    hovered = {"tooltip": [{"type": "nominal"} | hint for hint in hints]}
    layers = [
        *_level_grid(ticks, y, left, width),
        *_month_axis(curve.months, at_month, height, width - left),
        _mark({"type": "area", "fill": OVER, "fillOpacity": 0.22},
              at_month | {"y": {"field": "top"} | y, "y2": {"field": "value"}}, underwater_area(curve)),
        _mark({"type": "line", "stroke": OVER, "strokeWidth": 2, "strokeDash": [6, 3]},
              at_month | {"y": {"field": "value"} | y}, months),
        _mark({"type": "line", "stroke": TOTAL, "strokeWidth": 2.5}, at_month | {"y": {"field": "balance"} | y}, months),
        *_break_even(curve, x, y, height, width, left),
        *_legend(curve),
        _mark({"type": "rule", "opacity": 0, "strokeWidth": 6, "y": CURVE_TOP, "y2": height}, at_month | hovered, months),
    ]  # fmt: skip
    return {"width": width, "height": height, "layer": layers}


def underwater_area(curve: EquityCurve) -> list[dict[str, float]]:
    """The upper edge of the shaded area: the balance while it is above the value, else the value, and where they cross."""
    points = list[dict[str, float]]()
    gap = 0.0
    for month, (balance, value) in enumerate(zip(curve.projection.balances, curve.projection.values, strict=True)):
        before, gap = gap, (balance - value) / 100
        if before * gap < 0:
            share = before / (before - gap)
            level = points[-1]["value"] + share * (value / 100 - points[-1]["value"])
            points.append({"month": month - 1 + share, "top": level, "value": level})
        points.append({"month": month, "top": max(balance, value) / 100, "value": value / 100})
        if gap <= 0:
            points[-1]["top"] = value / 100
    return points


def _level_grid(ticks: Sequence[int], y: Chart, left: float, width: int) -> list[Chart]:
    values = [{"level": tick / 100, "label": short_dollars(tick, ticks)} for tick in ticks]
    at = {"y": {"field": "level"} | y}
    text = {"type": "text", "fontSize": SMALL, "fill": GREY, "align": "right", "baseline": "middle", "x": left - 6}
    return [
        _mark({"type": "rule", "stroke": GRID, "x": left, "x2": width - 10}, at, values),
        _mark(text, at | {"text": {"field": "label"}}, values),
    ]


def _month_axis(months: int, at_month: Chart, height: int, room: float) -> list[Chart]:
    values = [{"month": month, "label": str(month)} for month in month_ticks(months, min(15, int(room / 36)))]
    text = {"type": "text", "fontSize": SMALL, "fill": GREY, "baseline": "top"}
    return [
        _mark({"type": "tick", "stroke": GREY, "orient": "vertical", "size": 5, "thickness": 1, "y": height + 3},
              at_month, values),
        _mark(text | {"y": height + 8}, at_month | {"text": {"field": "label"}}, values),
        _mark(text | {"text": "months after the deal", "align": "right", "x": {"expr": "width - 10"}, "y": height + 23}),
    ]  # fmt: skip


def _break_even(curve: EquityCurve, x: Chart, y: Chart, height: int, width: int, left: float) -> list[Chart]:
    """A line, a point and words at the month in which the deal comes above water."""
    month = curve.projection.break_even_month
    words = f"above water {f'from month {month}' if month else 'at the deal'}"
    whole = f"{curve.break_even[:1].lower()}{curve.break_even[1:]}"
    label = whole if text_width(whole, TEXT, bold=True) < width - left - 10 else words
    point = [{"month": month, "level": curve.projection.balances[month] / 100, "label": label}]
    at = {"x": {"field": "month"} | x}
    later_half = month > curve.months / 2
    text = {"type": "text", "baseline": "bottom", "align": "right" if later_half else "left", "fontWeight": "bold",
            "dx": 4 if later_half else -4, "y": CURVE_TOP - 4}  # fmt: skip
    return [
        _mark({"type": "rule", "stroke": INK, "strokeDash": [2, 2], "y": CURVE_TOP - 2, "y2": height}, at, point),
        _mark({"type": "point", "filled": True, "fill": INK, "size": 55, "opacity": 1},
              at | {"y": {"field": "level"} | y}, point),
        _mark(text, at | {"text": {"field": "label", "type": "nominal"}}, point),
    ]  # fmt: skip


def _legend(curve: EquityCurve) -> list[Chart]:
    value = "vehicle value" if curve.wholesale == "100 %" else f"vehicle value, {curve.wholesale} wholesale"
    entries = [
        ("balance owed", {"type": "rule", "stroke": TOTAL, "strokeWidth": 2.5}, {"y": 7}),
        (value, {"type": "rule", "stroke": OVER, "strokeWidth": 2, "strokeDash": [6, 3]}, {"y": 7}),
        ("underwater", {"type": "rect", "fill": OVER, "fillOpacity": 0.22}, {"y": 2, "y2": 12}),
    ]
    marks, x = list[Chart](), 0.0
    for label, mark, place in entries:
        across = {name: {"value": pixel} for name, pixel in ({"x": x, "x2": x + 24} | place).items()}
        marks.append(_mark(mark, across))
        marks.append(_mark({"type": "text", "text": label, "align": "left", "baseline": "middle", "x": x + 29, "y": 7}))
        x += 29 + text_width(label, TEXT) + 14
    return marks


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


def month_ticks(months: int, most: int) -> list[int]:
    """Months to label: whole years where there is room for no more."""
    step = next(step for step in (1, 2, 3, 6, 12, 24, 36, 60, 120, 240) if months // step < max(2, most))
    return list(range(0, months + 1, step))


def text_of(chart: Chart) -> str:
    """The specification as JSON that may stand inside a page: no `<` of a deal's can end a script there."""
    return json.dumps(chart, ensure_ascii=True).replace("<", "\\u003c")
