"""How often a caller may ask. Counted in the memory of this process: so many processes, so many times the rate."""

import hashlib
import math
import time
from typing import Annotated

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from pydantic import AfterValidator

from dealgate.adapters.service.problems import ProblemError

MOST_REMEMBERED = 10_000
"""Credentials that opened, by their hashes; with more, all are forgotten."""


def _parsed(rate: str) -> str:
    try:
        parse(rate)
    except ValueError as error:
        raise ValueError(f'{rate!r} is no rate; write it as "600/minute" or "20/second"') from error
    return rate


Rate = Annotated[str, AfterValidator(_parsed)]


class TooManyError(ProblemError):
    def __init__(self, detail: str, seconds: int) -> None:
        super().__init__(429, "rate", "Too many requests", detail, headers={"Retry-After": str(seconds)})


class Rates:
    """`each` counts what one credential asks, `failed` the credentials from one address that did not open."""

    def __init__(self, each: str, failed: str) -> None:
        self._each, self._failed = parse(each), parse(failed)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._opened: set[bytes] = set()

    def count(self, caller: str) -> None:
        """Raises `TooManyError` where a caller has had its share."""
        if not self._limiter.hit(self._each, "each", caller):
            raise self._error(self._each, "each", caller, f"At most {self._each} under one credential.")

    def check_failures(self, address: str, credential: str) -> None:
        """Raises `TooManyError` where too many failed from here; what opened before is tried all the same.

        So one program with an old key locks out none of those that share its address.
        """
        if not self._limiter.test(self._failed, "failed", address) and not self.has_opened(digest(credential)):
            detail = f"At most {self._failed} credentials that do not open, from one address."
            raise self._error(self._failed, "failed", address, detail)

    def has_opened(self, hashed: bytes) -> bool:
        """Whether the credential of this hash opened when it was tried last."""
        return hashed in self._opened

    def failed(self, address: str, credential: str) -> None:
        self._opened.discard(digest(credential))
        self._limiter.hit(self._failed, "failed", address)

    def opened(self, credential: str) -> None:
        if len(self._opened) >= MOST_REMEMBERED:
            self._opened.clear()
        self._opened.add(digest(credential))

    def _error(self, rate: RateLimitItem, kind: str, who: str, detail: str) -> TooManyError:
        free_at = self._limiter.get_window_stats(rate, kind, who).reset_time
        return TooManyError(detail, max(1, math.ceil(free_at - time.time())))


def digest(credential: str) -> bytes:
    """By which a credential is remembered."""
    return hashlib.sha256(credential.encode()).digest()
