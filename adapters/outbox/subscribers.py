"""Who is told of what happens, where to, and signed with which secret: configuration, of which the database holds the names only."""

import binascii
from base64 import b64decode
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator, model_validator

from dealgate.models.outbox_tables import EVENTS

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,59}$")]
Event = Literal["decision.made", "override.granted", "policy.in_force"]
Seconds = Annotated[float, Field(gt=0, le=86_400)]

PREFIX = "whsec_"
LEAST_BYTES = 24


def key_of(secret: SecretStr) -> bytes:
    """The bytes that sign. Raises `ValueError`, which does not tell the secret."""
    try:
        text = secret.get_secret_value().removeprefix(PREFIX)
        key = b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the secret is not base64: make one with `openssl rand -base64 32`") from None
    if len(key) < LEAST_BYTES:
        raise ValueError(f"the secret has {len(key)} bytes, at least {LEAST_BYTES} random ones are needed")
    return key


class Subscriber(BaseModel):
    """A receiver of webhooks. `previous_secret` signs, too, while receivers change over to a new one.

    `allow_private` lets `url` lead to a private or loopback address, and be http.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str
    secret: SecretStr
    previous_secret: SecretStr | None = None
    events: frozenset[Event] = frozenset(EVENTS)  # type: ignore[arg-type]
    allow_private: bool = False

    @field_validator("secret", "previous_secret")
    @classmethod
    def _signs(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            key_of(secret)
        return secret

    @model_validator(mode="after")
    def _leads_somewhere(self) -> "Subscriber":
        parts = urlsplit(self.url)
        schemes = {"https", "http"} if self.allow_private else {"https"}
        if parts.scheme not in schemes or not parts.hostname:
            raise ValueError(f"url is no address of a receiver: give {' or '.join(sorted(schemes))}://host/...")
        if parts.username is not None or parts.password is not None or parts.fragment:
            raise ValueError("url has a user, a password or a fragment: leave them out, the secret is what tells us")
        _ = parts.port  # raises ValueError for one that is none
        return self

    @property
    def keys(self) -> tuple[bytes, ...]:
        secrets = (self.secret, self.previous_secret)
        return tuple(key_of(secret) for secret in secrets if secret is not None)


class OutboxSettings(BaseModel):
    """How events are told: by default tried 14 times in a day and kept for two weeks after."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Annotated[str, Field(min_length=1, max_length=200)] = "/dealgate"
    """What the events name as their source: a URI reference."""
    seconds: Annotated[float, Field(gt=0, le=120)] = 15.0
    """How long a receiver may let itself be waited for, from the first packet to the status."""
    at_once: Annotated[int, Field(ge=1, le=64)] = 4
    """Events that one subscriber is told at once by one process; of one deal it is always one."""
    attempts: Annotated[int, Field(ge=1, le=100)] = 14
    """After so many an event is dead."""
    first_pause: Seconds = 5.0
    """Before the second attempt; each further pause is three times the one before."""
    longest_pause: Seconds = 14_400.0
    """The bound of the pauses, and of what a receiver may ask for by Retry-After."""
    days_kept: Annotated[int, Field(ge=0, le=3_650)] = 14
    """How long what was delivered stays to be looked at."""

    @property
    def lease(self) -> float:
        """Seconds after which an event that was taken is anybody's again: nobody sends for longer than half of it."""
        return 2 * self.seconds + 1
