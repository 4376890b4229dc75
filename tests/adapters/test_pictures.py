"""Pictures say what the decision says, at any size, without a network, and the same every time."""

import json
import re
import socket
import sys
from typing import Any, NoReturn

import altair
import pytest

from dealgate.adapters.chart_marks import Line, broken, rounded_ticks, short_dollars, text_width
from dealgate.adapters.charts import picture
from dealgate.adapters.curve_chart import month_ticks, underwater_area
from dealgate.adapters.pictures import MissingExtraError, draw, png
from dealgate.rules.equity_curve import EquityCurve, equity_curve
from dealgate.rules.structure import Structure, structure_of
from tests.decided import NO_VALUE, Documents, decided_sample, owing

CASES: dict[str, dict[str, Any]] = {
    "the sample": {},
    "above water from the start": {"cash_down": "16000.00"},
    "no trade": {"trade_ins": []},
    "huge negative equity": {"trade_ins": owing("52000.00", "8000.00")},
    "24 months": {"term_months": 24},
    "84 months": {"term_months": 84},
    "one month": {"term_months": 1},
    "fifty years": {"term_months": 600},
    "unknown rate": {"apr_percent": None},
    "unknown value": {"vehicle": NO_VALUE},
    "unknown payoff": {"trade_ins": [{"kind": "loan", "allowance": "8000.00"}]},
    "positive equity": {"trade_ins": owing("6000.00", "15000.00")},
    "a deal of cents": {
        "cash_price": "0.09",
        "sales_tax": "0.01",
        "title_and_registration": "0.00",
        "doc_fee": "0.02",
        "products": [],
        "trade_ins": [],
        "cash_down": "0.03",
        "rebate": "0.00",
        "prepaid_finance_charge": "0.00",
        "vehicle__values": [{"basis": "jdpower_clean_trade", "amount": "0.08"}],
    },
    "ten million": {
        "cash_price": "10000000.00",
        "vehicle__values": [{"basis": "jdpower_clean_trade", "amount": "9500000.00"}],
    },
    "nothing at all": {
        "cash_price": "0.00",
        "sales_tax": "0.00",
        "title_and_registration": "0.00",
        "doc_fee": "0.00",
        "products": [],
        "trade_ins": [],
        "cash_down": "0.00",
        "rebate": "0.00",
        "prepaid_finance_charge": "0.00",
        "vehicle": NO_VALUE,
    },
    "more cash than price": {"cash_down": "60000.00"},
}


def texts(svg: bytes) -> list[str]:
    found = re.findall(r"<text[^>]*>([^<]*)</text>", svg.decode())
    return [text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") for text in found]


def places(svg: bytes) -> list[tuple[float, float, float, float, str]]:
    """The box of each text: left, top, right, bottom, as SVG places it."""
    boxes = []
    for depth, anchor, x, y, size, text in placed(svg.decode()):
        wide = text_width(text, size) * 0.93  # widths are rounded up
        left = x + depth[0] - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
        boxes.append((left, y + depth[1] - 0.75 * size, left + wide, y + depth[1] + 0.1 * size, text))
    return boxes


TAG = re.compile(r"<(/?)(g|text)\b([^>]*?)(/?)>([^<]*)")
MOVE = re.compile(r'transform="translate\(([-\d.]+),([-\d.]+)\)"')


def placed(svg: str) -> list[tuple[tuple[float, float], str, float, float, float, str]]:
    moves, found = [(0.0, 0.0)], []
    for closing, name, attributes, empty, text in TAG.findall(svg):
        move = MOVE.search(attributes)
        x, y = (float(move[1]), float(move[2])) if move else (0.0, 0.0)
        if name == "g" and closing:
            moves.pop()
        elif name == "g" and not empty:
            moves.append((moves[-1][0] + x, moves[-1][1] + y))
        elif name == "text" and not closing and text:
            anchor = re.search(r'text-anchor="(\w+)"', attributes)
            size = re.search(r'font-size="([\d.]+)px"', attributes)
            assert size
            found.append((moves[-1], anchor[1] if anchor else "start", x, y, float(size[1]), text))
    return found


@pytest.fixture(scope="module")
def sample() -> Documents:
    return decided_sample()


@pytest.mark.parametrize("case", CASES)
def test_no_text_overlaps_another_or_leaves_the_picture_and_every_sentence_is_in_it(case: str) -> None:
    documents = decided_sample(**CASES[case])
    small, large = (draw(*documents, ".svg", width) for width in (480, 1200))
    check_places(small)
    check_places(large)
    check_words(large, *documents)


def check_places(svg: bytes) -> None:
    boxes = places(svg)
    assert len(boxes) > 3
    for number, one in enumerate(boxes):
        for other in boxes[:number]:
            apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            assert apart, (one, other)
    drawn = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg.decode())
    assert drawn
    assert all(box[0] >= 0 and box[2] <= float(drawn[1]) + 1 and box[3] <= float(drawn[2]) + 1 for box in boxes)


def check_words(svg: bytes, *documents: dict[str, Any]) -> None:
    written = " ".join(texts(svg))
    deal, decision = documents
    structure, curve = structure_of(deal, decision), equity_curve(deal, decision)
    if isinstance(structure, Structure):
        for step in structure.steps:
            assert step.label in written
        assert f"${structure.amount_financed / 100:,.2f}".replace("$-", "-$") in written
        said = " ".join(structure.sentences)
    else:
        said = structure.sentence
    assert said in written
    assert (curve.assumptions if isinstance(curve, EquityCurve) else curve.sentence) in written


