"""Days and months in UTC as texts, on both databases: `2026-11-20`, `2026-11`."""

from typing import Any

from sqlalchemy import String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class utc_day(FunctionElement[str]):  # noqa: N801  written like the functions of the database
    """Of a moment."""

    type = String()
    name = "utc_day"
    inherit_cache = True


class utc_month(FunctionElement[str]):  # noqa: N801
    """Of a moment."""

    type = String()
    name = "utc_month"
    inherit_cache = True


class day_text(FunctionElement[str]):  # noqa: N801
    """Of a day without a time."""

    type = String()
    name = "day_text"
    inherit_cache = True


def _sqlite(length: int) -> Any:
    """A moment is stored there as a text that begins with its day in UTC."""
    return lambda element, compiler, **kw: f"substr({compiler.process(element.clauses, **kw)}, 1, {length})"


def _postgresql(shape: str, zone: str = "") -> Any:
    return lambda element, compiler, **kw: f"to_char({compiler.process(element.clauses, **kw)}{zone}, '{shape}')"


IN_UTC = " AT TIME ZONE 'UTC'"
compiles(utc_day, "sqlite")(_sqlite(10))
compiles(utc_month, "sqlite")(_sqlite(7))
compiles(day_text, "sqlite")(_sqlite(10))
compiles(utc_day, "postgresql")(_postgresql("YYYY-MM-DD", IN_UTC))
compiles(utc_month, "postgresql")(_postgresql("YYYY-MM", IN_UTC))
compiles(day_text, "postgresql")(_postgresql("YYYY-MM-DD"))
