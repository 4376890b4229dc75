"""Pictures of a decided deal as SVG, PNG or a page of HTML that needs nothing beside itself."""

from collections.abc import Callable
from html import escape
from importlib import import_module
from typing import Any

from dealgate.adapters.chart_marks import Chart
from dealgate.adapters.charts import USUAL, picture, text_of
from dealgate.rules.structure import Document


class MissingExtraError(RuntimeError):
    """A package of the extra `pictures` is not installed."""


def load_package(name: str) -> Any:
    """Import a package that only pictures need. Raises `MissingExtraError`."""
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"pictures and letters need {name}, which cannot be loaded ({error}). Run: pip install 'dealgate[pictures]'"
        ) from None


def draw(deal: Document, decision: Document, suffix: str, width: int = USUAL) -> bytes:
    """Draw a decision about a deal, both given as documents, as `.svg`, `.png` or `.html`.

    The same documents give the same bytes. Raises `MissingExtraError`.
    """
    return WRITERS[suffix](picture(deal, decision, width, hover=suffix == ".html"))


def svg(chart: Chart) -> bytes:
    drawn: str = load_package("vl_convert").vegalite_to_svg(chart, allowed_base_urls=[])
    return drawn.encode()


def png(chart: Chart) -> bytes:
    drawn: bytes = load_package("vl_convert").vegalite_to_png(chart, scale=2, allowed_base_urls=[])
    return drawn


def pdf(chart: Chart) -> bytes:
    drawn: bytes = load_package("vl_convert").vegalite_to_pdf(chart, allowed_base_urls=[])
    return drawn


def html(chart: Chart) -> bytes:
    """One file with the drawing library inside. Its policy forbids it to fetch anything."""
    library = load_package("vl_convert").javascript_bundle()
    return PAGE.format(title=escape(chart["description"]), library=library, chart=text_of(chart)).encode()


WRITERS: dict[str, Callable[[Chart], bytes]] = {".svg": svg, ".png": png, ".html": html}

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body {{ margin: 0; background: white; }} #picture svg {{ max-width: 100%; height: auto; }}</style>
<script>{library}</script>
</head>
<body>
<div id="picture"></div>
<script>vegaEmbed("#picture", {chart}, {{renderer: "svg", actions: false}});</script>
</body>
</html>
"""
