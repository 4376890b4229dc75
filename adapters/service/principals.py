"""Who calls: a name, and the roles in which that name may do something. Denied is whatever no role allows."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Annotated, Protocol

from fastapi import Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPBearer

from dealgate.adapters.service.observation import observed
from dealgate.adapters.service.parameters import check_parameters
from dealgate.adapters.service.problems import ProblemError
from dealgate.adapters.service.rates import Rates
from dealgate.models.api_keys import Role

__all__ = ["Authenticates", "Principal", "Role", "UnauthenticatedError", "admit", "in_role"]


@dataclass(frozen=True, slots=True)
class Principal:
    """`name` is the actor of whatever it does. `authorities` are the roles of a policy in which it may grant overrides."""

    name: str
    roles: frozenset[Role]
    authorities: frozenset[str] = field(default=frozenset())
    counted_as: str = ""
    """Whose rate its requests count against; without it, the name's."""


class Authenticates(Protocol):
    """Tells who holds a credential. Blocking."""

    def principal(self, credential: str) -> Principal | None:
        """None for one that nobody holds, or nobody holds any more."""
        ...


class UnauthenticatedError(ProblemError):
    def __init__(self, detail: str) -> None:
        challenge = {"WWW-Authenticate": "Bearer"}
        super().__init__(401, "credential", "Nobody is known by this credential", detail, headers=challenge)


bearer = HTTPBearer(auto_error=False, description="An API key, or a token of the lender's identity provider.")


async def in_role(request: Request, _: Annotated[object, Security(bearer)]) -> Principal:
    """Who calls, in one of the roles that the endpoint names as its scopes: its route has looked, before it read the body."""
    principal: Principal = request.state.principal
    return principal


async def admit(request: Request, roles: Collection[str]) -> None:
    """Let a request in as its caller's. Raises `ProblemError` for who is not known, not in one of these roles, or asks too often."""
    credentials = await bearer(request)
    if credentials is None:
        raise UnauthenticatedError("Send the header Authorization: Bearer, with an API key or a token.")
    principal = await run_in_threadpool(_admitted, request, credentials.credentials)
    if noted := observed():
        noted.actor = principal.name
    if not principal.roles.intersection(roles):
        needed = " or ".join(roles)
        raise ProblemError(403, "role", "Not in this role", f"{principal.name} is not {needed}: ask for that role.")
    check_parameters(request)  # only who may ask is told what is wrong with the question
    request.state.principal = principal


def _admitted(request: Request, credential: str) -> Principal:
    """Who holds a credential, within the rates for those who do and for those who only try."""
    service = request.app.state.service
    rates: Rates = service.rates
    authenticator: Authenticates = service.authenticator
    address = request.client.host if request.client else ""
    rates.check_failures(address, credential)
    principal = authenticator.principal(credential)
    if principal is None:
        rates.failed(address, credential)
        raise UnauthenticatedError("The credential is unknown, expired or revoked: ask for a new one.")
    rates.opened(credential)
    rates.count(principal.counted_as or principal.name)
    return principal
