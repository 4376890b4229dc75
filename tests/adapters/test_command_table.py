"""`dealgate table run`: results as JSON, inputs from anywhere, and every way to get it wrong."""

import json
from pathlib import Path

import pytest

from tests.adapters.commands import dealgate, invoke
from tests.rules.dmn_models import data, decision, document, literal, output, table


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file = tmp_path / "limits.dmn"
    outputs = [output("max LTV"), output("note")]
    file.write_bytes(
        document(
            data("Tier", "string"),
            data("Price"),
            decision("Max LTV", table("FIRST", ["Tier"], [('"A"', "130.50"), ("-", "110")]), "Tier"),
            decision("Both", table("UNIQUE", ["Tier"], [('"A"', "1", '"é"')], outputs), "Tier"),
            decision("All", table("RULE ORDER", ["Tier"], [("-", "1"), ("-", "2")]), "Tier"),
            decision("One", table("UNIQUE", ["Tier"], [("-", "1"), ("-", "2")]), "Tier"),
            decision("Share", literal("Price / 3"), "Price"),
            decision("Big", literal("10 ** 30")),
            decision("Day", literal('date("2026-11-20")')),
        )
    )
    return file


@pytest.mark.parametrize(
    ("name", "inputs", "printed"),
    [
        ("Max LTV", '{"Tier": "A"}', "130.5"),
        ("Max LTV", '{"Tier": "X"}', "110"),
        ("Max LTV", '{"Tier": null}', "110"),
        ("Both", '{"Tier": "A"}', '{"max LTV": 1, "note": "é"}'),
        ("Both", '{"Tier": "B"}', "null"),
        ("All", '{"Tier": "A"}', "[1, 2]"),
        ("One", '{"Tier": "A"}', "null"),
        ("Share", '{"Price": 1}', "0.3333333333333333333333333333333333"),
        ("Big", "{}", "1000000000000000000000000000000"),
        ("Day", "{}", '"2026-11-20"'),
    ],
)
def test_the_result_is_json_and_nothing_else(model: Path, name: str, inputs: str, printed: str) -> None:
    ran = invoke("table", "run", model, "--decision", name, "--input", inputs, "--json")
    assert (ran.exit_code, ran.stdout) == (0, printed + "\n")


def test_inputs_come_as_text_from_a_file_or_from_standard_input(model: Path, tmp_path: Path) -> None:
    file = tmp_path / "input.json"
    file.write_text('{"Tier": "A"}', encoding="utf-8")
    command = ("table", "run", str(model), "--decision", "Max LTV", "--json", "--input")
    assert invoke(*command, file).stdout == "130.5\n"
    assert invoke(*command, "-", stdin='{"Tier": "A"}').stdout == "130.5\n"
    assert dealgate(*command, ' {"Tier": "A"}').stdout == "130.5\n"


def test_without_json_a_person_reads_the_value_and_the_rules_that_gave_it(model: Path) -> None:
    ran = invoke("table", "run", model, "--decision", "All", "--input", '{"Tier": "A"}')
    assert ran.stdout == "All: [1, 2]\nrules 1, 2\n"
    assert (
        invoke("table", "run", model, "--decision", "Max LTV", "--input", '{"Tier": "A"}').stdout
        == "Max LTV: 130.5\nrule 1\n"
    )


def test_why_a_result_is_null_stands_on_standard_error(model: Path) -> None:
    ran = invoke("table", "run", model, "--decision", "One", "--input", '{"Tier": "A"}', "--json")
    assert "note: decision 'One': the hit policy UNIQUE allows one rule to hold" in ran.stderr
    ran = invoke("table", "run", model, "--decision", "Both", "--json")
    assert "note: the input 'Tier' is not given: it counts as null" in ran.stderr


@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [
        ("Max LTW", "{}", "no decision is called 'Max LTW'. Decisions here: 'Max LTV', 'Both'"),
        ("Max LTV", '{"Teir": "A"}', "the model has no input 'Teir'. Did you mean 'Tier'?"),
        ("Max LTV", "[1]", "give an object with a value for each input"),
        ("Max LTV", "{", "not JSON that can be read"),
        ("Max LTV", '{"Price": NaN}', "NaN is no number"),
        ("Max LTV", '{"Price": 1e9999}', "beyond the numbers of DMN"),
        ("Max LTV", '{"Price": ' + "1" * 5_000 + "}", "a number of more than 60 characters"),
        ("Max LTV", '{"Tier": "A", "Tier": "B"}', "'Tier' stands in an object twice"),
        ("Max LTV", '{"Tier": ' + "[" * 500 + "]" * 500 + "}", "nested deeper than 60 levels"),
        ("Max LTV", '{"Tier": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ("Max LTV", "no-such-file.json", "no-such-file.json: cannot be read"),
    ],
)  # fmt: skip
def test_bad_input_ends_with_2_and_says_what_is_wrong(model: Path, name: str, inputs: str, message: str) -> None:
    ran = invoke("table", "run", model, "--decision", name, "--input", inputs, "--json")
    assert ran.exit_code == 2
    assert message in ran.stderr
    assert ran.stdout == ""


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"<definitions/>", b"<a>" * 100_000, b"PK\x03\x04", b"\x00" * 1_000]
)
def test_a_file_that_is_no_model_ends_with_2_and_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.dmn"
    file.write_bytes(content)
    ran = invoke("table", "run", file, "--decision", "D", "--json")
    assert ran.exit_code == 2
    assert ran.stderr.startswith(f"{file}: ")
    assert ran.stderr.count("\n") == 1


def test_a_file_that_is_not_there_ends_with_2(tmp_path: Path) -> None:
    assert "cannot be read" in invoke("table", "run", tmp_path / "no.dmn", "--decision", "D").stderr
    assert invoke("table", "run", tmp_path, "--decision", "D").exit_code == 2


def test_numbers_of_the_input_are_taken_exactly(model: Path) -> None:
    ran = invoke("table", "run", model, "--decision", "Share", "--input", '{"Price": 0.3}', "--json")
    assert ran.stdout == "0.1\n"
    assert json.loads(ran.stdout) == 0.1
