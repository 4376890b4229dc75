"""Where the project's shared folder stands: `../shared`, beside the checkout. Tests read from it and never copy."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared_file(*parts: str) -> Path:
    """A file of the shared folder; the test that asks is skipped, naming it, where it does not stand."""
    path = SHARED.joinpath(*parts)
    if not path.is_file():
        pytest.skip(f"{path} does not stand beside the checkout")
    return path
