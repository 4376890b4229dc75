"""Exports: a file of rows, and beside it a manifest that says what was asked, what came, and which ledger it stands on."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, select

from dealgate.adapters.compliance.check import alike, told_once
from dealgate.adapters.compliance.formats import UnreadableError, check_format, line, read_rows, writer_of
from dealgate.adapters.compliance.query import Query, QueryError
from dealgate.adapters.compliance.readers import Reader
from dealgate.adapters.compliance.rows import COLUMNS, Column, Row, rows_of
from dealgate.adapters.compliance.search import count_purged, search_all
from dealgate.migrations.revisions import current_revision
from dealgate.models.sealing import LAST, count_waiting
from dealgate.models.tree import CHECKPOINT
from dealgate.rules.decision import moment

SUFFIX = ".manifest.json"
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Export:
    """What is to be written: a query, for whom, how much of it at the most."""

    query: Query
    reader: Reader
    most: int | None = None


def manifest_path(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def batches(connection: Connection, export: Export) -> Iterator[list[Row]]:
    """The rows of an export, some at a time."""
    for found in search_all(connection, export.query, most=export.most):
        yield rows_of(connection, found, export.reader, export.query.as_of)


def write_export(
    connection: Connection, export: Export, path: Path, file_format: str, now: datetime
) -> Mapping[str, Any]:
    """Write the file and its manifest, and return the manifest. A query without `as_of` is asked as of now.

    Nothing stands under the file's name before all of it does, and where it fails nothing is left. Raises `QueryError`; a file that is
    there is not overwritten, nor mixed with that of somebody who writes one of the same name meanwhile.
    """
    check_format(file_format)
    export.reader.check(export.query)
    for taken in (path, manifest_path(path)):
        _refuse_taken(taken)
    if export.query.as_of is None:
        export = replace(export, query=replace(export.query, as_of=now))
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    try:
        counts, rows_sha256 = _write_rows(connection, export, partial, file_format)
        manifest = {
            "dealgate": version("dealgate"),
            "file": path.name,
            "format": file_format,
            "file_sha256": file_hash(partial),
            "made_at": moment(now),
            "actor": export.reader.name,
            "role": export.reader.role,
            "withheld": list(export.reader.withheld),
            "query": export.query.document(),
            "query_sha256": export.query.sha256,
            "as_of": export.query.document()["as_of"],
            "limit": export.most,
            "columns": [column._asdict() for column in COLUMNS],
            "rows": sum(counts.values()),
            "rows_by_outcome": counts,
            "rows_sha256": rows_sha256,
            "purged_decisions": count_purged(connection, export.query.as_of),
            "database_revision": current_revision(connection),
            "ledger": _ledger(connection),
        }
        _put_in_place(partial, path, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise QueryError("output", str(path), f"cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            partial.unlink()
    return manifest


def _put_in_place(partial: Path, path: Path, manifest: str) -> None:
    """The file under its name and its manifest, both or neither. Of several at once one makes the manifest."""
    beside = manifest_path(path)
    try:
        file = beside.open("x", encoding="utf-8")
    except FileExistsError:
        _refuse_taken(beside)
        raise
    try:
        with file:
            file.write(manifest)
        _refuse_taken(path)
        partial.replace(path)
    except BaseException:
        beside.unlink()
        raise


def _refuse_taken(path: Path) -> None:
    if os.path.lexists(path):
        raise QueryError("output", str(path), "is there already and is not overwritten: give another name")


def _write_rows(connection: Connection, export: Export, path: Path, file_format: str) -> tuple[dict[str, int], str]:
    """How many rows of each outcome were written, and the hash over all rows."""
    counts: dict[str, int] = {}
    digest = hashlib.sha256()
    with closing(writer_of(file_format, path, COLUMNS)) as writer:
        for rows in batches(connection, export):
            writer.write(rows)
            for row in rows:
                digest.update(line(row).encode())
                counts[str(row["outcome"])] = counts.get(str(row["outcome"]), 0) + 1
    with path.open("rb") as written:
        os.fsync(written.fileno())
    return dict(sorted(counts.items())), digest.hexdigest()


def _ledger(connection: Connection) -> dict[str, Any]:
    """The newest checkpoint, and how many entries no checkpoint covers yet."""
    newest = connection.execute(LAST).first()
    return {
        "checkpoint": newest.note if newest else None,
        "size": newest.size if newest else 0,
        "sealed_at": moment(newest.sealed_at) if newest else None,
        "entries_not_sealed": count_waiting(connection),
    }


def file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


# Holding a file against its manifest and against the ledger


def read_manifest(path: Path) -> dict[str, Any]:
    """Raises `QueryError` where there is none, or no manifest."""
    try:
        manifest = json.loads(manifest_path(path).read_text(encoding="utf-8"), object_pairs_hook=told_once)
        missing = NEEDED - set(manifest)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise QueryError(
            "file", str(path), f"its manifest {manifest_path(path).name} cannot be read: {error}"
        ) from None
    if missing:
        raise QueryError("file", str(path), f"its manifest lacks {', '.join(sorted(missing))}")
    return dict(manifest)


NEEDED = frozenset(
    [
        "format",
        "file_sha256",
        "query",
        "query_sha256",
        "as_of",
        "role",
        "withheld",
        "limit",
        "columns",
        "rows",
        "rows_by_outcome",
        "rows_sha256",
        "purged_decisions",
        "ledger",
    ]
)


def check_file(path: Path, manifest: Mapping[str, Any]) -> list[str]:
    """What does not agree between a file and its manifest, in words."""
    found = [*_check_manifest(manifest)]
    if (got := file_hash(path)) != manifest["file_sha256"]:
        found.append(f"the file is not the one that was written: expected SHA-256 {manifest['file_sha256']}, got {got}")
    digest, outcomes = hashlib.sha256(), Counter[str]()
    try:
        for row in read_rows(manifest["format"], path, _columns(manifest)):
            digest.update(line(row).encode())
            outcomes[str(row.get("outcome"))] += 1
    except UnreadableError as error:
        return [*found, f"the file cannot be read: {error}"]
    if not alike(outcomes.total(), manifest["rows"]):
        found.append(f"the manifest tells of {manifest['rows']} rows, the file has {outcomes.total()}")
    if not alike(outcomes, manifest["rows_by_outcome"]):
        told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items())) or "none"
        found.append(f"the outcomes in the file are not those of the manifest: the file has {told}")
    if digest.hexdigest() != manifest["rows_sha256"]:
        found.append(
            f"the rows are not those of the manifest: expected {manifest['rows_sha256']}, got {digest.hexdigest()}"
        )
    return found


def _check_manifest(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What in it does not agree with itself."""
    query = Query.read(manifest["query"])
    if query.sha256 != manifest["query_sha256"]:
        yield "the query in the manifest does not have the hash that the manifest gives it"
    if manifest["as_of"] != query.document().get("as_of"):
        yield f"the manifest is as of {manifest['as_of']}, its query as of {query.document().get('as_of')}"
    if manifest["withheld"] != list(Reader(manifest["role"]).withheld):
        yield f"what the manifest tells as withheld is not what is withheld from the reader {manifest['role']}"


