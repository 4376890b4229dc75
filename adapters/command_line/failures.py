"""Exit codes.

1 for a policy that fails its tests, or policies that differ; 2 for bad input or a bad policy, 3 for a failure inside, each problem
named; 4 for what could be neither proved nor shown.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from dealgate.rules.deal import DealError
from dealgate.rules.document import PolicyError

FAILED_EXAMPLES = 1
DIFFERENT = 1
BAD_INPUT = 2
INTERNAL_FAILURE = 3
UNDECIDED = 4

REMEDIES = {
    "SQLITE_READONLY": ": even to read it, the file and its folder must be writable: copy it, with its -wal file, to a folder of your own",
    "SQLITE_CANTOPEN": ": see that --db names a file, that its folder is there, and that both may be read and written",
    "SQLITE_NOTADB": ": see that --db names the right file",
    "SQLITE_CORRUPT": ": keep the file as it is and restore a backup, as docs/how-to/back-up-and-restore.md says",
}
"""What to do, by how SQLite's codes begin."""


def refuse(problems: Iterable[object]) -> NoReturn:
    """End with exit code 2, every problem on a line of its own."""
    for problem in problems:
        print(problem, file=sys.stderr)
    raise typer.Exit(BAD_INPUT)


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn what can go wrong into the documented exit codes."""
    try:
        yield
        sys.stdout.flush()  # what cannot be printed is told here, not while the interpreter ends
    except (typer.Exit, typer.Abort, KeyboardInterrupt):
        raise
    except BrokenPipeError:
        # Whoever read our output has seen enough; what was to be stored is stored.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (PolicyError, DealError) as error:
        refuse(error.problems)
    except Exception as error:
        if os.environ.get("DEALGATE_TRACEBACK"):
            raise
        if isinstance(error, _of_what_was_given()):
            refuse([error])
        if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
            refuse(
                [
                    f"{error.object[error.start : error.end]!r} in what was given is not UTF-8: set the terminal to it, and give it again"
                ]
            )
        print(f"dealgate: {type(error).__name__}: {_in_one_line(error)}".rstrip(), file=sys.stderr)
        raise typer.Exit(INTERNAL_FAILURE) from None


def _of_what_was_given() -> tuple[type[Exception], ...]:
    from dealgate.adapters.database import DatabaseUrlError  # noqa: PLC0415  only where something went wrong
    from dealgate.models.ledger import WordsError  # noqa: PLC0415

    return DatabaseUrlError, WordsError


def _in_one_line(error: Exception) -> str:
    """What the database's driver says, with what to do where that is known; without the statement and a link for programmers."""
    from sqlalchemy.exc import StatementError  # noqa: PLC0415

    said = error.orig if isinstance(error, StatementError) and error.orig is not None else error
    name = getattr(said, "sqlite_errorname", None) or ""
    remedy = next((words for code, words in REMEDIES.items() if name.startswith(code)), "")
    return " ".join(f"{said}{remedy}".split())
