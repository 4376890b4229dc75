"""What every fault test draws on: one seed for all chance, and a place for figures that are shown in the end."""

import os
from collections.abc import Callable
from random import Random

import pytest

SEED = int(os.environ.get("FAULTS_SEED", "7"))


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> Random:
    """Of this test and this seed alone."""
    return Random(f"{SEED} {request.node.name}")


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """What was tried and what came of it, for the end of the run."""
    return lambda text: request.node.user_properties.append(("figure", f"{request.node.name}: {text}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ended = [
        report
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "teardown"
    ]
    figures = [text for report in ended for kind, text in report.user_properties if kind == "figure"]
    if figures:
        terminalreporter.section(f"figures, FAULTS_SEED={SEED}")
        for line in figures:
            terminalreporter.line(line)