def check_against_ledger(connection: Connection, path: Path, manifest: Mapping[str, Any]) -> list[str]:
    """What does not agree between an export and the database: its checkpoint, and every row of the same query asked again."""
    found = []
    ledger = manifest["ledger"]
    checkpoint = connection.execute(select(CHECKPOINT).where(CHECKPOINT.c.size == ledger["size"])).first()
    told = (checkpoint.note, moment(checkpoint.sealed_at)) if checkpoint else (None, None)
    if told != (ledger["checkpoint"], ledger["sealed_at"]):
        found.append(f"the checkpoint of {ledger['size']} entries that the export stands on is not in this ledger")
    query = Query.read(manifest["query"])
    export = Export(query, Reader(manifest["role"]), manifest["limit"])
    again = (row for rows in batches(connection, export) for row in rows)
    written = read_rows(manifest["format"], path, _columns(manifest))
    try:
        for number, (ours, theirs) in enumerate(zip_longest(again, written), 1):
            if ours is None or theirs is None or line(ours) != line(theirs):
                found.append(_difference(number, ours, theirs))
                break
    except UnreadableError as error:
        found.append(f"the file cannot be held against the ledger: {error}")
    if found and (gone := count_purged(connection, query.as_of) - manifest["purged_decisions"]):
        found.append(f"retention has taken out {gone} decisions since the export was made")
    return found


def _difference(number: int, ours: Row | None, theirs: Row | None) -> str:
    if ours is None or theirs is None:
        where, row = ("file", theirs) if ours is None else ("ledger", ours)
        return f"row {number}, decision {(row or {}).get('decision_id')}, stands in the {where} only"
    if ours["decision_id"] != theirs.get("decision_id"):
        return f"row {number}: the ledger has decision {ours['decision_id']}, the file {theirs.get('decision_id')}"
    names = [name for name, value in ours.items() if not alike(theirs.get(name), value)]
    told = ", ".join(f"{name} is {ours[name]!r} in the ledger, {theirs.get(name)!r} in the file" for name in names)
    return f"row {number}, decision {ours['decision_id']}: {told}"


def _columns(manifest: Mapping[str, Any]) -> list[Column]:
    return [Column(one["name"], one["kind"]) for one in manifest["columns"]]
