"""One self-contained HTML page: headings, paragraphs, tables and charts; it opens offline and reads well printed."""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from typing import Any, NamedTuple

import vl_convert

STYLE = """\
body { font: 15px/1.5 "Liberation Sans", Arial, Helvetica, sans-serif; color: #1a1a1a; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .5rem; border-bottom: 2px solid #1f3d5c; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; } h1, h2, h3 { break-after: avoid; }
p { max-width: 48rem; margin: .4rem 0; } p.note { color: #595959; font-size: .87rem; }
.figures { display: flex; flex-wrap: wrap; gap: .8rem 2.4rem; margin: 1rem 0; }
.figures div { min-width: 9rem; } .figures span { color: #595959; font-size: .85rem; }
.figures b { display: block; font-size: 1.45rem; line-height: 1.2; }
table { border-collapse: collapse; margin: .6rem 0 1rem; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { padding: .22rem .7rem; text-align: right; vertical-align: top; border-bottom: 1px solid #d9d9d9; }
th { border-bottom: 1.5px solid #595959; text-align: right; } th.t, td.t { text-align: left; }
td.up { background: #fbe3d4; } td.down { background: #dde8f2; } td.same { background: #f3f3f3; }
ul.told { margin: 0; padding-left: 1.1rem; max-width: 34rem; } tr { break-inside: avoid; }
.chart { margin: .6rem 0; overflow-x: auto; break-inside: avoid; } .chart svg { max-width: 100%; height: auto; }
.vega-embed details, .vega-embed .vega-actions { display: none; }
@media print { body { margin: 0; max-width: none; font-size: 10pt; } @page { margin: 1.6cm; } h2 { margin-top: 1.4rem; } }
"""

Chart = dict[str, Any]


class Cell(NamedTuple):
    text: str
    kind: str = ""


class Page:
    """A page under construction; everything it is given is text, never markup."""

    def __init__(self, title: str) -> None:
        self.title = title
        self._body: list[str] = [f"<h1>{escape(title)}</h1>"]
        self._charts: list[Chart] = []

    def heading(self, text: str, level: int = 2) -> None:
        self._body.append(f"<h{level}>{escape(text)}</h{level}>")

    def paragraph(self, text: str, *, note: bool = False) -> None:
        self._body.append(f"<p{' class=note' if note else ''}>{escape(text)}</p>")

    def figures(self, figures: Iterable[tuple[str, str]]) -> None:
        """Large numbers with what they count."""
        parts = (f"<div><b>{escape(number)}</b><span>{escape(words)}</span></div>" for number, words in figures)
        self._body.append(f"<div class=figures>{''.join(parts)}</div>")

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str | Cell | Sequence[str]]], texts: int = 1) -> None:
        """The first `texts` columns are words and stand left; a cell of several sentences becomes a list."""
        kinds = ["t" if index < texts else "" for index in range(len(head))]
        top = "".join(f"<th{_class(kind)}>{escape(word)}</th>" for word, kind in zip(head, kinds, strict=True))
        lines = ("".join(_cell(cell, kind) for cell, kind in zip(row, kinds, strict=True)) for row in rows)
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        self._body.append(f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>")

    def chart(self, chart: Chart) -> None:
        self._body.append(f'<div class=chart id="chart-{len(self._charts)}"></div>')
        self._charts.append(chart)

    def html(self) -> str:
        specs = json.dumps(self._charts, ensure_ascii=True).replace("<", "\\u003c")
        draw = (
            f"const charts = {specs}; charts.forEach((chart, at) => "
            'vegaEmbed("#chart-" + at, chart, {actions: false, renderer: "svg"}));'
        )
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(self.title)}</title>'
            f"<style>{STYLE}</style></head><body>\n{chr(10).join(self._body)}\n"
            "<noscript><p>The charts are drawn by a script inside this page, and scripts are switched off.</p></noscript>\n"
            f"<script>{_bundle()}</script>\n<script>{draw}</script>\n</body></html>\n"
        )


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _cell(cell: str | Cell | Sequence[str], kind: str) -> str:
    if isinstance(cell, Cell):
        return f"<td{_class(cell.kind)}>{escape(cell.text)}</td>"
    if isinstance(cell, str):
        return f"<td{_class(kind)}>{escape(cell)}</td>"
    items = "".join(f"<li>{escape(item)}</li>" for item in cell)
    return f'<td class="t"><ul class=told>{items}</ul></td>'


@cache
def _bundle() -> str:
    """Vega, Vega-Lite and vega-embed as one script, which vl-convert carries."""
    script: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # the stubs want a snippet
    return script.replace("</script", "<\\/script")
