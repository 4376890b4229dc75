"""`dealgate audit notice|clocks|notice-sample`: when notices are due, and their text."""

import json
from datetime import date, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from dealgate.adapters.command_line.deals import DatabaseOption
from dealgate.adapters.command_line.failures import refuse
from dealgate.adapters.command_line.ledger import DEFAULT, ledger_exit_codes
from dealgate.adapters.command_line.new_files import refuse_existing, write_new
from dealgate.adapters.command_line.terminal import standard_output

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dealgate.rules.notice_clocks import Clock

NO_ADVICE = "No legal advice: the lender answers for its templates and for what it sends."

ZoneOption = Annotated[str, typer.Option(help="Whose days count, such as America/Chicago.")]


def notice(
    decision_id: Annotated[str, typer.Argument(metavar="DECISION")],
    template: Annotated[Path, typer.Option("--template", metavar="FILE", help="Yours; .html is escaped as HTML.")],
    data: Annotated[Path, typer.Option("--data", metavar="FILE", help="What you supply, YAML or JSON.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE")],
    kind: Annotated[str, typer.Option(help="adverse_action, counteroffer or incomplete.")] = "adverse_action",
    db: DatabaseOption = DEFAULT,
) -> None:
    """Write the text of a notice about a decision. What such a notice must have and the template lacks is an error."""
    from dealgate.adapters.compliance.notice_data import read_notice_data  # noqa: PLC0415
    from dealgate.adapters.compliance.notices import write_notice  # noqa: PLC0415
    from dealgate.adapters.database import stored  # noqa: PLC0415

    with ledger_exit_codes():
        refuse_existing(output)
        text = _read(template)
        given = read_notice_data(data)
        with stored(db) as connection:
            written = write_notice(connection, decision_id, text, given, kind=kind, name=template.name)
        write_new(output, written)
        print(f"{output}: a notice of the kind {kind}. Once it is sent, record it with dealgate ledger notice")
        print(NO_ADVICE)


def clocks(
    deal_id: Annotated[str, typer.Argument(metavar="DEAL")],
    time_zone: ZoneOption = "UTC",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
    db: DatabaseOption = DEFAULT,
) -> None:
    """By which day the applicant of a deal must hear what: the times of 12 CFR 1002.9."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.rules.effective import zone_of  # noqa: PLC0415

    with ledger_exit_codes(), stored(db) as connection:
        found = _clocks(connection, deal_id, time_zone)
        today = datetime.now(zone_of(time_zone)).date()
        if as_json:
            dated = [one._asdict() | {"state": one.state(today), "days_left": one.days_left(today)} for one in found]
            print(json.dumps(dated, default=str))
            return
        for one in found:
            standard_output().print(Text(f"{one.duty}: {_told(one, today)} ({one.source}, from {one.began_on})"))


def notice_sample(
    folder: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where the two files go.")],
) -> None:
    """Write a sample template and sample data to begin yours with."""
    with ledger_exit_codes():
        names = ("sample_notice.txt", "sample_notice.yaml")
        for name in names:
            refuse_existing(str(folder / name))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            refuse([f"{folder}: cannot be made a folder: {error.strerror or error}. Give another name."])
        for name in names:
            write_new(str(folder / name), (files("dealgate.adapters.compliance") / name).read_text(encoding="utf-8"))
        print(f"{folder}: {' and '.join(names)}. {NO_ADVICE}")


def _clocks(connection: "Connection", deal_id: str, time_zone: str) -> "list[Clock]":
    from dealgate.adapters.compliance.notices import clocks_of  # noqa: PLC0415

    try:
        return clocks_of(connection, deal_id, time_zone)
    except ValueError as error:  # no such zone
        refuse([error])


def _told(clock: "Clock", today: date) -> str:
    state = clock.state(today)
    if clock.met_on is not None:
        return f"{state} on {clock.met_on}, due {clock.due_on}"
    return f"due {clock.due_on}, {state}, {clock.days_left(today)} days left"


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        refuse([f"{file}: cannot be read: {error}"])
