"""Programs of the machine that tests hold the project against."""

import shutil

import pytest


def program(name: str, why: str) -> str:
    """The path of a program; the test that asks is skipped, naming it, where it is not installed."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not on this machine: {why}")
    return path
