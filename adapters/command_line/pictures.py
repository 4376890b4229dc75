"""`dealgate picture`, and what the commands that write a file share."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from dealgate.adapters.charts import NARROWEST, USUAL, WIDEST
from dealgate.adapters.command_line.deals import PolicyOption, read_one
from dealgate.adapters.command_line.failures import exit_codes, refuse

PictureOption = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="Ends in .svg, .png or .html; overwritten.")
]
WidthOption = Annotated[
    int, typer.Option("--width", min=NARROWEST, max=WIDEST, help="Pixels; a PNG has twice as many.")
]


def picture(
    file: Annotated[str, typer.Argument(metavar="DEAL", help="A JSON document of one deal; - is standard input.")],
    output: PictureOption,
    policy: PolicyOption = None,
    width: WidthOption = USUAL,
) -> None:
    """Draw a deal under a policy: the structure against value and limit, and equity over time. Stores nothing."""
    from dealgate.adapters.pictures import WRITERS, draw  # noqa: PLC0415
    from dealgate.adapters.policies import check_policy, load_policy  # noqa: PLC0415

    with exit_codes():
        suffix = suffix_of(output, WRITERS, "a picture")
        compiled = check_policy(load_policy(policy))
        deal = read_one(file)
        evaluation = compiled.evaluate(deal)
        write(output, draw(deal.document(), {"deal_id": deal.deal_id, **evaluation.document()}, suffix, width))


def suffix_of(output: Path, known: Iterable[str], what: str) -> str:
    """The suffix of a file to write; any but the known ends the command."""
    suffix, suffixes = output.suffix.lower(), list(known)
    if suffix not in suffixes:
        refuse([f"{output}: {what} ends in {', '.join(suffixes[:-1])} or {suffixes[-1]}"])
    return suffix


def write(output: Path, content: bytes) -> None:
    try:
        output.write_bytes(content)
    except OSError as error:
        refuse([f"{output}: cannot be written: {error.strerror}"])
