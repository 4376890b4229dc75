"""`dealgate policy add|approve|retire|list|show|in-force` and `dealgate policy shadow ...`: versions on record."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from dealgate.adapters.command_line.deals import DatabaseOption
from dealgate.adapters.command_line.failures import refuse
from dealgate.adapters.command_line.ledger import DEFAULT, ActorOption
from dealgate.adapters.command_line.moments import read_moment
from dealgate.adapters.command_line.stored_versions import recorded, version_exit_codes, version_named
from dealgate.adapters.command_line.terminal import standard_output

VersionArgument = Annotated[
    str, typer.Argument(metavar="VERSION", help="The hash, or at least 8 digits of it; or NAME@VERSION.")
]
HashArgument = Annotated[
    str, typer.Argument(metavar="HASH", help="The hash of the content that was read, or at least 12 digits of it.")
]
MomentOption = Annotated[str | None, typer.Option(metavar="MOMENT", help="With its time zone; without it, now.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]

shadow = typer.Typer(help="Versions that look on beside the one in force.", no_args_is_help=True)


def add(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A policy file, or a shipped policy by name.")],
    actor: ActorOption,
    db: DatabaseOption = DEFAULT,
) -> None:
    """Put a policy document on record as its author's draft. One whose checks or examples fail is refused."""
    from dealgate.adapters.policies import load_policy, review  # noqa: PLC0415
    from dealgate.models.versions import add_version  # noqa: PLC0415

    with version_exit_codes():
        if errors := review(file).errors:
            refuse(errors)
        document = load_policy(file)
        step = recorded(
            db, lambda connection, now: add_version(connection, document.policy, document.text, now, actor=actor)
        )
        print(f"{step.name} {step.version} is a draft of {step.actor}'s; another person approves it by its hash:")
        print(step.sha256)


def approve(content: HashArgument, actor: ActorOption, db: DatabaseOption = DEFAULT) -> None:
    """Approve the content that has this hash, as another person than its author."""
    from dealgate.models.versions import approve_version  # noqa: PLC0415
    from dealgate.rules.decision import moment  # noqa: PLC0415

    with version_exit_codes():
        if len(content) < 12:
            refuse([f"{content!r} is too short to stand for a content: give at least 12 digits of its hash"])
        step = recorded(
            db,
            lambda connection, now: approve_version(
                connection, version_named(connection, content).policy, now, actor=actor
            ),
        )
        begins = moment(step.starts_at) if step.starts_at else ""
        print(f"{step.name} {step.version} is approved by {step.actor}; it is in force from {begins}")


def retire(
    version: VersionArgument,
    actor: ActorOption,
    at: MomentOption = None,
    db: DatabaseOption = DEFAULT,
) -> None:
    """End a version's time."""
    from dealgate.models.versions import retire_version  # noqa: PLC0415
    from dealgate.rules.decision import moment  # noqa: PLC0415

    with version_exit_codes():
        end = read_moment(at) if at else None
        step = recorded(
            db,
            lambda connection, now: retire_version(
                connection, version_named(connection, version).policy.sha256, now, actor=actor, at=end
            ),
        )
        print(
            f"{step.name} {step.version} is retired by {step.actor} from {moment(step.ends_at)}" if step.ends_at else ""
        )


