"""`dealgate picture`, `dealgate decision picture`, `dealgate decision letter`, and the curve that a terminal shows."""

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from dealgate.adapters.command_line.equity import equity_over_time
from dealgate.adapters.pictures import draw
from tests.adapters.commands import SAMPLES, invoke, json_lines, read_lines
from tests.decided import decided, decided_sample, owing
from tests.models.samples import a_deal

ROOT = Path(__file__).parents[2]


@pytest.fixture
def deal(tmp_path: Path) -> Path:
    path = tmp_path / "deal.json"
    path.write_text(json.dumps(a_deal()))
    return path


@pytest.mark.parametrize(("name", "begins"), [("p.svg", b"<svg"), ("p.PNG", b"\x89PNG")])
def test_the_suffix_says_what_is_drawn(deal: Path, tmp_path: Path, name: str, begins: bytes) -> None:
    done = invoke("picture", deal, "-o", tmp_path / name)
    assert (done.exit_code, done.output) == (0, "")
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_the_picture_in_the_documentation_is_what_the_command_draws() -> None:
    committed = (ROOT / "docs" / "deal.svg").read_bytes()
    with SAMPLES.open(encoding="utf-8") as lines:
        drawn = draw(*decided(json.loads(next(lines))), ".svg")
    assert drawn == committed, "draw it again: head -1 examples/deals.jsonl | dealgate picture - -o docs/deal.svg"


def test_a_stored_decision_draws_what_the_deal_drew(deal: Path, tmp_path: Path, database_url: str) -> None:
    (decision,) = read_lines(invoke("submit", deal, "--db", database_url, "--json").stdout)
    fresh, stored = tmp_path / "fresh.svg", tmp_path / "stored.svg"
    assert invoke("picture", deal, "-o", fresh).exit_code == 0
    drawn = invoke("decision", "picture", decision["decision_id"], "--db", database_url, "-o", stored)
    assert drawn.exit_code == 0, drawn.output
    assert stored.read_bytes() == fresh.read_bytes()
    for name, begins in (("letter.pdf", b"%PDF"), ("letter.md", b"# Deal D-2026-001847, submission 1: REFER")):
        done = invoke("decision", "letter", decision["decision_id"], "--db", database_url, "-o", tmp_path / name)
        assert (done.exit_code, done.output) == (0, "")
        assert (tmp_path / name).read_bytes().startswith(begins)
    shown = invoke("decision", "show", decision["decision_id"], "--db", database_url)
    assert "Above water from month" in shown.stdout


@pytest.mark.parametrize("words", [("picture",), ("decision", "picture"), ("decision", "letter")])
def test_an_unknown_suffix_names_the_known_ones(words: tuple[str, ...], deal: Path, tmp_path: Path) -> None:
    done = invoke(*words, deal, "-o", tmp_path / "p.jpg")
    assert done.exit_code == 2
    known = "a letter ends in .pdf or .md" if words[-1] == "letter" else "a picture ends in .svg, .png or .html"
    assert known in done.stderr


def test_a_decision_that_is_not_stored_is_named(deal: Path, tmp_path: Path, database_url: str) -> None:
    invoke("submit", deal, "--db", database_url)
    done = invoke("decision", "letter", "no-such", "--db", database_url, "-o", tmp_path / "l.md")
    assert (done.exit_code, done.stderr) == (2, "no decision has the id 'no-such'; dealgate decision list names them\n")


def test_a_file_of_two_deals_and_a_place_that_cannot_be_written_are_refused(deal: Path, tmp_path: Path) -> None:
    two = tmp_path / "two.jsonl"
    two.write_text(json_lines([a_deal(), a_deal()]))
    done = invoke("picture", two, "-o", tmp_path / "p.svg")
    assert (done.exit_code, done.stderr) == (2, f"{two}: holds 2 deals; give a file of one\n")
    done = invoke("picture", deal, "-o", tmp_path / "nowhere" / "p.svg")
    assert done.exit_code == 2
    assert "cannot be written: No such file or directory" in done.stderr


def test_without_the_packages_the_command_says_what_to_install(
    deal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    done = invoke("picture", deal, "-o", tmp_path / "p.svg")
    assert done.exit_code == 3
    assert "pip install 'dealgate[pictures]'" in done.stderr
    assert not (tmp_path / "p.svg").exists()


def test_the_packages_are_loaded_only_to_draw() -> None:
    code = (
        "import sys, dealgate.adapters.command_line.main, dealgate.adapters.letter; "
        "assert not {'vl_convert', 'typst', 'altair'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    "changes",
    [{}, {"cash_price": "10000000.00"}, {"trade_ins": owing("52000.00", "8000.00")}, {"term_months": 600}],
    ids=["sample", "ten million", "huge negative equity", "fifty years"],
)
def test_a_terminal_shows_a_bar_for_each_year_without_breaking_a_row(changes: dict[str, object], width: int) -> None:
    deal, decision = decided_sample(**changes)
    console = Console(width=width - 4, no_color=True, file=StringIO())
    with console.capture() as captured:
        console.print(equity_over_time(deal, decision))
    lines = captured.get().splitlines()
    assert "…" not in captured.get()
    rows = [line.split() for line in lines[1:] if len(line.split()) >= 4 and line.split()[0].isdigit()]
    months = [int(row[0]) for row in rows if row[1][-3] == "."]
    assert decision["measures"]["break_even_month"]["value"] in months
    assert (months[0], months[-1]) == (0, deal["term_months"])


def test_evaluate_shows_the_curve_of_one_deal_and_not_of_many(deal: Path, tmp_path: Path) -> None:
    one = invoke("evaluate", deal).stdout
    assert "░" in one
    assert "Above water from month 50." in one
    assert "Deepest shortfall $10,769.67, at the deal." in one
    two = tmp_path / "two.jsonl"
    two.write_text(json_lines([a_deal(), a_deal()]))
    assert "Above water" not in invoke("evaluate", two).stdout
