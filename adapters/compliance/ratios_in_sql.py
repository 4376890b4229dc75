"""Ratios of any 64-bit integers held against each other in the database, exactly: no product overflows or turns into a float."""

from typing import Any

from sqlalchemy import Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

SIGN = "dealgate_ratio_sign"


class RatioSign(FunctionElement[Any]):
    """Less than, equal to or more than nothing, as one ratio is to another: numerator and denominator of both. NULL where unknown."""

    name = SIGN
    inherit_cache = True


@compiles(RatioSign, "postgresql")
def _in_wide_numbers(element: RatioSign, compiler: Any, **options: Any) -> str:
    numerator, denominator, above, below = (compiler.process(one, **options) for one in element.clauses)
    return f"({numerator}::numeric * {below}::numeric - {above}::numeric * {denominator}::numeric)"  # 64 bits would overflow


@compiles(RatioSign, "sqlite")
def _by_python(element: RatioSign, compiler: Any, **options: Any) -> str:
    return f"{SIGN}({', '.join(compiler.process(one, **options) for one in element.clauses)})"


def prepare(connection: Connection) -> None:
    """SQLite's integers turn into floats where they overflow: Python's do not."""
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        driver.create_function(SIGN, 4, _ratio_sign, deterministic=True)


def _ratio_sign(numerator: int | None, denominator: int | None, above: int | None, below: int | None) -> int | None:
    if numerator is None or denominator is None or above is None or below is None:
        return None
    difference = numerator * below - above * denominator
    return (difference > 0) - (difference < 0)
