"""What every fault test draws on: one seed for all chance, and a place for figures that are shown at the end of a run."""

from collections.abc import Callable
from random import Random

import pytest

from tests.faults.efforts import SEED


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> Random:
    """Of this test and this seed alone."""
    return Random(f"{SEED} {request.node.name}")


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """What was tried and what came of it, for the end of the run."""
    return lambda text: request.node.user_properties.append(("figure", f"{request.node.name}: {text}"))
