"""Files that commands write and never overwrite: whole or not at all, and told of where they are not written."""

import os
import resource
import subprocess
from pathlib import Path

import pytest

from tests.adapters.commands import SAMPLES, SCRIPT, invoke


@pytest.mark.parametrize("command", [("ledger", "new-key", "lender.example/ledger"), ("policy", "new")])
def test_a_link_that_leads_nowhere_is_not_taken_for_a_new_file(tmp_path: Path, command: tuple[str, ...]) -> None:
    """A key would be gone of which the verifier key was shown."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    ended = invoke(*command, "-o", link)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"{link}: is there already")


def test_a_file_that_cannot_be_written_to_its_end_is_not_left_behind(tmp_path: Path) -> None:
    ended = subprocess.run(
        [SCRIPT, "policy", "new", "-o", "my-auto.yaml"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},  # it would be cut off, too
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (ended.returncode, ended.stderr) == (2, "my-auto.yaml: cannot be written: File too large\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [("--version",), ("ledger", "--help"), ("mapping", "list")])
def test_what_cannot_be_printed_is_told_in_one_line(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [SCRIPT, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=300
        )
    assert ended.returncode == 3
    assert ended.stderr == "dealgate: OSError: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_command_whose_outputs_are_closed_does_its_work(tmp_path: Path, closed: str) -> None:
    """As a job may be started; no file that it opens is then taken for an output."""
    command = f"{SCRIPT} submit {SAMPLES} --db sqlite:///{tmp_path / 'deals.db'} {closed}"
    assert subprocess.run(command, shell=True, capture_output=True, check=False, timeout=300).returncode == 0
    reading = subprocess.run(f"{SCRIPT} evaluate - {closed}", shell=True, input=b"", capture_output=True, check=False)
    assert reading.returncode == 2  # there is no deal in it
    assert invoke("db", "check", "--db", f"sqlite:///{tmp_path / 'deals.db'}").exit_code == 0
    assert invoke("decision", "list", "--json", "--db", f"sqlite:///{tmp_path / 'deals.db'}").stdout.count("\n") == 28
