"""Callers by API key. What is known of a key is read again after some seconds: within those a revocation takes effect."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from time import monotonic
from typing import NamedTuple

from sqlalchemy import Connection

from dealgate.adapters.service.principals import Principal, Role
from dealgate.models.api_keys import IssuedKey, find_key, read_key

KEPT_SECONDS = 5.0
"""So long at the most a key goes on opening after it was revoked."""

ROLES = frozenset(Role)


class _Known(NamedTuple):
    key: IssuedKey
    read_at: float


class ApiKeys:
    """A database that does not answer lets nobody in on what was known before: `principal` raises its error."""

    def __init__(self, reading: Callable[[], AbstractContextManager[Connection]]) -> None:
        self._reading = reading
        self._known: dict[str, _Known] = {}

    def principal(self, credential: str) -> Principal | None:
        """The database is asked only for what is written as a key is."""
        written = read_key(credential)
        key = self._key(written.key_id) if written else None
        if written is None or key is None or not key.opens(written):
            return None
        if key.revoked_at or key.state(datetime.now(UTC)) != "valid":  # whose clock revoked it, too, is no matter
            return None
        roles = ROLES.intersection(key.roles)
        return Principal(key.name, roles, frozenset(key.authorities), counted_as=f"key {key.key_id}")

    def _key(self, key_id: str) -> IssuedKey | None:
        known, now = self._known.get(key_id), monotonic()
        if known and now - known.read_at < KEPT_SECONDS:
            return known.key
        with self._reading() as connection:
            key = find_key(connection, key_id)
        if key is not None:  # only keys that were issued are kept: nobody fills the memory with others
            self._known[key_id] = _Known(key, now)
        return key