def list_(as_json: JsonOption = False, db: DatabaseOption = DEFAULT) -> None:
    """List the versions on record, each with where it stands now."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.adapters.policy_records import versions_on_record  # noqa: PLC0415
    from dealgate.models.versions import all_steps  # noqa: PLC0415

    with version_exit_codes(), stored(db) as connection:
        rows = versions_on_record(all_steps(connection), datetime.now(UTC))
        if as_json:
            print(json.dumps(rows))
            return
        shown = Table("Policy", "Version", "State", "From", "To", "Author", "Hash", box=None)
        for row in rows:
            shown.add_row(
                *(str(row[name] or "") for name in ("name", "version", "state", "from", "to", "author")),
                row["sha256"][:12],
            )
        standard_output().print(shown)


def show(version: VersionArgument, as_json: JsonOption = False, db: DatabaseOption = DEFAULT) -> None:
    """Show a version: every step of its life, and the text that was approved."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.adapters.policy_records import step_document  # noqa: PLC0415
    from dealgate.models.versions import steps_of  # noqa: PLC0415

    with version_exit_codes(), stored(db) as connection:
        found = version_named(connection, version)
        steps = [step_document(step) for step in steps_of(connection, found.policy.sha256)]
        if as_json:
            print(json.dumps({"sha256": found.policy.sha256, "steps": steps, "document": found.text}))
            return
        console = standard_output()
        for step in steps:
            console.print(Text("  ".join(str(step[name]) for name in ("recorded_at", "step", "actor"))))
        console.print(Text(f"sha256 {found.policy.sha256}\n"))
        console.print(Text(found.text))


def in_force_(
    at: MomentOption = None,
    known_at: MomentOption = None,
    as_json: JsonOption = False,
    db: DatabaseOption = DEFAULT,
) -> None:
    """Which versions are in force at a moment, as known at a moment."""
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.adapters.policy_records import tenure_document  # noqa: PLC0415
    from dealgate.models.versions import all_steps, in_force  # noqa: PLC0415
    from dealgate.rules.decision import moment  # noqa: PLC0415

    with version_exit_codes(), stored(db) as connection:
        when = read_moment(at) if at else datetime.now(UTC)
        known = read_moment(known_at) if known_at else None
        found = in_force(all_steps(connection), when, known)
        if as_json:
            print(json.dumps([tenure_document(one) for one in found]))
            return
        for one in found:
            until = f"until {moment(one.end)}" if one.end else "until further notice"
            print(f"{one.name} {one.version}  from {moment(one.start)} {until}  {one.sha256[:12]}")
        if not found:
            print(f"no policy is in force at {moment(when)}: deals would be referred")


@shadow.command("start")
def start_shadow_(
    version: VersionArgument,
    actor: ActorOption,
    share: Annotated[float, typer.Option(help="Percent of the deals, the same ones always.")] = 100.0,
    db: DatabaseOption = DEFAULT,
) -> None:
    """Let a version look at deals beside the one in force. It decides nothing."""
    from dealgate.models.versions import start_shadow  # noqa: PLC0415

    with version_exit_codes():
        step = recorded(
            db,
            lambda connection, now: start_shadow(
                connection,
                version_named(connection, version).policy.sha256,
                now,
                actor=actor,
                share=round(share * 100),
            ),
        )
        print(f"{step.name} {step.version} looks at {(step.share or 0) / 100:g} % of the deals")


@shadow.command("stop")
def stop_shadow_(version: VersionArgument, actor: ActorOption, db: DatabaseOption = DEFAULT) -> None:
    """Let a version look on no longer. What it made of deals is kept."""
    from dealgate.models.versions import stop_shadow  # noqa: PLC0415

    with version_exit_codes():
        step = recorded(
            db,
            lambda connection, now: stop_shadow(
                connection, version_named(connection, version).policy.sha256, now, actor=actor
            ),
        )
        print(f"{step.name} {step.version} looks on no longer")


@shadow.command("report")
def report(version: VersionArgument, as_json: JsonOption = False, db: DatabaseOption = DEFAULT) -> None:
    """What a version would have made of the deals that it looked at."""
    from dealgate.adapters.command_line.shadow_reports import show_shadow_report  # noqa: PLC0415
    from dealgate.adapters.database import stored  # noqa: PLC0415
    from dealgate.adapters.shadow_reports import shadow_report  # noqa: PLC0415

    with version_exit_codes(), stored(db) as connection:
        found = shadow_report(connection, version_named(connection, version).policy.sha256)
        if as_json:
            print(json.dumps(found.document()))
        else:
            show_shadow_report(standard_output(), found)
