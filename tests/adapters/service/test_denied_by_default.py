"""Denied is whatever names no role: an application with an endpoint that asks nobody is not made."""

from typing import Annotated

import pytest
from fastapi import APIRouter, Security

from dealgate.adapters.service import application
from dealgate.adapters.service.principals import Principal, Role, in_role
from dealgate.adapters.service.routes import AskedRoute
from tests.adapters.service.observed_services import a_service

router = APIRouter(prefix="/v1", route_class=AskedRoute)


@router.get("/asks")
def asks(_: Annotated[Principal, Security(in_role, scopes=[Role.COMPLIANCE])]) -> None:
    """Names a role."""


open_router = APIRouter(prefix="/v1", route_class=AskedRoute)


@open_router.get("/asks-nobody")
def asks_nobody() -> None:
    """Names none."""


plain_router = APIRouter(prefix="/v1")


@plain_router.get("/never-looks")
def never_looks(_: Annotated[Principal, Security(in_role, scopes=[Role.COMPLIANCE])]) -> None:
    """Names a role that its route does not look for."""


def test_an_endpoint_that_names_no_role_is_refused_before_it_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = (*application.ROUTERS, router)
    with a_service("sqlite:///none.db") as service:
        monkeypatch.setattr(application, "ROUTERS", asking)
        application.create_application(service)
        for denied, path in ((open_router, "/v1/asks-nobody"), (plain_router, "/v1/never-looks")):
            monkeypatch.setattr(application, "ROUTERS", (*asking, denied))
            with pytest.raises(AssertionError, match=f"{path} names no role"):
                application.create_application(service)
