"""Denied is whatever names no role: an application with an endpoint that asks nobody is not made."""

from typing import Annotated

import pytest
from fastapi import APIRouter, Security

from dealgate.adapters.service import application
from dealgate.adapters.service.principals import Principal, Role, in_role
from tests.adapters.service.observed_services import a_service

router = APIRouter(prefix="/v1")


@router.get("/asks")
def asks(_: Annotated[Principal, Security(in_role, scopes=[Role.COMPLIANCE])]) -> None:
    """Names a role."""


open_router = APIRouter(prefix="/v1")


@open_router.get("/asks-nobody")
def asks_nobody() -> None:
    """Names none."""


def test_an_endpoint_that_names_no_role_is_refused_before_it_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_service("sqlite:///none.db") as service:
        monkeypatch.setattr(application, "ROUTERS", (*application.ROUTERS, router))
        application.create_application(service)
        monkeypatch.setattr(application, "ROUTERS", (*application.ROUTERS, open_router))
        with pytest.raises(AssertionError, match="/v1/asks-nobody names no role"):
            application.create_application(service)
