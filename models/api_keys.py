"""API keys: issued under the name of an actor with roles, each for a time, and revoked. Both are entries of the ledger.

A key reads `dg_<id>_<secret>`. Only a hash of its secret is kept. A plain SHA-256 is right for that: what makes passwords need a slow
hash is that people choose them; these secrets are 256 random bits, which nobody finds by trying, however fast the hash is.
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import bindparam, insert, select

from dealgate.models.api_key_tables import ApiKey, ApiKeyRevocation
from dealgate.models.envelope import Draft
from dealgate.models.joining import Writable
from dealgate.models.ledger import append, table
from dealgate.rules.decision import moment

PREFIX = "dg_"
WRITTEN = re.compile(r"dg_([0-9a-f]{16})_([0-9a-f]{64})")
"""For secret scanners, too."""

LONGEST_DAYS = 365
LONGEST_NAME = 200

KEY, REVOCATION = table(ApiKey), table(ApiKeyRevocation)
KEYS = select(KEY, REVOCATION.c.revoked_at, REVOCATION.c.revoked_by).outerjoin(
    REVOCATION, REVOCATION.c.key_id == KEY.c.key_id
)
KEY_BY_ID = KEYS.where(KEY.c.key_id == bindparam("id"))


class Role(StrEnum):
    """What the holder of a credential may do in the service."""

    SUBMITTER = "submitter"
    UNDERWRITER = "underwriter"
    POLICY_AUTHOR = "policy_author"
    POLICY_APPROVER = "policy_approver"
    COMPLIANCE = "compliance"


class ApiKeyError(ValueError):
    """A key that cannot be issued or revoked; the message says why."""


class Written(NamedTuple):
    """The parts of a key as its holder has it. Its text form shows no secret."""

    key_id: str
    secret_sha256: bytes


class IssuedKey(NamedTuple):
    """A key as it stands on record. `authorities` are the roles of a policy in which its holder may grant overrides."""

    key_id: str
    name: str
    secret_sha256: bytes
    roles: tuple[str, ...]
    authorities: tuple[str, ...]
    issued_at: datetime
    issued_by: str
    expires_at: datetime
    revoked_at: datetime | None = None
    revoked_by: str | None = None

    def state(self, at: datetime) -> str:
        """`valid`, `revoked` or `expired`; what happened later is left out of account."""
        if self.revoked_at and self.revoked_at <= at:
            return "revoked"
        return "valid" if at < self.expires_at else "expired"

    def opens(self, written: Written) -> bool:
        """Whether this is the key that somebody shows. It takes as long for a wrong secret as for the right one."""
        return self.key_id == written.key_id and hmac.compare_digest(self.secret_sha256, written.secret_sha256)

    def document(self, at: datetime) -> dict[str, Any]:
        told = self._asdict() | {"secret_sha256": self.secret_sha256.hex(), "state": self.state(at)}
        return {name: moment(value) if isinstance(value, datetime) else value for name, value in told.items()}


def read_key(text: str) -> Written | None:
    """None for a text that is not written as a key is."""
    found = WRITTEN.fullmatch(text)
    return Written(found[1], _hashed(found[2])) if found else None


def issue_key(
    session: Writable,
    name: str,
    now: datetime,
    *,
    roles: Sequence[str],
    actor: str,
    authorities: Sequence[str] = (),
    days: int = LONGEST_DAYS,
) -> tuple[IssuedKey, str]:
    """Issue a key under a name. Returns it, and the text that opens with it, which is nowhere else. Raises `ApiKeyError`."""
    if not 0 < days <= LONGEST_DAYS:
        raise ApiKeyError(f"a key for {days} days: give 1 to {LONGEST_DAYS}")
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    key = IssuedKey(
        key_id,
        _words("the name of who calls", name),
        _hashed(secret),
        _roles(roles),
        tuple(sorted({_words("an authority", one) for one in authorities})),
        now,
        _words("who issues the key", actor),
        now + timedelta(days=days),
    )
    told = {
        "key_id": key_id,
        "name": name,
        "secret_sha256": key.secret_sha256.hex(),
        "roles": list(key.roles),
        "authorities": list(key.authorities),
        "expires_at": moment(key.expires_at),
    }
    receipt = append(session, Draft(str(uuid4()), "api_key_issued", {"api_key": told}, actor=actor), now)
    row = {column: value for column, value in key._asdict().items() if column in KEY.columns}
    lists = {"roles": json.dumps(told["roles"]), "authorities": json.dumps(told["authorities"])}
    session.execute(insert(KEY), row | lists | {"entry": receipt.entry})
    return key, f"{PREFIX}{key_id}_{secret}"


def revoke_key(session: Writable, key_id: str, now: datetime, *, actor: str) -> IssuedKey:
    """End a key's time now. Raises `ApiKeyError` for one that nobody issued, or that was revoked before."""
    key = find_key(session, key_id)
    if key is None:
        raise ApiKeyError(f"no key has the id {key_id!r}; dealgate key list has them")
    if key.revoked_at:
        raise ApiKeyError(f"{key.revoked_by} revoked the key {key_id} at {moment(key.revoked_at)}")
    told = {"key_id": key_id, "name": key.name}
    person = _words("who revokes the key", actor)
    receipt = append(session, Draft(str(uuid4()), "api_key_revoked", {"api_key": told}, actor=person), now)
    row = {"key_id": key_id, "entry": receipt.entry, "revoked_at": now, "revoked_by": person}
    session.execute(insert(REVOCATION), row)
    return key._replace(revoked_at=now, revoked_by=person)


def find_key(session: Writable, key_id: str) -> IssuedKey | None:
    row = session.execute(KEY_BY_ID, {"id": key_id}).first()
    return None if row is None else _key(row)


def all_keys(session: Writable) -> list[IssuedKey]:
    """In the order they were issued, those that are no longer valid among them."""
    return [_key(row) for row in session.execute(KEYS.order_by(KEY.c.entry))]


def _key(row: Any) -> IssuedKey:
    told = {name: getattr(row, name) for name in IssuedKey._fields}
    return IssuedKey(**told | {name: tuple(json.loads(told[name])) for name in ("roles", "authorities")})


def _hashed(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _roles(roles: Sequence[str]) -> tuple[str, ...]:
    known = [role.value for role in Role]
    if unknown := [role for role in roles if role not in known]:
        raise ApiKeyError(f"no role is called {unknown[0]!r}: use {', '.join(known)}")
    if not roles:
        raise ApiKeyError(f"a key without a role opens nothing: give one of {', '.join(known)}")
    return tuple(sorted(set(roles)))


def _words(what: str, given: str) -> str:
    if not given.strip() or len(given) > LONGEST_NAME or not given.isprintable():
        raise ApiKeyError(f"{what} is given in 1 to {LONGEST_NAME} printable characters, got {given!r}")
    return given
