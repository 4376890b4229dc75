"""`dealgate portfolio` from the command line: output, refusals, and a run that was stopped."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from dealgate.adapters.command_line.portfolio import shown
from dealgate.adapters.policies import load_policy
from dealgate.adapters.portfolio import running
from dealgate.adapters.portfolio.book import SourceError
from dealgate.adapters.portfolio.engines import Engine, Part, Work, open_engine
from dealgate.adapters.portfolio.evaluating import evaluate_book
from dealgate.adapters.portfolio.generating import block, generate
from dealgate.adapters.portfolio.sources import Source
from tests.adapters.commands import invoke
from tests.booked import quiet

POLICY = load_policy("prime-auto").policy


def test_a_generated_book_is_evaluated(tmp_path: Path) -> None:
    book, out = tmp_path / "book.parquet", tmp_path / "out.parquet"
    drawn = invoke("portfolio", "generate", "2000", "-o", book, "--seed", "7")
    assert drawn.stdout == f"2,000 synthetic deals, seed 7, in {book}\n"
    found = invoke("portfolio", "evaluate", book, "--policy", "prime-auto", "-o", out)
    assert found.exit_code == 0, found.stderr
    assert f"2,000 deals judged, in {out}" in found.stdout
    table = pl.read_parquet(out)
    assert table.columns[:3] == ["deal_id", "outcome", "reasons"]
    assert {"amount_financed", "total_ltv_numerator", "total_ltv_denominator", "LTV-TOTAL", "LAYERED"} <= set(
        table.columns
    )
    assert set(table["LTV-TOTAL"].cast(pl.String)) <= {"pass", "violated", "not_evaluable"}
    assert not list(tmp_path.glob("*.partial"))


def test_the_same_seed_draws_the_same_book_and_another_seed_another(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b", "c")]
    for file, (deals, seed) in zip(files, ((500, 7), (900, 7), (500, 8)), strict=True):
        generate(deals, seed, file, lambda _: None)
    first, longer, other = map(pl.read_parquet, files)
    assert first.equals(longer.head(500))
    assert not first.equals(other)
    assert pl.read_parquet_metadata(files[0])["dealgate.synthetic"].startswith("Every deal of this book is invented")


def test_the_synthetic_book_keeps_to_the_published_figures() -> None:
    drawn = block(0, 250_000, 1)
    owed = (pl.col("trade_in_1_payoff_cents") - pl.col("trade_in_1_allowance_cents")).fill_null(0)
    underwater = drawn.filter(owed > 0)
    assert underwater.height / drawn.height == pytest.approx(0.116, abs=0.003)
    assert drawn["trade_in_1_kind"].is_null().mean() == pytest.approx(0.563, abs=0.004)
    assert underwater.select(owed.mean()).item() / 100 == pytest.approx(6_905, rel=0.02)
    assert (underwater["term_months"] == 84).mean() == pytest.approx(0.407, abs=0.01)
    assert drawn["credit_score"].median() == pytest.approx(723, abs=6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluate", "nowhere.csv", "-o", "out.parquet"), "nowhere.csv: there is no such file"),
        (("evaluate", "nowhere.parquet", "-o", "out.parquet"), "no Parquet file there"),
        (("evaluate", "x.csv", "-o", "out.parquet", "--engine", "pandas"), "use polars, duckdb or spark"),
        (("evaluate", "x.csv", "-o", "out.parquet", "--table", "deals"), "this is no URL of one"),
        (("evaluate", "x.csv", "-o", "out.parquet", "--master", "spark://x:7077"), "add --engine spark"),
        (("evaluate", "mysql://x/y", "-o", "out.parquet", "--table", "deals"), "begins with sqlite: or postgresql:"),
        (
            ("sweep", "x.csv", "--limit", "max_ltv", "--from", "1%", "--to", "2%", "--step", "1%"),
            "has no limit called 'max_ltv'",
        ),
        (
            ("sweep", "x.csv", "--limit", "max_total_ltv", "--from", "$1", "--to", "2%", "--step", "1%"),
            "'$1': not a percent",
        ),
        (
            ("sweep", "x.csv", "--limit", "max_total_ltv", "--from", "3%", "--to", "2%", "--step", "1%"),
            "from the least to the greatest",
        ),
        (("stress", "x.csv", "--values", "-101"), "whole percents from -100 to 100"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = invoke("portfolio", *arguments)
    assert found.exit_code == 2
    assert message in found.stderr
    assert "Traceback" not in found.stderr


def test_an_output_that_is_there_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    out.write_text("kept")
    assert invoke("portfolio", "evaluate", "x.csv", "-o", out).exit_code == 2
    assert out.read_text() == "kept"


def test_rejected_rows_are_counted_on_standard_error(tmp_path: Path) -> None:
    source = tmp_path / "deals.jsonl"
    source.write_text("{}\n{}\n", encoding="utf-8")
    found = invoke("portfolio", "evaluate", source, "-o", tmp_path / "out.parquet")
    assert found.exit_code == 0
    assert "2 rows rejected, each with its reason in" in found.stderr
    assert "0 deals judged" in found.stdout


class Stopped(Exception):  # noqa: N818  what a power cut would be
    pass


class StopsAfter:
    """An engine that is lost after so many parts."""

    divides = True

    def __init__(self, engine: Engine, parts: int) -> None:
        self.engine, self.left, self.judged = engine, parts, 0

    def run(self, work: Work, parts: Sequence[Part], path: Path) -> None:
        if not self.left:
            path.write_bytes(b"half a file")
            raise Stopped
        self.left -= 1
        self.judged += 1
        self.engine.run(work, parts, path)

    def close(self) -> None:
        self.engine.close()


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dealgate.adapters.portfolio import book as books  # noqa: PLC0415

    monkeypatch.setattr(books, "PART_ROWS", 400)
    book, out = tmp_path / "book.parquet", tmp_path / "out.parquet"
    generate(2_000, 5, book, lambda _: None)
    source, polars = Source(str(book)), open_engine("polars")
    with pytest.raises(Stopped):
        evaluate_book(source, POLICY, StopsAfter(polars, 3), "polars", out, quiet)
    assert not out.exists()
    with pytest.raises(SourceError, match="holds parts of another run"):
        evaluate_book(source, load_policy("subprime-auto").policy, polars, "polars", out, quiet)
    again = StopsAfter(polars, 99)
    found = evaluate_book(source, POLICY, again, "polars", out, quiet)
    assert (again.judged, found.deals) == (2, 2_000)
    evaluate_book(source, POLICY, polars, "polars", tmp_path / "whole.parquet", quiet)
    read = [
        pl.concat([pl.read_parquet(file) for file in running.files_of([path])])
        for path in (out, tmp_path / "whole.parquet")
    ]
    assert read[0].equals(read[1])


def test_a_run_of_the_wrong_book_keeps_no_other_one_from_its_output(tmp_path: Path) -> None:
    book, out = tmp_path / "book.parquet", tmp_path / "out.parquet"
    generate(10, 5, book, lambda _: None)
    for wrong in (tmp_path / "bok.parquet", f"sqlite:///{tmp_path / 'none.db'}"):
        assert invoke("portfolio", "evaluate", wrong, "-o", out).exit_code == 2
        assert list(tmp_path.iterdir()) == [book]
    assert invoke("portfolio", "evaluate", book, "-o", out).exit_code == 0


def test_simulate_sweep_and_stress_print_and_write_their_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    generate(1_000, 5, Path("book.parquet"), lambda _: None)
    simulated = invoke(
        "portfolio", "simulate", "book.parquet", "--candidate", "subprime-auto", "--report", "simulation.html"
    )
    assert "1,000 deals" in simulated.stdout, simulated.stderr
    swept = invoke(
        "portfolio", "sweep", "book.parquet", "--limit", "max_total_ltv", "--from", "-5%", "--to", "5%", "--step", "5%", "--shift",
        "--report", "sweep.html",
    )  # fmt: skip
    assert [line.split()[0] for line in swept.stdout.splitlines()[1:4]] == ["-5%", "0%", "5%"], swept.stderr
    stressed = invoke(
        "portfolio", "stress", "book.parquet", "--values", "-10", "--payoffs", "5", "--report", "stress.html"
    )
    assert "values -10 %, payoffs +5 %" in stressed.stdout, stressed.stderr
    for page in ("simulation.html", "sweep.html", "stress.html"):
        assert "vegaEmbed" in Path(page).read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "book.parquet",
        "simulation.html",
        "stress.html",
        "sweep.html",
    ]


def test_a_run_leaves_no_password_in_its_mark_and_none_in_its_page(tmp_path: Path) -> None:
    source = Source("postgresql://lender:s3cret@127.0.0.1:9/book", "SELECT 1")
    run = running.Run(tmp_path / "out.parquet")
    with run.begun(running.fingerprint(source, [POLICY], "polars")):
        pass
    assert "s3cret" not in (run.folder / "run.json").read_text(encoding="utf-8")
    assert shown(source.name) == "postgresql://lender:***@127.0.0.1:9/book"


def test_rejects_of_another_run_do_not_stay(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.jsonl", tmp_path / "book.parquet"
    bad.write_text("{}\n", encoding="utf-8")
    generate(100, 1, good, lambda _: None)
    polars, out = open_engine("polars"), tmp_path / "out.parquet"
    assert evaluate_book(Source(str(bad)), POLICY, polars, "polars", out, quiet).rejects_file.exists()
    out.unlink()
    assert not evaluate_book(Source(str(good)), POLICY, polars, "polars", out, quiet).rejects_file.exists()
