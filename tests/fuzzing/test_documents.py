"""A short run of the campaign; `document_campaign.py --seconds 3600` and `--extremes` are the long ones."""

import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).parent / "document_campaign.py"


def campaign(*arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, str(CAMPAIGN), *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_random_documents_are_policies_or_errors() -> None:
    counts = {
        line[:30].strip(): int(line[30:].replace(",", ""))
        for line in campaign("--seconds", "100", "--seed", "7", "--most", "120").splitlines()
    }

    assert counts["documents"] == 120
    for kind in ("policy", "csv", "excel", "dmn"):
        assert counts[f"{kind}: error"], f"no error in a document of kind {kind}: the campaign proves nothing about it"
        assert counts[f"{kind}: policy"], (
            f"no policy in a document of kind {kind}: the campaign proves nothing about it"
        )
    assert counts["model: value"]


@pytest.mark.parametrize(
    "name",
    [
        "100,000 brackets",
        "a key of 7 million characters",
        "an expression of 100,000 terms",
        "measures that square 60 times",
    ],
)
def test_an_extreme_document_is_an_error_in_bounded_time_and_memory(name: str) -> None:
    assert campaign("--extreme", name).startswith("error ")
