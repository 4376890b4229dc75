"""The rows that are about many entries: heads of deals, erasures, notices, holds, policy versions, overrides, API keys; and rows
of no entry at all.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, ForeignKey, Select, and_, case, func, select

from dealgate.models.api_keys import KEY as API_KEY
from dealgate.models.api_keys import REVOCATION
from dealgate.models.erasure import HOLD, NOTICE, reasons_text
from dealgate.models.leave_checks import Leave
from dealgate.models.ledger import BODY, BODY_OF_ENTRY, DEAL, ENTRY
from dealgate.models.open_clocks import CLOCK_FROM
from dealgate.models.recording import DECISION, SUBMISSION
from dealgate.models.recording import VERSION as POLICY_VERSION
from dealgate.models.retention_checks import check_retention
from dealgate.models.standing import NAMED, STEP_OF_KIND
from dealgate.models.standing import STEP as OVERRIDE_STEP
from dealgate.models.tables import Base
from dealgate.models.verification import Report, compare
from dealgate.models.versions import STEP
from dealgate.rules.decision import moment


def check_registers(connection: Connection, report: Report, leave: Leave) -> None:
    checks: tuple[tuple[str, Callable[[Connection, Report], None]], ...] = (
        ("chain", _check_heads),
        ("stray", _check_strays),
        ("erasure", partial(_check_erasures, leave=leave)),
        ("notice", partial(_check_notices, leave=leave)),
        ("legal hold", partial(_check_holds, leave=leave)),
        ("retention", check_retention),
        ("policy", _check_policies),
        ("policy step", _check_steps),
        ("override", _check_overrides),
        ("API key", _check_keys),
    )
    for what, check in checks:
        with report.reading(what, what):
            check(connection, report)


def _check_heads(connection: Connection, report: Report) -> None:
    """The head of each deal against the end of its chain: an entry cut off the end would leave it without a next."""
    last, latest = ENTRY.alias("last"), ENTRY.alias("latest")
    counted = (
        select(
            ENTRY.c.deal_id,
            func.count().label("entries"),
            func.min(ENTRY.c.deal_seq).label("first"),
            func.max(ENTRY.c.deal_seq).label("last"),
            func.count(case((ENTRY.c.kind == "decision", 1))).label("submissions"),
            func.max(case((ENTRY.c.kind == "decision", ENTRY.c.deal_seq))).label("decided"),
        )
        .group_by(ENTRY.c.deal_id)
        .subquery()
    )
    statement = (
        select(
            DEAL,
            last.c.leaf_hash,
            counted.c.entries.label("counted"),
            counted.c.first,
            counted.c.last,
            counted.c.submissions.label("decisions"),
            latest.c.entry_id.label("latest"),
            DECISION.c.outcome.label("latest_outcome"),
        )
        .outerjoin(last, and_(last.c.deal_id == DEAL.c.deal_id, last.c.deal_seq == DEAL.c.entries))
        .outerjoin(counted, counted.c.deal_id == DEAL.c.deal_id)
        .outerjoin(latest, and_(latest.c.deal_id == DEAL.c.deal_id, latest.c.deal_seq == counted.c.decided))
        .outerjoin(DECISION, DECISION.c.decision_id == latest.c.entry_id)
    )
    for row in connection.execute(statement):
        _check_head(report, row)
    clocks = select(DEAL.c.deal_id, DEAL.c.clock_from, CLOCK_FROM.label("expected"))
    for row in connection.execute(clocks.where(DEAL.c.clock_from.is_distinct_from(CLOCK_FROM))):
        report.flaw("projection", f"clock of deal {row.deal_id}", row.expected, row.clock_from)


def _check_head(report: Report, row: Any) -> None:
    where = f"deal {row.deal_id}"
    if row.leaf_hash is None or row.leaf_hash != row.head:
        got = row.leaf_hash.hex() if row.leaf_hash else "none"
        report.flaw("chain", f"entry {row.entries} of {where}, its last", (row.head or b"").hex(), got)
    compare(report, "chain", f"entries of {where}", row.entries, row.counted)
    # No two have one place, so these leave no gap; purged entries have no envelope that tells theirs.
    compare(report, "chain", f"places of the entries of {where}", (1, row.entries), (row.first, row.last))
    compare(report, "chain", f"submissions of {where}", row.decisions, row.submissions)
    compare(report, "chain", f"last decision of {where}", row.latest, row.decision_id)
    if row.latest_outcome is not None:  # of a purged deal, no envelope is left that tells it
        compare(report, "chain", f"outcome of {where}", row.latest_outcome, row.outcome)


def _check_strays(connection: Connection, report: Report) -> None:
    """Rows that refer to something that is not there."""
    undecided = select(SUBMISSION.c.id).outerjoin(DECISION, DECISION.c.submission_id == SUBMISSION.c.id)
    for number in connection.execute(undecided.where(DECISION.c.id.is_(None))).scalars():
        report.flaw("projection", f"submission {number}", "a decision about it", "none")
    of_decision = and_(BODY_OF_ENTRY, ENTRY.c.kind == "decision", ENTRY.c.deal_id == DECISION.c.deal_id)
    orphans = (
        select(DECISION.c.decision_id)
        .outerjoin(ENTRY, ENTRY.c.entry_id == DECISION.c.decision_id)
        .outerjoin(BODY, of_decision)
    )
    for decision_id in connection.execute(orphans.where(BODY.c.entry.is_(None))).scalars():
        report.flaw("projection", f"decision {decision_id}", "an entry of the ledger that made it", "none")
    for (source, column, target), missing in UNANSWERED.items():
        for value in connection.execute(missing).scalars():
            report.flaw("stray", f"{column} {value} of {source}", f"a row of {target}", "none")


def _unanswered(key: ForeignKey) -> Select[Any]:
    """The values of a reference that nothing answers to."""
    there = key.column.table.alias("there")
    answer = there.c[key.column.name]
    joined = select(key.parent).outerjoin(there, answer == key.parent)
    return joined.where(key.parent.is_not(None), answer.is_(None)).distinct()


UNANSWERED = {
    (source.name, key.parent.name, key.column.table.name): _unanswered(key)
    for source in Base.metadata.sorted_tables
    for key in source.foreign_keys
}
"""By table, column and the table that it refers to."""


def _told(connection: Connection, kind: str, part: str = "") -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """The entries of a kind whose envelopes are still there, with what they tell in the part that is named for it."""
    statement = select(ENTRY, BODY.c.envelope).join(BODY, BODY_OF_ENTRY)
    rows = connection.execute(statement.where(ENTRY.c.kind == kind).order_by(ENTRY.c.id))
    return ((row, json.loads(row.envelope)[part or kind]) for row in rows)


def _check_erasures(connection: Connection, report: Report, leave: Leave) -> None:
    """Each leave to erase is what the entry that it names says of itself, and each entry that gives leave has rows."""
    report.flaws += leave.flaws
    for kind in ("redaction", "retention_purge"):
        for entry, _ in _told(connection, kind):
            if entry.id not in leave.givers:
                report.flaw("erasure", f"entry {entry.entry_id}", "what it took out", "nothing")


def _check_notices(connection: Connection, report: Report, leave: Leave) -> None:
    expected = {
        entry.id: (
            *(entry.deal_id, told["sent_at"], told["kind"], told.get("channel"), told.get("decision_id")),
            reasons_text(told.get("reasons")),
        )
        for entry, told in _told(connection, "notice")
    }
    purged = {row.id: (row.deal_id, moment(row.effective_at)) for row in _purged(connection, "notice", leave)}
    there = {
        row.entry: (row.deal_id, moment(row.sent_at), row.kind, row.channel, row.decision_id, row.reasons)
        for row in connection.execute(select(NOTICE))
    }
    _compare_register(report, "notice", expected, there, purged)


def _check_holds(connection: Connection, report: Report, leave: Leave) -> None:
    expected = {
        entry.id: (entry.deal_id, entry.deal_seq, told["placed"]) for entry, told in _told(connection, "legal_hold")
    }
    purged = {row.id: (row.deal_id, row.deal_seq) for row in _purged(connection, "legal_hold", leave)}
    there = {row.entry: (row.deal_id, row.deal_seq, row.placed) for row in connection.execute(select(HOLD))}
    _compare_register(report, "legal hold", expected, there, purged)


def _purged(connection: Connection, kind: str, leave: Leave) -> Iterator[Any]:
    """The entries of a kind that purges took out: their rows stay, and so do the entries' own columns."""
    if leave.whole:
        yield from (
            row for row in connection.execute(select(ENTRY).where(ENTRY.c.kind == kind)) if row.id in leave.whole
        )


