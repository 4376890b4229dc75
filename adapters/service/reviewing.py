"""Policy documents reviewed in a process of their own: proofs take seconds of a processor, and a callers' document any number."""

import json
import subprocess
import sys
import threading
from typing import Any

from dealgate.adapters.service.problems import ProblemError, unavailable

FILE = "policy"
"""What a document without a file is called in messages."""

MOST_AT_ONCE = 2

_turns = threading.BoundedSemaphore(MOST_AT_ONCE)


def reviewed(text: str, seconds: float) -> dict[str, Any]:
    """What `Review.document` tells of a document, each error with its `source_line`.

    Raises `ProblemError` where the review is not done in time, and where as many are under way as may be.
    """
    if not _turns.acquire(blocking=False):  # a thread that waits is one less for everybody else
        raise unavailable(f"{MOST_AT_ONCE} policies are being checked already.")
    try:
        command = [sys.executable, "-m", "dealgate.adapters.service.review_worker", FILE]
        ended = subprocess.run(command, input=text.encode(), capture_output=True, check=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        detail = (
            f"Checking it takes longer than {seconds:g} seconds: use dealgate policy check, and dealgate policy add."
        )
        raise ProblemError(422, "too-long", "The check would take too long", detail) from None
    finally:
        _turns.release()
    told: dict[str, Any] = json.loads(ended.stdout)
    return told
