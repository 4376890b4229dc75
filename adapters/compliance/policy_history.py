"""Which policies were in force on a date, and what changed since."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, select

from dealgate.adapters.compliance.asking import Asked
from dealgate.adapters.compliance.policy_texts import policy_of
from dealgate.adapters.compliance.reporting import Column, Report, Row
from dealgate.models.recording import VERSION
from dealgate.models.versions import STEP, Step, Tenure, tenures
from dealgate.rules.differences import differences


def policies_statement(asked: Asked) -> Select[Any]:
    """Every step known then, in the order they were taken."""
    return (
        select(STEP, VERSION.c.name, VERSION.c.version)
        .join(VERSION, VERSION.c.sha256 == STEP.c.sha256)
        .where(STEP.c.recorded_at <= asked.as_of)
        .order_by(STEP.c.entry)
    )


def _in_force(connection: Connection, asked: Asked, rows: Sequence[Row]) -> Sequence[Row]:
    """The tenures that hold at the date or begin after it, those of one policy beside each other."""
    steps = [Step(**{name: row[name] for name in Step._fields}) for row in rows]
    date = asked.since or asked.as_of
    found = sorted(tenures(steps), key=lambda one: (one.name, one.start))
    told = []
    for before, one in zip([None, *found], found, strict=False):
        if (one.end is None or one.end > date) and (asked.until is None or one.start < asked.until):
            replaced = before if before and before.name == one.name else None
            told.append(_row(connection, one, replaced, steps) | {"on_the_date": one.holds(date)})
    return told


def _row(connection: Connection, one: Tenure, before: Tenure | None, steps: Sequence[Step]) -> dict[str, Any]:
    mine = {step.step: step for step in steps if step.sha256 == one.sha256}
    return {
        "program": one.name,
        "version": one.version,
        "sha256": one.sha256,
        "starts_at": one.start,
        "ends_at": one.end,
        "added_by": mine["add"].actor if "add" in mine else None,
        "approved_by": mine["approve"].actor,
        "approved_at": mine["approve"].recorded_at,
        "retired_by": mine["retire"].actor if "retire" in mine else None,
        "replaced": before.version if before else None,
        "changes": _changes(connection, before.sha256, one.sha256) if before else None,
    }


def _changes(connection: Connection, first: str, second: str) -> list[str]:
    texts = select(VERSION.c.sha256, VERSION.c.document).where(VERSION.c.sha256.in_((first, second)))
    documents = {row.sha256: row.document for row in connection.execute(texts)}
    policies = [policy_of(sha256, documents[sha256]) for sha256 in (first, second)]
    return [change.words for change in differences(*policies)]


POLICIES = Report(
    name="policies",
    title="Policies in force, and what changed since",
    question="Which policy versions were in force on a date (--since; without it, now), who approved them, and what changed from then on?",
    asked_by="examiner, credit committee, internal audit",
    source="every decision names the version that it was made under",
    columns=(
        Column("program", "text", "the policy"),
        Column("version", "text", "its version"),
        Column("sha256", "text", "the hash of its content"),
        Column("on_the_date", "truth", "whether it was in force on the date; else it came after"),
        Column("starts_at", "moment", "from when it is in force"),
        Column("ends_at", "moment", "until when, as known; unknown while nothing ends it"),
        Column("added_by", "text", "its author"),
        Column("approved_by", "text", "who approved it"),
        Column("approved_at", "moment", "when"),
        Column("retired_by", "text", "who retired it, if anybody did"),
        Column("replaced", "text", "the version of the same policy before it"),
        Column("changes", "list", "what is different from that one, in words"),
    ),
    statement=policies_statement,
    finish=_in_force,
    whole=True,
)