def _check_steps(connection: Connection, report: Report) -> None:
    """What became of policy versions, and who said so."""
    expected = {
        entry.id: (
            *(told[name] for name in ("sha256", "step", "starts_at", "ends_at", "share")),
            entry.actor,
            moment(entry.recorded_at),
        )
        for entry, told in _told(connection, "policy_step", "policy")
    }
    there = {
        row.entry: (
            *(row.sha256, row.step, _moment(row.starts_at), _moment(row.ends_at), row.share),
            row.actor,
            moment(row.recorded_at),
        )
        for row in connection.execute(select(STEP))
    }
    _compare_register(report, "policy step", expected, there)


def _check_overrides(connection: Connection, report: Report) -> None:
    """Who asked, granted and denied, and against which findings."""
    entries = ((entry, told) for kind in STEP_OF_KIND for entry, told in _told(connection, kind, "override"))
    expected = {
        entry.id: {
            **{
                name: told.get(name)
                for name in ("override_id", "decision_id", "side", "reason", "persons", "role", "ends_at")
            },
            "deal_id": entry.deal_id,
            "step": STEP_OF_KIND[entry.kind],
            "actor": entry.actor,
            "recorded_at": moment(entry.recorded_at),
            "rules": sorted(told.get("rules", ())),
        }
        for entry, told in entries
    }
    named = defaultdict[int, list[str]](list)
    for row in connection.execute(select(NAMED)):
        named[row.entry].append(row.rule)
    there = {
        row.entry: {
            **{name: value for name, value in row._mapping.items() if name != "entry"},
            "ends_at": _moment(row.ends_at),
            "recorded_at": moment(row.recorded_at),
            "rules": sorted(named.pop(row.entry, [])),
        }
        for row in connection.execute(select(OVERRIDE_STEP))
    }
    there |= {entry: {"rules": rules} for entry, rules in named.items()}
    _compare_register(report, "override", expected, there)