def test_the_numbers_are_the_decisions(sample: Documents) -> None:
    written = texts(draw(*sample, ".svg"))
    for text in ("$29,995.00", "+$1,874.69", "+$3,499.99", "−$1,400.00", "$37,769.67", "$31,050.00", "$27,000.00"):
        assert text in written
    joined = " ".join(written)
    measures = sample[1]["measures"]
    assert f"total LTV {measures['total_ltv']['value']} %" in joined
    assert f"{float(measures['peak_shortfall']['value']):,.2f}" in joined
    assert f"{float(measures['deficiency_at_12_months']['value']):,.2f}" in joined


def test_break_even_is_marked_at_the_month_of_the_decision(sample: Documents) -> None:
    month = sample[1]["measures"]["break_even_month"]["value"]
    curve = equity_curve(*sample)
    assert isinstance(curve, EquityCurve)
    chart = picture(*sample)
    marks = [layer for part in chart["vconcat"] for layer in part["layer"] if layer["mark"]["type"] == "point"]
    (values,) = [layer["data"]["values"] for layer in marks]
    label = f"above water from month {month}"
    assert values == [{"month": month, "level": curve.projection.balances[month] / 100, "label": label}]
    assert label in texts(draw(*sample, ".svg"))


def test_only_the_months_underwater_are_shaded() -> None:
    curve = equity_curve(*decided_sample(cash_down="13500.00", trade_ins=[], term_months=120, apr_percent="14.00"))
    assert isinstance(curve, EquityCurve)
    shaded = [point["month"] for point in underwater_area(curve) if point["top"] > point["value"]]
    ((first, last),) = curve.underwater
    assert (min(shaded), max(shaded)) == (first, last)
    assert len(underwater_area(curve)) == curve.months + 1 + 2  # and the two places where the lines cross


@pytest.mark.parametrize(("case", "charts"), [("unknown rate", 1), ("unknown value", 1), ("unknown payoff", 0)])
def test_what_is_unknown_is_said_in_words_instead_of_an_empty_axis(case: str, charts: int) -> None:
    chart = picture(*decided_sample(**CASES[case]))
    drawings = [part for part in chart["vconcat"] if any(layer["mark"]["type"] != "text" for layer in part["layer"])]
    assert len(drawings) == charts


def test_the_specification_is_sound_vega_lite() -> None:
    altair.VConcatChart.from_dict(picture(*decided_sample(**CASES["one month"])))


def test_the_same_documents_give_the_same_bytes(sample: Documents) -> None:
    again = json.loads(json.dumps(sample))
    for suffix in (".svg", ".png"):
        assert draw(*sample, suffix) == draw(again[0], again[1], suffix)


def test_a_png_has_twice_the_pixels_of_the_svg(sample: Documents) -> None:
    drawn = png(picture(*sample, 480))
    assert drawn[:8] == b"\x89PNG\r\n\x1a\n"
    assert 2 * 480 <= int.from_bytes(drawn[16:20], "big") <= 2 * 530


def test_the_page_fetches_nothing_and_nothing_in_a_deal_becomes_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("asked for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    evil = "</script><script>alert(1)</script>&lt;<b>"
    page = draw(*decided_sample(deal_id=evil), ".html").decode()
    assert evil not in page
    assert page.count("<script>") == page.count("</script>") == 2
    ours = page[: page.index("<script>")] + page[page.index("</script>") :]
    assert not re.search(r"(?:src|href)=", ours)
    assert "default-src 'none'" in page
    spec = page[page.index('vegaEmbed("#picture", ') + 22 : page.rindex(", {renderer")]
    assert json.loads(spec)["description"].startswith(f"Deal {evil}: ")
    assert '"url"' not in spec


def test_a_missing_package_is_named_with_what_to_install(sample: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(MissingExtraError, match=r"need vl_convert.*Run: pip install 'dealgate\[pictures\]'"):
        draw(*sample, ".svg")


def test_round_ticks_are_one_two_or_five_of_a_power_of_ten_apart() -> None:
    assert rounded_ticks(0, 3_926_969, 5) == [0, 1_000_000, 2_000_000, 3_000_000]
    assert rounded_ticks(-2_073_031, 3_926_969, 4) == [-2_000_000, 0, 2_000_000]
    assert rounded_ticks(0, 12, 8) == [0, 2, 4, 6, 8, 10, 12]


def test_ticks_are_written_short_and_exact() -> None:
    assert [short_dollars(tick, [0, 2_500_00]) for tick in (0, 2_500_00)] == ["$0", "$2,500"]
    assert [short_dollars(tick, [500_000, 3_000_000]) for tick in (0, 500_000, -2_000_000)] == ["$0", "$5k", "−$20k"]
    assert short_dollars(250_000_000, [1_000_000_000]) == "$2.5M"
    assert short_dollars(2, [2, 4]) == "$0.02"
    assert month_ticks(72, 15) == list(range(0, 73, 6))
    assert month_ticks(1, 15) == [0, 1]


def test_a_word_too_long_for_a_line_is_broken_and_a_percent_sign_stays_with_its_number() -> None:
    lines = broken(Line("x" * 200), 100)
    assert "".join(lines) == "x" * 200
    assert all(text_width(line, 12) <= 100 for line in lines)
    assert all(
        not line.startswith("%") for width in range(60, 200) for line in broken(Line("is 139.89 % of it"), width)
    )
