"""Words about policies as Markdown, or as one HTML page that needs nothing beside it. What a policy says is never read as markup."""

import re
from collections.abc import Callable, Iterable, Mapping
from html import escape

from dealgate.rules.comparison import Comparison
from dealgate.rules.comparison_words import comparison_page
from dealgate.rules.explaining import Block, Cell, Code, Grid, Heading, Paragraph, Points, explain
from dealgate.rules.policy import Policy

SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$])")

STYLE = """\
body { font: 11pt/1.45 Georgia, "Times New Roman", serif; color: #1a1a1a; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3, h4 { font-family: "Helvetica Neue", Arial, sans-serif; line-height: 1.25; break-after: avoid; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.3rem; border-bottom: 1px solid #999; margin-top: 2.2rem; }
h3 { font-size: 1.1rem; margin-top: 1.6rem; } h4 { font-size: 1rem; margin: 1.1rem 0 .3rem; }
table { border-collapse: collapse; margin: .6rem 0 1rem; font-size: .92em; }
th, td { border: 1px solid #bbb; padding: .25rem .6rem; text-align: left; vertical-align: top; }
th { background: #f0f0f0; font-family: "Helvetica Neue", Arial, sans-serif; }
tr { break-inside: avoid; }
ul { margin: .2rem 0 .8rem; padding-left: 1.3rem; }
code { font: .9em/1.35 Menlo, Consolas, monospace; overflow-wrap: anywhere; }
@media print { body { margin: 0; max-width: none; } th { background: none; } @page { margin: 2cm; } }
"""


def write_explanation(policy: Policy, suffix: str) -> str:
    """The policy in words, for a file that ends in `.md` or `.html`."""
    return WRITERS[suffix](_title(policy), explain(policy))


def write_comparison(comparison: Comparison, suffix: str) -> str:
    """Two policies compared, likewise."""
    title = f"{_title(comparison.first)} compared with {_title(comparison.second)}"
    return WRITERS[suffix](title, comparison_page(comparison))


def _title(policy: Policy) -> str:
    return f"{policy.title} ({policy.name} {policy.version})"


# Markdown


def as_markdown(_title: str, blocks: Iterable[Block]) -> str:
    return "\n\n".join(map(_markdown, blocks)) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {_plain(text)}"
        case Paragraph(text):
            return _plain(text)
        case Points(items):
            return "\n".join(f"- {_plain(item)}" for item in items)
        case Grid(columns, rows):
            head = [_row(columns), "|" + " --- |" * len(columns)]
            return "\n".join([*head, *map(_row, rows)])


def _row(cells: Iterable[Cell]) -> str:
    return f"| {' | '.join(_markdown_cell(cell) for cell in cells)} |"


def _markdown_cell(cell: Cell) -> str:
    if isinstance(cell, Code) and not set(cell.text) & {"`", "|", "\n"}:
        return f"`{cell.text}`"
    return _plain(cell.text if isinstance(cell, Code) else cell)


def _plain(text: str) -> str:
    """Text that no reader of Markdown takes for anything else; on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()).replace("&", "&amp;"))


# HTML


def as_html(title: str, blocks: Iterable[Block]) -> str:
    body = "\n".join(map(_html, blocks))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _html(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Points(items):
            return "<ul>\n" + "\n".join(f"<li>{escape(item)}</li>" for item in items) + "\n</ul>"
        case Grid(columns, rows):
            head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
            top = f"<thead><tr>{head}</tr></thead>\n" if any(columns) else ""
            return f"<table>\n{top}<tbody>\n{''.join(map(_html_row, rows))}</tbody>\n</table>"


def _html_row(cells: Iterable[Cell]) -> str:
    return f"<tr>{''.join(f'<td>{_html_cell(cell)}</td>' for cell in cells)}</tr>\n"


def _html_cell(cell: Cell) -> str:
    return f"<code>{escape(cell.text)}</code>" if isinstance(cell, Code) else escape(cell)


WRITERS: Mapping[str, Callable[[str, Iterable[Block]], str]] = {".md": as_markdown, ".html": as_html}
