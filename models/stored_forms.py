"""What SQLite keeps in a column: it takes any kind of value anywhere, and one value in many forms that read alike.

A moment with a comma for its point reads as before and is found by no query any more, so the form is held against what is written.
"""

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    Table,
    Text,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from dealgate.models.tables import Base
from dealgate.models.verification import Report

MOMENT = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]"
DAY = MOMENT.partition(" ")[0]


def check_stored_forms(connection: Connection, report: Report) -> None:
    """Every column of every row. On SQLite only: PostgreSQL holds types by itself."""
    for name, counts in COUNTS.items():
        with report.reading("form", name):
            for column, count in connection.execute(counts).one()._mapping.items():
                if count:
                    report.flaw("form", f"{column} of {name}", "as it is written", f"other in {count} rows")


def _otherwise(column: Column[Any]) -> Any:
    """Whether a value is of another kind or form than dealgate writes. NULL is the schema's to refuse."""
    kind, name = _kind(column.type), literal_column(column.name, Text)
    stored = func.typeof(name)
    if isinstance(kind, Boolean):
        return or_(stored.not_in(("integer", "null")), name.not_in((literal_column("0"), literal_column("1"))))
    if isinstance(kind, Integer):
        return stored.not_in(("integer", "null"))
    if isinstance(kind, LargeBinary):
        return stored.not_in(("blob", "null"))
    if isinstance(kind, Date | DateTime):
        form = MOMENT if isinstance(kind, DateTime) else DAY
        return or_(stored.not_in(("text", "null")), func.glob(form, name) == 0)
    return stored.not_in(("text", "null"))


def _kind(type_: TypeEngine[Any]) -> TypeEngine[Any]:
    return type_.impl_instance if isinstance(type_, TypeDecorator) else type_


def _counts(table: Table) -> Any:
    """How many values of each column are otherwise."""
    counted = (func.count().filter(_otherwise(column)).label(column.name) for column in table.columns)
    return select(*counted).select_from(table)


COUNTS = {table.name: _counts(table) for table in Base.metadata.sorted_tables}
