"""The `dealgate` command: as a process of its own, and within this one where that is enough and saves its start-up."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from typer import testing
from typer.main import get_command
from typer.testing import CliRunner, Result

from dealgate.adapters.command_line.main import app

SCRIPT = str(Path(sys.executable).parent / "dealgate")
SAMPLES = Path(__file__).parents[2] / "examples" / "deals.jsonl"

Document = Mapping[str, Any]

vars(testing)["_get_command"] = cache(get_command)  # building seventy commands takes longer than running most of them


def dealgate(*arguments: str | Path, stdin: str | None = None, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run the installed command in a process of its own."""
    command = [SCRIPT, *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=120, **options)


def invoke(*arguments: str | Path, stdin: str | bytes | None = None, **environment: str) -> Result:
    """Run the command in this process; standard output and standard error stay apart, as wide as where nothing says how wide."""
    return CliRunner().invoke(app, list(map(str, arguments)), input=stdin, env={"COLUMNS": None, **environment})


def json_lines(documents: Iterable[Document]) -> str:
    return "".join(json.dumps(document) + "\n" for document in documents)


def read_lines(output: str) -> list[dict[str, Any]]:
    """The JSON documents of an output that must hold nothing else, one a line."""
    return [json.loads(line) for line in output.splitlines()]
