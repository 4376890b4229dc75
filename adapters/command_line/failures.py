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
        print(f"dealgate: {type(error).__name__}: {error}".rstrip(), file=sys.stderr)
        raise typer.Exit(INTERNAL_FAILURE) from None
