"""Schemathesis against the running service: no failure inside, and no answer that the OpenAPI document does not describe."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import PostgreSQL
from tests.faults.efforts import efforts
from tests.faults.services import ServiceProcess, a_credential, services

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


@pytest.fixture
def served(postgresql: PostgreSQL) -> Iterator[tuple[ServiceProcess, str]]:
    """On the database that takes fewer texts."""
    url = postgresql.ready()
    with services(url, request_seconds="60") as [service]:
        yield service, a_credential(url)
    postgresql.give_back(url)


@efforts((5, "examples,coverage,fuzzing"), (300, "examples,coverage,fuzzing,stateful"))
def test_no_request_is_a_failure_inside_or_answered_as_nobody_wrote(
    served: tuple[ServiceProcess, str], effort: tuple[int, str], tmp_path: Path
) -> None:
    service, credential = served
    cases, phases = effort
    command: list[str | Path] = [
        *(SCHEMATHESIS, "run", f"{service.address}/openapi.json", "--no-color", "--seed", "1"),
        *("--header", f"Authorization: Bearer {credential}", "--max-examples", str(cases), "--phases", phases),
        # What a schema cannot say of a deal, of a query or of a policy is refused, in words.
        *("--exclude-checks", "positive_data_acceptance", "--request-timeout", "60"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert service.alive()
