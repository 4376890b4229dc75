"""`dealgate table run`."""

import json
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from dealgate.adapters.command_line.failures import exit_codes, refuse

app = typer.Typer(help="Decision tables.", no_args_is_help=True)

LONGEST_INPUT = 4_000_000
LONGEST_NUMBER = 60


@app.command()
def run(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A DMN file, .dmn.")],
    decision: Annotated[str, typer.Option("--decision", metavar="NAME", help="The decision, by name or id.")],
    inputs: Annotated[
        str,
        typer.Option(
            "--input",
            metavar="JSON",
            help="An object with a value for each input; or a file of it; - is standard input.",
        ),
    ] = "{}",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")] = False,
) -> None:
    """Evaluate one decision of a DMN file, with all that it rests on."""
    from dealgate.rules.dmn import DmnError, read_dmn  # noqa: PLC0415
    from dealgate.rules.dmn_evaluation import run_decision  # noqa: PLC0415
    from dealgate.rules.feel_values import value_text  # noqa: PLC0415

    with exit_codes():
        values = _inputs(inputs)
        try:
            outcome = run_decision(read_dmn(_read(file)), decision, values)
        except DmnError as error:
            refuse([f"{file}: {error}"])
        for note in outcome.notes:
            print(f"note: {note}", file=sys.stderr)
        if as_json:
            print(json_text(outcome.value))
            return
        print(f"{decision}: {value_text(outcome.value)}")
        if outcome.rules:
            print(f"{'rule' if len(outcome.rules) == 1 else 'rules'} {', '.join(map(str, outcome.rules))}")


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        refuse([f"{name}: cannot be read: {error.strerror or error}"])
    except ValueError as error:  # a name with a null character
        refuse([f"{name!r}: {error}"])


def _inputs(given: str) -> Mapping[str, Any]:
    text = given if given.lstrip()[:1] in {"{", "["} else _input_text(given)
    if len(text) > LONGEST_INPUT:
        refuse([f"--input: {len(text):,} characters; at most {LONGEST_INPUT:,} are read"])
    try:
        values = json.loads(
            text, parse_float=_number, parse_int=_number, parse_constant=_no_number, object_pairs_hook=_once
        )
    except RecursionError:
        refuse(["--input: nested too deeply"])
    except ValueError as error:
        refuse([f"--input: not JSON that can be read: {error}"])
    if not isinstance(values, dict):
        refuse(['--input: give an object with a value for each input, for example {"Age": 18}'])
    return values


def _input_text(given: str) -> str:
    data = sys.stdin.buffer.read(LONGEST_INPUT + 1) if given == "-" else _read(given)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        refuse([f"--input: {given}: not UTF-8 text (byte {error.start})"])


def _number(text: str) -> Decimal:
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"a number of more than {LONGEST_NUMBER} characters")
    return Decimal(text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands in an object twice")
    return found


def json_text(value: Any) -> str:
    """A decision's value as JSON. Numbers are written exactly; days, times and durations as texts."""
    from dealgate.rules.feel_values import number_text, value_text  # noqa: PLC0415

    if isinstance(value, Mapping):
        return (
            "{"
            + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: {json_text(part)}" for name, part in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(json_text, value)) + "]"
    if value is None or isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    return number_text(value) if isinstance(value, Decimal) else json.dumps(value_text(value), ensure_ascii=False)
