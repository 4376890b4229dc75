"""Equity over time in a terminal: a bar for each year, and what the curve says."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dealgate.rules.amounts import dollars
from dealgate.rules.equity_curve import equity_curve
from dealgate.rules.structure import Unknown

BAR = 24
COVERED, UNDERWATER, EQUITY = "█", "░", "·"


def equity_over_time(deal: Mapping[str, Any], decision: Mapping[str, Any]) -> RenderableType:
    """What is owed and what the vehicle is worth at the end of each year, and in the month they meet."""
    curve = equity_curve(deal, decision)
    if isinstance(curve, Unknown):
        return Text(curve.sentence)
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("Month", "Owed", "Value", "Equity"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(f"{COVERED} covered {UNDERWATER} not {EQUITY} equity", no_wrap=True)
    scale = max(*curve.projection.balances, *curve.projection.values)
    for month in curve.shown_months:
        balance, value = curve.projection.balances[month], curve.projection.values[month]
        amounts = (dollars(amount).replace("$", "") for amount in (balance, value, value - balance))
        style = "bold" if month == curve.projection.break_even_month else ""
        table.add_row(str(month), *amounts, bar(balance, value, scale), style=style)
    return Group(table, Text(" ".join(curve.sentences)), Text(curve.assumptions, style="dim"))


def bar(balance: int, value: int, scale: int) -> Text:
    """What is owed and covered by the value, then what is owed above it, or what the value leaves."""
    lower, upper = (BAR * amount // scale for amount in sorted((balance, value)))
    if balance > value:
        return Text.assemble(COVERED * lower, (UNDERWATER * max(1, upper - lower), "red"))
    return Text.assemble(COVERED * lower, (EQUITY * (upper - lower), "green"))
