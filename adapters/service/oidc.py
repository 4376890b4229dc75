"""Callers by a token of the lender's identity provider (OpenID Connect): a JWT that it signed for this service."""

import logging
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

import jmespath
import jwt
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from dealgate.adapters.service.issuer_keys import IssuerKeys, check_address
from dealgate.adapters.service.principals import Principal, Role

log = logging.getLogger("dealgate.service")

LONGEST_TOKEN = 16_384
LONGEST_NAME = 200
REQUIRED = ["iss", "aud", "exp", "iat"]


def _readable(path: str) -> str:
    try:
        jmespath.compile(path)
    except JMESPathError as error:
        raise ValueError(f"{path!r} is no JMESPath; put a name with other characters into double quotes") from error
    return path


Claim = Annotated[str, AfterValidator(_readable)]


class OidcSettings(BaseModel):
    """Whose tokens open, and what in them says who calls, in which roles. Claims are named by JMESPath."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str
    """As its discovery document and its tokens write it, to the last character."""
    audience: Annotated[str, Field(min_length=1)]
    """What tokens for this service have as `aud`."""
    name_claim: Claim = "sub"
    """The actor. Take one that its holder cannot change, and that the provider never gives to anybody else."""
    roles_claim: Claim = "roles"
    """A list of texts, or one text with spaces between."""
    roles: Annotated[dict[str, frozenset[Role]], Field(min_length=1)]
    """From a value of that claim to roles; other values give none."""
    authorities_claim: Claim | None = None
    """The roles of a policy in which its holder may grant overrides; without it, none."""
    leeway_seconds: Annotated[int, Field(ge=0, le=300)] = 30
    """How far the clocks may be apart."""
    loopback_http: bool = False
    """Take an issuer at http on this very machine, for trying it out."""

    @model_validator(mode="after")
    def _over_https(self) -> "OidcSettings":
        check_address(self.issuer, self.loopback_http)
        return self


class TooLongError(jwt.InvalidTokenError):
    pass


class UnknownKeyError(jwt.InvalidTokenError):
    pass


class NoNameError(jwt.InvalidTokenError):
    pass


class Tokens:
    """Tells who holds a token. Any reason for refusing one is in the log by its kind; nothing of the token is."""

    def __init__(self, settings: OidcSettings) -> None:
        self.settings = settings

    @cached_property
    def issuer_keys(self) -> IssuerKeys:
        return IssuerKeys(self.settings.issuer, self.settings.loopback_http)

    def principal(self, credential: str) -> Principal | None:
        """None for a token that says nothing here. Raises 503 where the key that it names cannot be looked up."""
        try:
            return self._holder(self._claims(credential))
        except jwt.PyJWTError as error:
            log.info("a token is refused: %s", type(error).__name__)
            return None

    def _claims(self, token: str) -> Mapping[str, Any]:
        if len(token) > LONGEST_TOKEN:
            raise TooLongError
        kid = jwt.get_unverified_header(token).get("kid")
        key = self.issuer_keys.key(kid) if isinstance(kid, str) else None
        if key is None:
            raise UnknownKeyError
        return jwt.decode(
            token,
            key.key,
            algorithms=key.algorithms,
            audience=self.settings.audience,
            issuer=self.settings.issuer,
            leeway=self.settings.leeway_seconds,
            options={"require": REQUIRED, "enforce_minimum_key_length": True},
        )

    def _holder(self, claims: Mapping[str, Any]) -> Principal:
        settings = self.settings
        name = _found(settings.name_claim, claims)
        if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            raise NoNameError
        given = _texts(_found(settings.roles_claim, claims))
        roles = frozenset(role for value in given for role in settings.roles.get(value, ()))
        authorities = _texts(_found(settings.authorities_claim, claims)) if settings.authorities_claim else frozenset()
        return Principal(name, roles, authorities, counted_as=f"token {name}")


def _found(path: str, claims: Mapping[str, Any]) -> Any:
    try:
        return jmespath.search(path, claims)
    except JMESPathError:
        return None


def _texts(claim: Any) -> frozenset[str]:
    values = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else ()
    return frozenset(value for value in values if isinstance(value, str))
