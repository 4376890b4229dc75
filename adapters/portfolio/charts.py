"""The charts of the portfolio's pages, in Altair. They draw what has been counted; doubles decide nothing here."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from dealgate.adapters.chart_marks import FONT, GREY, INK, NAVY, VERMILION
from dealgate.adapters.portfolio.pages import Chart

KEEPS = {
    "within both": "#b9c8d6",
    "beyond the candidate only": VERMILION,
    "beyond the current only": NAVY,
    "beyond both": "#7a7a7a",
}
WIDTH = 760
Rows = Sequence[Mapping[str, Any]]


def distribution(rows: Rows, step: float, axis: str, limits: Mapping[str, Sequence[float]]) -> Chart:
    """Bars of deals by whose limits they keep, and every fixed limit as a line."""
    data = _data([{**row, "to": row["from"] + step, "order": list(KEEPS).index(row["keeps"])} for row in rows])
    bars = (
        alt.Chart(data)
        .mark_bar(stroke="white", strokeWidth=0.5)
        .encode(
            x=alt.X("from:Q", bin="binned", title=axis, axis=alt.Axis(grid=False)),
            x2="to:Q",
            y=alt.Y("deals:Q", title="Deals", stack="zero"),
            color=_keeps_colour(),
            order="order:Q",
            tooltip=[
                alt.Tooltip("from:Q", title="from"),
                alt.Tooltip("to:Q"),
                "keeps:N",
                alt.Tooltip("deals:Q", format=","),
            ],
        )
    )
    lines = [{"at": at, "limit": f"{name} limit"} for name, values in limits.items() for at in values]
    dashes = alt.Scale(domain=["current limit", "candidate limit"], range=[[5, 4], [1, 0]])
    rules = (
        alt.Chart(_data(lines))
        .mark_rule(strokeWidth=1.6)
        .encode(
            x="at:Q",
            strokeDash=alt.StrokeDash("limit:N", scale=dashes, title=None),
            tooltip=["limit:N", "at:Q"],
        )
    )
    return _finished(alt.layer(bars, rules), 240)


def _keeps_colour() -> Any:
    return alt.Color("keeps:N", title=None, scale=alt.Scale(domain=list(KEEPS), range=list(KEEPS.values())))


def flips(rows: Rows) -> Chart:
    """For each rule the deals that it newly stops, and those it no longer stops."""
    values = [
        {"rule": row["rule"], "deals": row[name], "what": words}
        for row in rows
        for name, words in (("newly", "newly violated"), ("no_longer", "no longer violated"))
    ]
    chart = (
        alt.Chart(_data(values))
        .mark_bar()
        .encode(
            y=alt.Y("rule:N", title=None, sort=[row["rule"] for row in rows]),
            yOffset="what:N",
            x=alt.X("deals:Q", title="Deals"),
            color=_two("what:N", ("newly violated", "no longer violated")),
            tooltip=["rule:N", "what:N", alt.Tooltip("deals:Q", format=",")],
        )
    )
    return _finished(chart, max(80, 30 * len(rows)))


def shares(rows: Rows, title: str) -> Chart:
    """By group, the share of deals that move to a stricter and to a looser outcome."""
    values = [
        {"group": str(row["group"] or "(unknown)"), "what": what, "share": row[name] / row["deals"], "deals": row[name]}
        for row in rows
        for name, what in (("stricter", "stricter outcome"), ("looser", "looser outcome"))
    ]
    chart = (
        alt.Chart(_data(values))
        .mark_bar()
        .encode(
            x=alt.X(
                "group:N",
                title=title,
                sort=[str(row["group"] or "(unknown)") for row in rows],
                axis=alt.Axis(labelAngle=-40),
            ),
            xOffset="what:N",
            y=alt.Y("share:Q", title="Share of the group's deals", axis=alt.Axis(format="%")),
            color=_two("what:N", ("stricter outcome", "looser outcome")),
            tooltip=["group:N", "what:N", alt.Tooltip("share:Q", format=".2%"), alt.Tooltip("deals:Q", format=",")],
        )
    )
    return _finished(chart, 180)


def trade_off(rows: Rows, axis: str) -> Chart:
    """The curve of a sweep: the share of deals that are stopped or flagged, and the dollars in them, at each limit."""
    data = _data(rows)
    base = alt.Chart(data).encode(x=alt.X("limit:Q", title=axis, scale=alt.Scale(zero=False)))
    tips = [
        alt.Tooltip("limit:Q", title=axis),
        alt.Tooltip("share:Q", format=".2%"),
        alt.Tooltip("dollars:Q", format="$,.0f"),
    ]
    share = base.mark_line(point=True, color=VERMILION).encode(
        y=alt.Y("share:Q", title="Deals that do not pass", axis=alt.Axis(format="%", titleColor=VERMILION)),
        tooltip=tips,
    )
    dollars = base.mark_line(point=True, color=NAVY, strokeDash=[5, 4]).encode(
        y=alt.Y("dollars:Q", title="Amount financed in them", axis=alt.Axis(format="$.3s", titleColor=NAVY)),
        tooltip=tips,
    )
    return _finished(alt.layer(share, dollars).resolve_scale(y="independent"), 280)


def scenarios(rows: Rows, measure: str, title: str, form: str) -> Chart:
    """One bar a scenario."""
    chart = (
        alt.Chart(_data(rows))
        .mark_bar(color=NAVY)
        .encode(
            x=alt.X(f"{measure}:Q", title=title, axis=alt.Axis(format=form)),
            y=alt.Y("scenario:N", title=None, sort=[row["scenario"] for row in rows], axis=alt.Axis(labelLimit=300)),
            tooltip=["scenario:N", alt.Tooltip(f"{measure}:Q", format=form)],
        )
    )
    return _finished(chart, 34 * len(rows))


def _data(values: Sequence[Mapping[str, Any]]) -> Any:
    return alt.Data(values=list(values))  # type: ignore[no-untyped-call]


def _two(field: str, words: tuple[str, str]) -> Any:
    return alt.Color(field, title=None, scale=alt.Scale(domain=list(words), range=[VERMILION, NAVY]))


def _finished(chart: Any, height: int) -> Chart:
    finished: Chart = (
        chart.properties(width=WIDTH, height=height)
        .configure(font=FONT, background="white")
        .configure_axis(labelColor=GREY, titleColor=INK, titleFontWeight="normal", labelFontSize=11, titleFontSize=12)
        .configure_legend(orient="top", labelFontSize=12, labelLimit=300)
        .configure_view(stroke=None)
        .to_dict()
    )
    return finished
