"""The page of a deal, opened in a browser."""

from decimal import Decimal
from pathlib import Path

from dealgate.adapters.pictures import draw
from tests.browser import rendered
from tests.decided import decided_sample


def chart(shown: str) -> str:
    """What Vega drew, without the page's own scripts."""
    start = shown.index('class="marks"')
    return shown[start : shown.index("</svg>", start)]


def test_the_page_draws_both_charts_by_itself(tmp_path: Path) -> None:
    deal, decision = decided_sample()
    page = tmp_path / "deal.html"
    page.write_bytes(draw(deal, decision, ".html"))
    drawn = chart(rendered(page, tmp_path / "profile"))
    financed = Decimal(decision["measures"]["amount_financed"]["value"])
    month = decision["measures"]["break_even_month"]["value"]
    for words in (f"${financed:,}", "Collateral value", f"above water from month {month}", "months after the deal"):
        assert words in drawn


def test_a_deal_s_own_markup_stays_text(tmp_path: Path) -> None:
    page = tmp_path / "deal.html"
    page.write_bytes(draw(*decided_sample(deal_id="</script><script>document.title='taken'</script><b>X</b>"), ".html"))
    shown = rendered(page, tmp_path / "profile")
    assert "<title>taken" not in shown
    assert "&lt;b&gt;X&lt;/b&gt;" in chart(shown)
