"""The `dealgate` command."""

import gc
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from dealgate.adapters.command_line import (
    api_keys,
    audit_file,
    audit_notices,
    audit_replay,
    audit_reports,
    audit_search,
    databases,
    deals,
    decisions,
    guards,
    ledger,
    ledger_records,
    mappings,
    outbox,
    overrides,
    pictures,
    policies,
    portfolio,
    serving,
    tables,
)
from dealgate.adapters.command_line.failures import exit_codes

app = typer.Typer(
    help="The gate a vehicle loan passes at deal submission.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(deals.evaluate)
app.command()(deals.submit)
app.command()(pictures.picture)
app.command()(serving.serve)
app.add_typer(serving.app, name="config")
app.add_typer(decisions.app, name="decision")
app.add_typer(overrides.app, name="override")
app.add_typer(policies.app, name="policy")
app.add_typer(tables.app, name="table")
app.add_typer(mappings.app, name="mapping")
app.add_typer(portfolio.app, name="portfolio")
app.add_typer(guards.app, name="guard")
app.add_typer(outbox.app, name="outbox")
app.add_typer(databases.app, name="db")
app.add_typer(api_keys.app, name="key")
for command in (
    ledger_records.notice,
    ledger_records.hold,
    ledger_records.release,
    ledger_records.redact,
    ledger_records.due,
    ledger_records.purge,
):
    ledger.app.command()(command)
app.add_typer(ledger.app, name="ledger")

audit = typer.Typer(help="What an examiner, an auditor or the fair-lending team asks.", no_args_is_help=True)
audit.command()(audit_search.search)
audit.command()(audit_search.check)
audit.command()(audit_reports.report)
audit.command()(audit_reports.groups)
audit.command()(audit_file.file)
audit.command()(audit_replay.replay)
audit.command()(audit_notices.notice)
audit.command()(audit_notices.clocks)
audit.command("notice-sample")(audit_notices.notice_sample)
app.add_typer(audit, name="audit")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"dealgate {version('dealgate')}")
        raise typer.Exit


@app.callback()
def dealgate(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """The gate a vehicle loan passes at deal submission."""


def run() -> None:
    gc.freeze()  # what is imported stays to the end, where Python would otherwise walk through all of it once more
    _open_what_is_closed()
    try:
        with exit_codes():
            app()
    except typer.Exit as ended:  # outside of the application nobody takes it for an exit code
        sys.exit(ended.exit_code)


def _open_what_is_closed() -> None:
    """Nobody hears what is said to a closed output, a closed input says nothing, and no file that is opened may be taken for either."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
