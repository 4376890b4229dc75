"""Equity over time as a chart: balance and value by month, shaded while underwater, break-even marked."""

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
from dealgate.rules.equity_curve import EquityCurve

CURVE_TOP = 46
"""Pixels above the curve for the legend and the words at break-even."""


def curve_chart(curve: EquityCurve, width: int, height: int, *, hover: bool = False) -> Chart:
    """Balance and value by month; where the balance is above the value the gap is shaded."""
    projection = curve.projection
    high = max(*projection.balances, *projection.values)
    ticks = rounded_ticks(0, high, max(2, (height - CURVE_TOP) // 28))
    left = max(text_width(short_dollars(tick, ticks), SMALL) for tick in ticks) + 8
    x = NO_AXIS | {"scale": {"domain": [0, curve.months], "range": [left, width - 10], "nice": False}}
    y = NO_AXIS | {"scale": {"domain": [0, high / 100], "range": [height, CURVE_TOP], "nice": False}}
    months = [
        {"month": month, "balance": balance / 100, "value": value / 100}
        for month, (balance, value) in enumerate(zip(projection.balances, projection.values, strict=True))
    ]
    at_month = {"x": {"field": "month"} | x}
    layers = [
        *_level_grid(ticks, y, left, width),
        *_month_axis(curve.months, at_month, height, width - left),
        mark_of(
            {"type": "area", "fill": VERMILION, "fillOpacity": 0.22},
            at_month | {"y": {"field": "top"} | y, "y2": {"field": "value"}},
            underwater_area(curve),
        ),
        mark_of(
            {"type": "line", "stroke": VERMILION, "strokeWidth": 2, "strokeDash": [6, 3]},
            at_month | {"y": {"field": "value"} | y},
            months,
        ),
        mark_of(
            {"type": "line", "stroke": NAVY, "strokeWidth": 2.5}, at_month | {"y": {"field": "balance"} | y}, months
        ),
        *_break_even(curve, x, y, height, width, left),
        *_legend(),
        *([_hover(curve, at_month, height)] if hover else []),
    ]
    return {"width": width, "height": height, "layer": layers}


def _hover(curve: EquityCurve, at_month: Chart, height: int) -> Chart:
    """An unseen line at each month, which tells its amounts under a pointer."""
    pairs = enumerate(zip(curve.projection.balances, curve.projection.values, strict=True))
    told = [{"month": month, "owed": dollars(balance), "worth": dollars(value)} for month, (balance, value) in pairs]
    fields = [{"field": name, "type": "nominal"} for name in ("month", "owed", "worth")]
    mark = {"type": "rule", "opacity": 0, "strokeWidth": 6, "y": CURVE_TOP, "y2": height}
    return mark_of(mark, at_month | {"tooltip": fields}, told)


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
        mark_of({"type": "rule", "stroke": GRID, "x": left, "x2": width - 10}, at, values),
        mark_of(text, at | {"text": {"field": "label"}}, values),
    ]


def _month_axis(months: int, at_month: Chart, height: int, room: float) -> list[Chart]:
    values = [{"month": month, "label": str(month)} for month in month_ticks(months, min(15, int(room / 36)))]
    text = {"type": "text", "fontSize": SMALL, "fill": GREY, "baseline": "top"}
    return [
        mark_of(
            {"type": "tick", "stroke": GREY, "orient": "vertical", "size": 5, "thickness": 1, "y": height + 3},
            at_month,
            values,
        ),
        mark_of(text | {"y": height + 8}, at_month | {"text": {"field": "label"}}, values),
        mark_of(
            text | {"text": "months after the deal", "align": "right", "x": {"expr": "width - 10"}, "y": height + 23}
        ),
    ]


def month_ticks(months: int, most: int) -> list[int]:
    """Months to label: whole years where there is room for no more."""
    step = next(step for step in (1, 2, 3, 6, 12, 24, 36, 60, 120, 240) if months // step < max(2, most))
    return list(range(0, months + 1, step))


def _break_even(curve: EquityCurve, x: Chart, y: Chart, height: int, width: int, left: float) -> list[Chart]:
    """A line, a point and words at the month in which the deal comes above water."""
    month = curve.projection.break_even_month
    words = f"above water {f'from month {month}' if month else 'at the deal'}"
    whole = f"{curve.break_even[:1].lower()}{curve.break_even[1:]}"
    label = whole if text_width(whole, TEXT, bold=True) < width - left - 10 else words
    point = [{"month": month, "level": curve.projection.balances[month] / 100, "label": label}]
    at = {"x": {"field": "month"} | x}
    later_half = month > curve.months / 2
    text = {
        "type": "text",
        "baseline": "bottom",
        "align": "right" if later_half else "left",
        "fontWeight": "bold",
        "dx": 4 if later_half else -4,
        "y": CURVE_TOP - 4,
    }
    return [
        mark_of({"type": "rule", "stroke": INK, "strokeDash": [2, 2], "y": CURVE_TOP - 2, "y2": height}, at, point),
        mark_of(
            {"type": "point", "filled": True, "fill": INK, "size": 55, "opacity": 1},
            at | {"y": {"field": "level"} | y},
            point,
        ),
        mark_of(text, at | {"text": {"field": "label", "type": "nominal"}}, point),
    ]


def _legend() -> list[Chart]:
    entries = [
        ("balance owed", {"type": "rule", "stroke": NAVY, "strokeWidth": 2.5}, {"y": 7}),
        ("vehicle value", {"type": "rule", "stroke": VERMILION, "strokeWidth": 2, "strokeDash": [6, 3]}, {"y": 7}),
        ("underwater", {"type": "rect", "fill": VERMILION, "fillOpacity": 0.22}, {"y": 2, "y2": 12}),
    ]
    marks, x = list[Chart](), 0.0
    for label, mark, place in entries:
        across = {name: {"value": pixel} for name, pixel in ({"x": x, "x2": x + 24} | place).items()}
        marks.append(mark_of(mark, across))
        marks.append(
            mark_of({"type": "text", "text": label, "align": "left", "baseline": "middle", "x": x + 29, "y": 7})
        )
        x += 29 + text_width(label, TEXT) + 14
    return marks
