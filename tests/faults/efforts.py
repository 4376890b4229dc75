"""How long a fault test goes on, a little in the whole suite and as long as it takes under `make faults`; and the seed of its chance."""

import os
from collections.abc import Callable
from typing import Any

import pytest

SEED = int(os.environ.get("FAULTS_SEED", "7"))


def efforts(short: Any, long: Any) -> Callable[[Callable[..., None]], Any]:
    """The test takes `effort` in two sizes, the long one marked `faults`."""
    return pytest.mark.parametrize(
        "effort", [pytest.param(short, id="short"), pytest.param(long, id="long", marks=pytest.mark.faults)]
    )
