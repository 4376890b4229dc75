"""A short run of the campaign; `engine_campaign.py --seconds 3600` is the long one."""

import subprocess
import sys
from pathlib import Path

CAMPAIGN = Path(__file__).parent / "engine_campaign.py"


def test_random_policies_and_deals_find_no_disagreement() -> None:
    ended = subprocess.run(
        [sys.executable, str(CAMPAIGN), "--seconds", "12", "--seed", "7", "--deals", "20"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    counts = {line[:30].strip(): int(line[30:].replace(",", "")) for line in ended.stdout.splitlines()}
    assert counts["evaluations"] > 50
    for result in ("pass", "violated", "mitigated", "not_applicable", "not_evaluable"):
        assert counts[result] > 50, f"the campaign hardly ever saw {result}: it proves nothing about it"
