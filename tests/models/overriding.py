"""Deals under a policy that may be overridden, and the steps of overrides, each in a transaction of its own."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from dealgate.models import Clearance, Override, clearance, deny_override, grant_override, request_override
from tests.models.samples import NOW, OVERRIDABLE, a_deal, compiled, submit

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SMALL: dict[str, Any] = {"deal_id": "D"}
"""The sample deal: LTV-TOTAL refers it by $4,019.67, of $37,769.67 financed; an underwriter may let it through."""
LARGE: dict[str, Any] = {"deal_id": "D", "cash_price": "35000.00"}
"""LTV-TOTAL refers it by $9,024.67, above the threshold for a second person."""
CLEAN: dict[str, Any] = {"deal_id": "D", "cash_price": "20000.00", "products": [], "vehicle__model_year": 2025}


def decided(database: Engine, now: datetime = NOW, **changes: Any) -> str:
    with database.begin() as connection:
        return submit(connection, a_deal(**(SMALL | changes)), now=now, policy=compiled(OVERRIDABLE)).decision_id


def requested(database: Engine, decision_id: str, *rules: str, now: datetime = NOW, **given: Any) -> Override:
    words = {"actor": "ann", "reason": "STRONG-INCOME", "note": "Ten years with the county."} | given
    with database.begin() as connection:
        return request_override(connection, decision_id, rules, now, **words).override


def granted(database: Engine, override: Override | str, now: datetime = NOW, **given: Any) -> Override:
    words = {"actor": "ben", "role": "credit-manager"} | given
    with database.begin() as connection:
        return grant_override(connection, _id(override), now, **words).override


def denied(database: Engine, override: Override | str, now: datetime = NOW, **given: Any) -> Override:
    words = {"actor": "cyd", "note": "Not this one."} | given
    with database.begin() as connection:
        return deny_override(connection, _id(override), now, **words).override


def cleared(database: Engine, at: datetime = NOW, deal_id: str = "D") -> Clearance:
    with database.connect() as connection:
        return clearance(connection, deal_id, at)


def _id(override: Override | str) -> str:
    return override if isinstance(override, str) else override.override_id
