"""The structure as a waterfall: a row for each step, then the total, the limit and the collateral value."""

from collections.abc import Sequence

from dealgate.adapters.chart_marks import (
    GREY,
    GRID,
    INK,
    NAVY,
    NO_AXIS,
    SMALL,
    TEXT,
    VERMILION,
    Chart,
    mark_of,
    rounded_ticks,
    short_dollars,
    text_width,
)
from dealgate.rules.amounts import dollars
from dealgate.rules.structure import Structure, Unknown

ADDED, CREDITED = "#5b9bd5", "#f2d9a6"
ROW, BAR = 21, 13


def waterfall(structure: Structure, width: int) -> Chart:
    rows = _rows(structure)
    labels = max(text_width(row["label"], TEXT, bold=True) for row in rows) + 10
    amounts = max(text_width(row["amount"], TEXT, bold=True) for row in rows) + 10
    places = {"range": [labels, width - amounts]}
    low, high = min(0, *(row["from"] for row in rows)), max(1, *(row["to"] for row in rows))
    ticks = rounded_ticks(low, high, min(12, max(2, int((width - labels - amounts) / 40))))
    scale = places | {"domain": [low / 100, high / 100], "nice": False, "zero": False}
    x = NO_AXIS | {"scale": scale}
    top = 4
    for number, row in enumerate(rows):
        row |= {
            "y": top + number * ROW,
            "middle": top + number * ROW + BAR / 2,
            "start": row["from"] / 100,
            "end": row["to"] / 100,
            "level": row["at"] / 100,
        }
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
    "total": {"fill": NAVY, "stroke": NAVY},
    "limit": {"fill": "white", "stroke": INK, "strokeDash": [4, 3]},
    "value": {"fill": "#e6e6e6", "stroke": INK},
}


def _bar(row: Chart, x: Chart) -> Chart:
    mark: Chart = {"type": "rect", "strokeWidth": 1, "y": row["y"], "y2": row["y"] + BAR, **BARS[row["kind"]]}
    return mark_of(mark, {"x": {"field": "start"} | x, "x2": {"field": "end"}}, [_shown(row)])


def _over_the_limit(structure: Structure, rows: Sequence[Chart], x: Chart) -> list[Chart]:
    """The part of the amount financed that the limit does not allow."""
    if structure.limit is None or structure.limit.amount >= structure.amount_financed:
        return []
    row = next(row for row in rows if row["kind"] == "total")
    mark = {"type": "rect", "fill": VERMILION, "stroke": NAVY, "strokeWidth": 1, "y": row["y"], "y2": row["y"] + BAR}
    part = {"start": structure.limit.amount / 100, "end": row["end"]}
    return [mark_of(mark, {"x": {"field": "start"} | x, "x2": {"field": "end"}}, [part])]


def _upright(row: Chart, x: Chart, top: int) -> Chart:
    """A line from a level up through the steps above it."""
    dash = [4, 3] if row["kind"] == "limit" else [1, 0]
    mark = {"type": "rule", "stroke": INK, "strokeDash": dash, "strokeWidth": 1, "y": top - 4, "y2": row["y"]}
    return mark_of(mark, {"x": {"field": "level"} | x}, [_shown(row)])


def _connectors(rows: Sequence[Chart], x: Chart) -> list[Chart]:
    steps = [row for row in rows if row["kind"] in {"added", "credited"}]
    mark = {"type": "rule", "stroke": GREY, "strokeWidth": 1}
    return [
        mark_of(mark | {"y": row["y"] + BAR, "y2": row["y"] + ROW}, {"x": {"field": "level"} | x}, [_shown(row)])
        for row in steps
    ]


def _shown(row: Chart) -> Chart:
    return {name: row[name] for name in ("label", "amount", "start", "end", "level")}


def _row_text(text: str, x: int, row: Chart, align: str) -> Chart:
    weight = "bold" if row["kind"] == "total" else "normal"
    return mark_of(
        {
            "type": "text",
            "text": text,
            "align": align,
            "baseline": "middle",
            "fontWeight": weight,
            "x": x,
            "y": row["middle"],
        }
    )


def _dollar_grid(ticks: Sequence[int], x: Chart, height: int) -> list[Chart]:
    values = [{"level": tick / 100, "label": short_dollars(tick, ticks)} for tick in ticks]
    at = {"x": {"field": "level"} | x}
    text = {"type": "text", "fontSize": SMALL, "fill": GREY, "baseline": "top", "y": height + 2}
    return [
        mark_of({"type": "rule", "stroke": GRID, "y": 0, "y2": height}, at, values),
        mark_of(text, at | {"text": {"field": "label"}}, values),
    ]
