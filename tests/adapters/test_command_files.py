"""Files that commands write and never overwrite: whole or not at all, and told of where they are not written."""

import os
import resource
import subprocess
from pathlib import Path

import pytest

from tests.adapters.commands import SCRIPT, invoke


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