def _check_keys(connection: Connection, report: Report) -> None:
    """Who was let in, as what, until when, by whom; and by which secret: a hash that was exchanged would let somebody else in."""
    issued = {entry.id: _key_row(entry, told) for entry, told in _told(connection, "api_key_issued", "api_key")}
    keys = {
        row.entry: {
            **{name: value for name, value in row._mapping.items() if name != "entry"},
            "secret_sha256": row.secret_sha256.hex(),
            "roles": json.loads(row.roles),
            "authorities": json.loads(row.authorities),
            "issued_at": moment(row.issued_at),
            "expires_at": moment(row.expires_at),
        }
        for row in connection.execute(select(API_KEY))
    }
    _compare_register(report, "API key", issued, keys)
    revoked = {
        entry.id: (told["key_id"], moment(entry.recorded_at), entry.actor)
        for entry, told in _told(connection, "api_key_revoked", "api_key")
    }
    there = {
        row.entry: (row.key_id, moment(row.revoked_at), row.revoked_by)
        for row in connection.execute(select(REVOCATION))
    }
    _compare_register(report, "API key revocation", revoked, there)


def _key_row(entry: Any, told: Mapping[str, Any]) -> dict[str, Any]:
    return {**told, "issued_at": moment(entry.recorded_at), "issued_by": entry.actor}


def _moment(at: datetime | None) -> str | None:
    return moment(at) if at else None


def _compare_register(
    report: Report,
    what: str,
    expected: Mapping[int, tuple[Any, ...] | dict[str, Any]],
    there: Mapping[int, Any],
    purged: Mapping[int, tuple[Any, ...]] = MappingProxyType({}),
) -> None:
    """Rows against the entries that they are of. Of one that a purge took out, the first columns are all that is told."""
    for number in sorted(expected.keys() | there.keys() | purged.keys()):
        told, row = expected.get(number), there.get(number)
        if told is None and number in purged:
            told, row = purged[number], row and row[: len(purged[number])]
        compare(report, what, f"{what} of entry number {number}", told, row)


def _check_policies(connection: Connection, report: Report) -> None:
    """The text of every policy version against the entry of its publication."""
    told = {one["sha256"]: (row, one) for row, one in _told(connection, "policy_publication", "policy")}
    for version in connection.execute(select(POLICY_VERSION)).all():
        where = f"policy {version.name} {version.version}"
        compare(report, "policy", f"content of {where}", version.sha256, _sha256(version.content))
        row, entry = told.pop(version.sha256, (None, None))
        if row is None or entry is None:
            report.flaw("policy", where, "an entry of its publication", "none")
            continue
        content = json.loads(version.content)
        expected = {
            "name": entry["name"],
            "version": entry["version"],
            "title": content["title"],
            "effective_from": content["effective_from"],
            "effective_to": content.get("effective_to"),
            "recorded_at": moment(row.recorded_at),
            "document": entry["document_sha256"],
        }
        compare(report, "policy", where, expected, _shown_version(version))
    for _, entry in told.values():
        report.flaw("policy", f"policy {entry['name']} {entry['version']}", f"its text, {entry['sha256']}", "none")


def _shown_version(version: Any) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": version.version,
        "title": version.title,
        "effective_from": version.effective_from.isoformat(),
        "effective_to": version.effective_to.isoformat() if version.effective_to else None,
        "recorded_at": moment(version.recorded_at),
        "document": _sha256(version.document),
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
