"""The picture: time of one evaluation against the number of rules and of violations, one line a contender."""

from collections.abc import Mapping
from pathlib import Path
from statistics import median

import altair as alt
import vl_convert

from tests.benchmarks import contenders, peers
from tests.benchmarks.engine import IN_PLOT, RULES_FOR_VIOLATIONS, VIOLATED, Measured
from tests.benchmarks.timing import Rounds

COLOURS = {
    contenders.DEALGATE: "#0b3d91",
    contenders.UNREAD: "#3f7fd1",
    contenders.REFERENCE: "#8cb8ea",
    peers.DURABLE_HOST: "#b3261e",
    peers.DURABLE_MODULE: "#e58a7b",
    peers.ZEN: "#9bcf8f",
    peers.ZEN_TRACED: "#2e7d32",
    peers.RULE_ENGINE: "#8e5ea2",
    contenders.BY_HAND: "#777777",
}


def draw(measured: Measured, path: Path) -> None:
    """Write the plot as SVG."""
    by_rules = _chart(
        measured.by_rules,
        alt.X(
            "x:Q",
            title="rules in the policy",
            scale=alt.Scale(type="log"),
            axis=alt.Axis(values=list(measured.by_rules), labelFlush=False),
        ),
        f"{VIOLATED} of the rules violated",
    )
    by_violations = _chart(
        measured.by_violations,
        alt.X(
            "x:Q",
            title="rules violated",
            axis=alt.Axis(values=[count for count in measured.by_violations if count != 1], labelFlush=False),
        ),
        f"{RULES_FOR_VIOLATIONS} rules",
    )
    chart = alt.hconcat(by_rules, by_violations, spacing=40, background="white")
    chart = chart.resolve_scale(y="shared", color="shared", shape="shared")
    chart = chart.configure_view(strokeOpacity=0.3).configure_legend(labelLimit=260, symbolSize=90)
    path.write_text(vl_convert.vegalite_to_svg(chart.to_dict()), encoding="utf-8")


def _chart(measured: Mapping[int, Rounds], x: alt.X, title: str) -> alt.Chart:
    points = [
        {"x": place, "contender": name, "microseconds": round(median(rounds[name]), 2)}
        for place, rounds in measured.items()
        for name in IN_PLOT
    ]
    names = list(IN_PLOT)
    scale = alt.Scale(domain=names, range=[COLOURS[name] for name in names])
    legend = alt.Legend(title=None, orient="right", symbolStrokeWidth=2)
    chart: alt.Chart = (
        alt.Chart(alt.InlineData(values=points), title=title, width=360, height=420)
        .mark_line(point=alt.OverlayMarkDef(size=45), strokeWidth=2)
        .encode(
            x=x,
            y=alt.Y(
                "microseconds:Q",
                title="microseconds an evaluation",
                scale=alt.Scale(type="log"),
                axis=alt.Axis(format=",", values=[1, 10, 100, 1000, 10_000, 100_000]),
            ),
            color=alt.Color("contender:N", scale=scale, sort=names, legend=legend),
            shape=alt.Shape("contender:N", scale=alt.Scale(domain=names), sort=names, legend=legend),
        )
    )
    return chart
