"""Files that a command writes and that somebody goes on to edit: what is there is kept."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from dealgate.adapters.command_line.failures import refuse

OWNER_ONLY = 0o600
"""The mode of a file that nobody but its owner may read."""


def refuse_existing(name: str) -> None:
    """End with exit code 2 where something of that name stands, a link to nowhere included, before any work is done."""
    if os.path.lexists(name):
        _refuse_taken(name)


def write_new(name: str, text: str, mode: int = 0o666) -> None:
    """Write a file that must not be there yet, whole or not at all. From its first byte on nobody may read it whom `mode` keeps out."""
    try:
        number = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(number, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except FileExistsError:
        _refuse_taken(name)
    except OSError as error:
        refuse([f"{name}: cannot be written: {error.strerror or error}"])
    except ValueError as error:  # a name with a null character
        refuse([f"{name!r}: {error}"])


def write_all_new(texts: Mapping[str, str]) -> None:
    """Write several such files, all of them or none."""
    written: list[str] = []
    try:
        for name, text in texts.items():
            write_new(name, text)
            written.append(name)
    except BaseException:
        for name in written:
            Path(name).unlink(missing_ok=True)
        raise


def _refuse_taken(name: str) -> NoReturn:
    refuse([f"{name}: is there already, and is not overwritten. Give another name, or move it away."])


def write_over(name: str, text: str) -> None:
    """Write a file that can be made again, whatever was there."""
    try:
        Path(name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        refuse([f"{name}: cannot be written: {error.strerror or error}"])
    except ValueError as error:
        refuse([f"{name!r}: {error}"])
