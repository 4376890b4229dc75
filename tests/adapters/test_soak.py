"""A short version of `tests/soak.py`."""

from pathlib import Path

from tests.soak import run


def test_memory_stays_flat_over_many_submissions_of_mostly_clean_deals(tmp_path: Path) -> None:
    sizes = run(2_000, tmp_path)

    assert sizes[-1] < sizes[0] * 1.1, f"resident kilobytes grew: {sizes}"
