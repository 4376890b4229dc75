"""`dealgate evaluate`: deals in, decisions out, nothing stored."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from dealgate.adapters import deal_files
from tests.adapters.commands import SAMPLES, Document, dealgate, invoke, json_lines, read_lines
from tests.models.samples import CLEAN, DEAL, POLICY, a_deal

TWO = [a_deal(deal_id="D-1"), CLEAN | {"deal_id": "D-2"}]


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "sample.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


Write = Callable[[str, str | bytes], Path]


def deal_ids(output: str) -> list[str]:
    return [decision["deal_id"] for decision in read_lines(output)]


def test_the_installed_command_prints_one_json_decision_a_line_in_input_order_and_nothing_else(tmp_path: Path) -> None:
    done = dealgate("evaluate", SAMPLES, "--json", cwd=tmp_path)

    wanted = [json.loads(line)["deal_id"] for line in SAMPLES.read_text().splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert deal_ids(done.stdout) == wanted
    assert {decision["outcome"] for decision in read_lines(done.stdout)} == {"pass", "flag", "refer", "decline"}
    assert list(tmp_path.iterdir()) == []


def test_a_decision_has_the_documented_shape(policy: Path, write: Write) -> None:
    (decision,) = read_lines(
        invoke("evaluate", write("deal.json", json.dumps(DEAL)), "--policy", policy, "--json").stdout
    )

    assert decision.keys() >= {
        *("decision_id", "deal_id", "submission", "decided_at", "policy", "outcome", "measures", "findings"),
        *("reasons", "cures", "unfixable", "unknown", "engine"),
    }
    assert decision["measures"]["amount_financed"] == {"unit": "money", "value": "37769.67"}
    assert decision["measures"]["total_ltv"] == {
        "unit": "percent",
        "value": "139.89",
        "numerator": "37769.67",
        "denominator": "27000.00",
    }
    assert decision["measures"]["vehicle_age"] == {"unit": "count", "value": 3}
    assert decision["reasons"][0] == "Value or type of collateral not sufficient"
    assert decision["engine"]["agreed"] is True
    assert (decision["submission"], decision["outcome"]) == (1, "refer")


LAYOUTS: dict[str, str | bytes] = {
    "JSON Lines": json_lines(TWO),
    "JSON Lines without a last line end": json_lines(TWO).rstrip("\n"),
    "JSON Lines with blank lines": "\n\n" + json_lines(TWO).replace("\n", "\n  \n\n"),
    "JSON Lines with carriage returns": json_lines(TWO).replace("\n", "\r\n"),
    "JSON Lines behind a byte order mark": b"\xef\xbb\xbf" + json_lines(TWO).encode(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_json_lines_are_read_however_they_are_laid_out(policy: Path, write: Write, layout: str) -> None:
    done = invoke("evaluate", write("deals.jsonl", LAYOUTS[layout]), "--policy", policy, "--json")
    assert (done.exit_code, done.stderr, deal_ids(done.stdout)) == (0, "", ["D-1", "D-2"])


SINGLE: dict[str, str | bytes] = {
    "one line": json.dumps(TWO[0]),
    "indented": json.dumps(TWO[0], indent=2),
    "indented by tabs behind blank lines": "\n\n" + json.dumps(TWO[0], indent="\t"),
    "indented with carriage returns": json.dumps(TWO[0], indent=4).replace("\n", "\r\n"),
    "indented behind a byte order mark": b"\xef\xbb\xbf" + json.dumps(TWO[0], indent=2).encode(),
    "one line behind a byte order mark": b"\xef\xbb\xbf" + json.dumps(TWO[0]).encode(),
}


@pytest.mark.parametrize("layout", SINGLE)
def test_one_deal_is_read_however_it_is_laid_out(policy: Path, write: Write, layout: str) -> None:
    done = invoke("evaluate", write("deal.json", SINGLE[layout]), "--policy", policy, "--json")
    assert (done.exit_code, done.stderr, deal_ids(done.stdout)) == (0, "", ["D-1"])


def test_several_files_are_read_in_the_order_given(policy: Path, write: Write) -> None:
    lines, single = write("b.jsonl", json_lines(TWO)), write("a.json", json.dumps(CLEAN, indent=2))
    done = invoke("evaluate", lines, single, lines, "--policy", policy, "--json")
    assert deal_ids(done.stdout) == ["D-1", "D-2", "D-CLEAN", "D-1", "D-2"]


def test_a_dash_is_standard_input_among_files(policy: Path, write: Write) -> None:
    single = write("a.json", json.dumps(CLEAN))
    done = invoke("evaluate", single, "-", "--policy", policy, "--json", stdin=json_lines(TWO))
    assert deal_ids(done.stdout) == ["D-CLEAN", "D-1", "D-2"]


def test_standard_input_may_be_a_pipe(policy: Path) -> None:
    done = dealgate("evaluate", "-", "--policy", policy, "--json", stdin=json.dumps(TWO[0], indent=2))
    assert (done.returncode, deal_ids(done.stdout)) == (0, ["D-1"])


def test_a_named_pipe_is_read_like_a_file(policy: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_text, args=[json_lines(TWO)])
    writer.start()
    done = invoke("evaluate", pipe, "--policy", policy, "--json")
    writer.join()
    assert deal_ids(done.stdout) == ["D-1", "D-2"]


@pytest.mark.parametrize("kept", [1, 9, 10, 11])
@pytest.mark.parametrize("source", ["file", "stdin"])
def test_a_file_of_more_deals_than_are_kept_in_memory_is_read_twice(
    policy: Path, write: Write, monkeypatch: pytest.MonkeyPatch, kept: int, source: str
) -> None:
    monkeypatch.setattr(deal_files, "KEPT", kept)
    deals = json_lines(a_deal(deal_id=f"D-{number}") for number in range(10))
    file = write("deals.jsonl", deals) if source == "file" else "-"
    done = invoke("evaluate", file, "--policy", policy, "--json", stdin=deals)
    assert deal_ids(done.stdout) == [f"D-{number}" for number in range(10)]


def test_a_mistake_behind_the_deals_that_are_kept_is_found_before_anything_is_printed(
    policy: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deal_files, "KEPT", 2)
    deals = [a_deal(deal_id=f"D-{number}") for number in range(9)] + [a_deal(cash_price="-1.00")]
    done = invoke("evaluate", write("deals.jsonl", json_lines(deals)), "--policy", policy, "--json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "deals.jsonl:10: cash_price: must not be negative" in done.stderr


def told(output: str) -> str:
    """What a table or a frame says, its line breaks undone."""
    return " ".join(output.replace("│", " ").split())


@pytest.mark.parametrize("others", [0, 1])
def test_readable_output_names_value_limit_and_distance_of_every_violated_rule(
    policy: Path, write: Write, others: int
) -> None:
    deals: list[Document] = [a_deal(applicant__monthly_debt=None), *[CLEAN] * others]
    output = told(invoke("evaluate", write("deals.jsonl", json_lines(deals)), "--policy", policy).stdout)

    assert "LTV-TOTAL Total LTV is 139.89 %" in output
    assert "tier B allows 125.00 %. $4,019.67 over." in output
    assert "PRODUCTS Products is $3,295.00; the policy allows $3,000.00. $295.00 over." in output
    assert "AGE Vehicle age in years is 3; the policy allows 2. 1 over." in output
    assert "PTI Payment to income is 12.70 %" in output
    assert "allows 10.00 %. $140.43 over. Mitigated to flag, because credit score is at least 680." in output
    assert "DTI Cannot be judged: applicant.monthly_debt is unknown." in output
    assert "REFER" in output


def test_readable_output_of_many_deals_ends_with_totals_by_outcome_and_rule(policy: Path, write: Write) -> None:
    deals = [a_deal(deal_id=f"D-{number}") for number in range(50)] + [CLEAN] * 50
    output = invoke("evaluate", write("deals.jsonl", json_lines(deals)), "--policy", policy).stdout

    lines = [line.split() for line in output.splitlines()]
    assert ["PASS", "50", "50.00", "%"] in lines
    assert ["REFER", "50", "50.00", "%"] in lines
    assert ["LTV-TOTAL", "50", ".", ".", ".", "50"] in lines
    assert "... the 40 most severe of 100" in output
    assert "D-CLEAN" not in output


def test_words_in_brackets_are_shown_as_they_are(policy: Path, write: Write) -> None:
    names = ["D[/red]", "D[bold]1", "D:smile:"]
    deals = write("deals.jsonl", json_lines(a_deal(deal_id=name) for name in names))
    output = invoke("evaluate", deals, "--policy", policy)
    assert output.exit_code == 0
    for name in names:
        assert output.stdout.count(name) == 2
        single = invoke("evaluate", "-", "--policy", policy, stdin=json.dumps(a_deal(deal_id=name)))
        assert name in single.stdout


def test_a_shipped_policy_is_chosen_by_name() -> None:
    done = invoke("evaluate", "-", "--policy", "recreational", "--json", stdin=json.dumps(CLEAN))
    (decision,) = read_lines(done.stdout)
    assert decision["policy"]["name"] == "recreational"


def test_without_a_policy_the_shipped_default_decides() -> None:
    (decision,) = read_lines(invoke("evaluate", "-", "--json", stdin=json.dumps(CLEAN)).stdout)
    assert decision["policy"]["name"] == "prime-auto"
