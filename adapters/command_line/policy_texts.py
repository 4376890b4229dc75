"""`dealgate policy explain`, `new` and `schema`: texts about a policy document, and a first one."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from dealgate.adapters.command_line.failures import exit_codes, refuse
from dealgate.adapters.command_line.new_files import write_new, write_over
from dealgate.adapters.command_line.pictures import suffix_of

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", re.ASCII)


def explain(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A policy file, or a shipped policy by name.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Ends in .md or .html; overwritten. Else Markdown is printed."
        ),
    ] = None,
) -> None:
    """Write a whole policy in words: rules as sentences, limits as tables, measures with their formulas."""
    from dealgate.adapters.explanation_pages import WRITERS, write_explanation  # noqa: PLC0415
    from dealgate.adapters.policies import check_policy, load_policy  # noqa: PLC0415

    with exit_codes():
        suffix = ".md" if output is None else suffix_of(output, WRITERS, "an explanation")
        document = load_policy(file)
        check_policy(document)  # minutes must not hold examples that do not
        text = write_explanation(document.policy, suffix)
        if output is None:
            print(text, end="")
        else:
            write_over(str(output), text)


def new(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="The policy's name.", show_default=False)] = "my-auto",
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="The file to write; NAME.yaml when it is not given."),
    ] = None,
) -> None:
    """Write a first policy, with comments and examples. No file is overwritten."""
    with exit_codes():
        if not NAME.fullmatch(name):
            refuse(
                [f"{name!r} is no name for a policy here. Use letters, digits, '-', '_' and '.', for example my-auto."]
            )
        file = output or f"{name}.yaml"
        write_new(file, starter(name))
        print(f"{file} written")
        print(f"Next: dealgate policy check {file}")


def starter(name: str) -> str:
    """The text of a first policy of that name; in quotes, as YAML reads some plain words as something else."""
    text = (files("dealgate.rules") / "starter.yaml").read_text(encoding="utf-8")
    plain = re.fullmatch(r"[A-Za-z][a-z]*(-[a-z]+)+", name)
    return text.replace("policy: NAME\n", f"policy: {name}\n" if plain else f'policy: "{name}"\n', 1)


def schema(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="The file to write, overwritten; else it is printed."),
    ] = None,
) -> None:
    """Print the JSON Schema of the policy document, for editors."""
    from dealgate.rules.schema import schema_text  # noqa: PLC0415

    with exit_codes():
        if output is None:
            print(schema_text(), end="")
        else:
            write_over(str(output), schema_text())
