"""Exports: files that are read back to the same rows, and manifests that hold them and the ledger together."""

import csv
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from sqlalchemy import Engine, text

from dealgate.adapters.compliance import exports, formats
from dealgate.adapters.compliance.exports import (
    Export,
    check_against_ledger,
    check_file,
    manifest_path,
    read_manifest,
    write_export,
)
from dealgate.adapters.compliance.query import Query, QueryError
from dealgate.adapters.compliance.readers import Reader
from dealgate.adapters.compliance.rows import COLUMNS, Column, Row, rows_of
from dealgate.adapters.database import stored
from dealgate.adapters.sealer import Sealer
from dealgate.migrations.guards import sqlite_triggers
from dealgate.models.erasure import purge, record_notice, redact
from dealgate.models.signing import Ed25519Signer, new_key
from tests.adapters.commands import invoke
from tests.models.overriding import HOUR, decided, granted, requested
from tests.models.samples import NOW

FORMATS = tuple(formats.WRITERS)
LATER = NOW + timedelta(days=1)
IDENTITY, AMOUNTS = ("1HGCV1F30NA000001", "First Bank", "screens"), ("684", "5200.00", "1150.00")
PERSONAL = IDENTITY + AMOUNTS
RANDOM = re.compile(r"[0-9a-f-]{32,}")
"""Hashes and ids: any three digits stand somewhere in one."""

SOME = (Column("name", "text"), Column("amount", "money"), Column("number", "count"))


def exported(
    url: str, path: Path, file_format: str = "csv", *, now: datetime = LATER, **given_parts: Any
) -> Mapping[str, Any]:
    export = Export(
        given_parts.pop("query", Query()), given_parts.pop("reader", Reader("compliance", "eve")), **given_parts
    )
    with stored(url) as connection:
        return write_export(connection, export, path, file_format, now)


def problems(url: str, path: Path) -> list[str]:
    with stored(url) as connection:
        return check_against_ledger(connection, path, read_manifest(path))


@given(
    rows=st.lists(
        st.tuples(
            st.none()
            | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufffe\uffff"), min_size=1),
            st.none() | st.integers(-(10**18), 10**18),
            st.none() | st.integers(-(2**63), 2**63 - 1),
        ),
        max_size=6,
    )
)
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("file_format", FORMATS)
def test_rows_are_read_back_as_they_were_written(file_format: str, rows: list[tuple[Any, ...]]) -> None:
    told = [
        {"name": name, "amount": None if cents is None else str(Decimal(cents).scaleb(-2)), "number": number}
        for name, cents, number in rows
    ]
    told = [row | {"amount": row["amount"] and f"{Decimal(row['amount']):.2f}"} for row in told]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows"
        writer = formats.writer_of(file_format, path, SOME)
        writer.write(told[:2])
        writer.write(told[2:])
        writer.close()
        assert list(formats.read_rows(file_format, path, SOME)) == told


@pytest.mark.parametrize(
    "words", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", " =1", "=cmd|'/c'!A1"]
)
def test_no_spreadsheet_takes_a_text_for_a_formula(tmp_path: Path, words: str) -> None:
    for file_format in ("csv", "xlsx"):
        path = tmp_path / f"rows.{file_format}"
        writer = formats.writer_of(file_format, path, SOME)
        writer.write([{"name": words, "amount": "-12.00", "number": -3}])
        writer.close()
    with (tmp_path / "rows.csv").open(newline="") as file:
        cells = list(csv.reader(file))[1]
    assert cells == [f"'{words}", "-12.00", "-3"]
    row = next(load_workbook(tmp_path / "rows.xlsx").worksheets[0].iter_rows(min_row=2))
    assert [cell.data_type for cell in row] == ["s", "s", "n"]


def test_money_is_an_exact_decimal_in_parquet(tmp_path: Path, database_url: str, database: Engine) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415

    decided(database)
    exported(database_url, tmp_path / "all.parquet", "parquet")
    table = pq.read_table(tmp_path / "all.parquet")
    assert table["amount_financed"].to_pylist() == [Decimal("37769.67")]
    assert not any("double" in str(field.type) or "float" in str(field.type) for field in table.schema)


@pytest.mark.parametrize("file_format", FORMATS)
def test_an_export_agrees_with_its_manifest_and_the_ledger(
    tmp_path: Path, database_url: str, database: Engine, file_format: str
) -> None:
    signer = Ed25519Signer.parse(new_key("lender.example/ledger").private)
    for number in range(3):
        decided(database, NOW + number * HOUR, deal_id=f"D-{number}")
    Sealer(database, signer).seal()
    override = requested(database, decided(database, NOW + 3 * HOUR, deal_id="D-3"), "LTV-TOTAL", now=NOW + 4 * HOUR)
    path = tmp_path / "all"
    manifest = exported(database_url, path, file_format)
    assert manifest["rows"] == 4
    assert manifest["rows_by_outcome"] == {"refer": 4}
    assert manifest["query"] == {"as_of": "2026-11-21T15:04:05.123456Z"}
    assert (manifest["actor"], manifest["role"], manifest["withheld"]) == ("eve", "compliance", [])
    assert manifest["ledger"]["entries_not_sealed"] == 2
    assert manifest["ledger"]["checkpoint"].startswith("lender.example/ledger\n")
    assert check_file(path, read_manifest(path)) == []
    assert problems(database_url, path) == []
    granted(database, override, LATER + HOUR)
    decided(database, LATER + HOUR, deal_id="D-4")
    Sealer(database, signer).seal()
    assert problems(database_url, path) == [], "what was recorded later is no part of what was known then"


def test_any_changed_byte_of_a_file_is_told(tmp_path: Path, database_url: str, database: Engine) -> None:
    decided(database)
    path = tmp_path / "all.csv"
    exported(database_url, path)
    whole, manifest = path.read_bytes(), read_manifest(path)
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert check_file(path, manifest), place
    path.write_bytes(whole)
    assert check_file(path, manifest) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"rows_by_outcome": {"pass": 1}},
            "the outcomes in the file are not those of the manifest: the file has 1 refer",
        ),
        ({"as_of": "2027-01-01T00:00:00Z"}, "the manifest is as of 2027-01-01T00:00:00Z, its query as of 2026-11-21T"),
        (
            {"role": "compliance"},
            "what the manifest tells as withheld is not what is withheld from the reader compliance",
        ),
        ({"withheld": []}, "what the manifest tells as withheld is not what is withheld from the reader outside"),
        ({"rows": 2}, "the manifest tells of 2 rows, the file has 1"),
        ({"rows": True}, "the manifest tells of True rows, the file has 1"),
    ],
)
@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
def test_a_manifest_that_was_changed_alone_is_told(
    tmp_path: Path, database_url: str, database: Engine, file_format: str, changes: dict[str, Any], words: str
) -> None:
    decided(database)
    path = tmp_path / "all"
    manifest = dict(exported(database_url, path, file_format, reader=Reader()))
    manifest_path(path).write_text(json.dumps(manifest | changes))
    (told,) = check_file(path, read_manifest(path))
    assert told.startswith(words)


@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
def test_a_manifest_with_other_columns_is_told(
    tmp_path: Path, database_url: str, database: Engine, file_format: str
) -> None:
    decided(database)
    path = tmp_path / "all"
    manifest = dict(exported(database_url, path, file_format))
    columns = [*manifest["columns"][:-1], {"name": "other", "kind": "text"}]
    manifest_path(path).write_text(json.dumps(manifest | {"columns": columns}))
    assert check_file(path, read_manifest(path)) == [
        "the file cannot be read: its columns are not those of the manifest: column 58 is metadata, expected other"
    ]


def twice_in_csv(data: bytes) -> bytes:
    """The column of the outcomes once more at the end, with another one in it."""
    head, *rows = data.decode().split("\r\n")
    return "\r\n".join([f"{head},outcome", *(f"{row},pass" for row in rows if row), ""]).encode()


def as_truth(data: bytes) -> bytes:
    assert b'"submission":1,' in data
    return data.replace(b'"submission":1,', b'"submission":true,')


@pytest.mark.parametrize(
    ("file_format", "forge", "words"),
    [
        ("csv", twice_in_csv, "column 59 is outcome, expected none"),
        (
            "csv",
            lambda data: data.replace(b"refer", b"'refer"),
            "a cell of outcome is \"'refer\": it is written 'refer'",
        ),
        (
            "jsonl",
            lambda data: data.replace(b'"outcome":"refer"', b'"outcome":"pass","outcome":"refer"'),
            "column 6 is outcome, expected policy",
        ),
        ("jsonl", lambda data: b"[" + data.rstrip() + b"]\n", "a line is no row, but '["),
        ("jsonl", as_truth, "submission is 1 in the ledger, True in the file"),
    ],
)
def test_what_says_a_thing_twice_or_otherwise_is_told_though_the_manifest_was_made_again(
    tmp_path: Path, database_url: str, database: Engine, file_format: str, forge: Callable[[bytes], bytes], words: str
) -> None:
    """The hash of the rows as whoever forged them would have it: of rows in which the last of two values counts, and true is 1."""
    decided(database)
    path = tmp_path / "all"
    manifest = dict(exported(database_url, path, file_format))
    path.write_bytes(forge(path.read_bytes()))
    manifest["file_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    if forge is as_truth:
        manifest["rows_sha256"] = manifest["file_sha256"]
    manifest_path(path).write_text(json.dumps(manifest))
    found = check_file(path, read_manifest(path)) + problems(database_url, path)
    assert words in found[-1]


@pytest.mark.parametrize("file_format", ["parquet", "xlsx"])
def test_a_column_that_stands_twice_is_told(
    tmp_path: Path, database_url: str, database: Engine, file_format: str
) -> None:
    decided(database)
    path = tmp_path / "all"
    manifest = dict(exported(database_url, path, file_format))
    WITH_OUTCOME_TWICE[file_format](path)
    manifest["file_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest_path(path).write_text(json.dumps(manifest))
    (told,) = check_file(path, read_manifest(path))
    assert told.endswith("its columns are not those of the manifest: column 59 is outcome, expected none")


def twice_in_parquet(path: Path) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415

    table = pq.read_table(path)
    pq.write_table(table.append_column("outcome", table["outcome"]), path)


def twice_in_excel(path: Path) -> None:
    with path.open("rb") as file:
        book = load_workbook(file)
    for row, value in enumerate(("outcome", "refer"), 1):
        book.worksheets[0].cell(row, len(COLUMNS) + 1, value)
    with path.open("wb") as file:
        book.save(file)


WITH_OUTCOME_TWICE = {"parquet": twice_in_parquet, "xlsx": twice_in_excel}


def test_a_manifest_that_says_a_thing_twice_is_refused(tmp_path: Path, database_url: str, database: Engine) -> None:
    path = tmp_path / "all.csv"
    exported(database_url, path)
    manifest = manifest_path(path)
    manifest.write_text(manifest.read_text().replace('"role": ', '"role": "outside", "role": '))
    with pytest.raises(QueryError, match=r"cannot be read: a name stands twice in one object: .*role"):
        read_manifest(path)


@pytest.mark.parametrize("part", ["as_of", "withheld", "rows_by_outcome"])
def test_a_manifest_that_lacks_a_part_is_refused(
    tmp_path: Path, database_url: str, database: Engine, part: str
) -> None:
    path = tmp_path / "all.csv"
    manifest = dict(exported(database_url, path))
    del manifest[part]
    manifest_path(path).write_text(json.dumps(manifest))
    with pytest.raises(QueryError, match=f"its manifest lacks {part}"):
        read_manifest(path)


def test_another_moment_of_sealing_is_told_against_the_ledger(
    tmp_path: Path, database_url: str, database: Engine
) -> None:
    decided(database)
    Sealer(database, Ed25519Signer.parse(new_key("lender.example/ledger").private)).seal()
    path = tmp_path / "all.csv"
    manifest = exported(database_url, path)
    assert problems(database_url, path) == []
    changed = {**manifest, "ledger": {**manifest["ledger"], "sealed_at": "2027-01-01T00:00:00Z"}}
    manifest_path(path).write_text(json.dumps(changed))
    (told,) = problems(database_url, path)
    assert (
        told
        == f"the checkpoint of {manifest['ledger']['size']} entries that the export stands on is not in this ledger"
    )


def test_a_file_and_a_manifest_that_were_changed_together_do_not_stand_against_the_ledger(
    tmp_path: Path, database_url: str, database: Engine
) -> None:
    decision_id = decided(database)
    path = tmp_path / "all.jsonl"
    exported(database_url, path, "jsonl")
    path.write_text(path.read_text().replace('"outcome":"refer"', '"outcome":"pass"'))
    manifest = read_manifest(path)
    rows = list(formats.read_rows("jsonl", path, COLUMNS))
    manifest["rows_by_outcome"] = {"pass": 1}
    manifest["file_sha256"] = manifest["rows_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest_path(path).write_text(json.dumps(manifest))
    assert len(rows) == 1
    assert check_file(path, read_manifest(path)) == []
    (told,) = problems(database_url, path)
    assert told == f"row 1, decision {decision_id}: outcome is 'refer' in the ledger, 'pass' in the file"


def test_a_row_that_was_changed_in_the_database_is_told(tmp_path: Path, database_url: str, database: Engine) -> None:
    first, second = decided(database, deal_id="D-1"), decided(database, NOW + HOUR, deal_id="D-2")
    path = tmp_path / "all.csv"
    exported(database_url, path)
    with database.begin() as connection:
        if connection.dialect.name == "sqlite":
            for trigger in sqlite_triggers():
                connection.exec_driver_sql(f"DROP TRIGGER {trigger.name}")
        else:
            connection.exec_driver_sql("ALTER TABLE dealgate_decision DISABLE TRIGGER ALL")
        statement = text("UPDATE dealgate_decision SET outcome = 'pass' WHERE decision_id = :id")
        connection.execute(statement, {"id": first})
    (told,) = problems(database_url, path)
    assert told == f"row 2, decision {first}: outcome is 'pass' in the ledger, 'refer' in the file"
    assert second not in told


def test_what_was_erased_since_is_told_and_an_outsider_s_export_still_agrees(
    tmp_path: Path, database_url: str, database: Engine
) -> None:
    decision_id = decided(database)
    exported(database_url, tmp_path / "all.csv")
    exported(database_url, tmp_path / "outside.csv", reader=Reader())
    with database.begin() as connection:
        redact(connection, decision_id, ["/deal/vehicle/vin"], "asked for", LATER + HOUR, actor="dpo")
    (told,) = problems(database_url, tmp_path / "all.csv")
    assert told.endswith("vin is 'erased' in the ledger, '1HGCV1F30NA000001' in the file")
    assert problems(database_url, tmp_path / "outside.csv") == []


def test_a_manifest_tells_how_many_decisions_retention_has_taken_out(
    tmp_path: Path, database_url: str, database: Engine
) -> None:
    decided(database)
    before = tmp_path / "before.csv"
    exported(database_url, before)
    with database.begin() as connection:
        record_notice(connection, "D", "approval", NOW, NOW, actor="notices")
    Sealer(database, Ed25519Signer.parse(new_key("lender.example/ledger").private)).seal()
    with database.begin() as connection:
        assert purge(connection, NOW + timedelta(days=900), actor="records")
    assert exported(database_url, tmp_path / "after.csv")["purged_decisions"] == 1
    assert problems(database_url, before)[-1] == "retention has taken out 1 decisions since the export was made"


@pytest.mark.parametrize("file_format", ["csv", "jsonl"])
def test_no_personal_value_reaches_a_role_that_it_is_withheld_from(
    tmp_path: Path, database_url: str, database: Engine, file_format: str
) -> None:
    override = requested(database, decided(database, metadata={"desk": {"screens": 3}}), "LTV-TOTAL", now=NOW + HOUR)
    granted(database, override, NOW + 2 * HOUR, actor="ben.bose")
    texts = {}
    for role in ("compliance", "analyst", "outside"):
        path = tmp_path / f"{role}.{file_format}"
        manifest = exported(database_url, path, file_format, reader=Reader(role))
        texts[role] = RANDOM.sub("", path.read_text(encoding="utf-8"))
        assert ("vin" in manifest["withheld"], "granted_by" in manifest["withheld"]) == (
            role != "compliance",
            role == "outside",
        )
    assert all(value in texts["compliance"] for value in (*PERSONAL, "ben.bose"))
    assert all(value in texts["analyst"] for value in (*AMOUNTS, "ben.bose"))
    assert not any(value in texts["analyst"] for value in IDENTITY)
    assert not any(value in texts["outside"] for value in (*PERSONAL, "ben.bose"))


def test_what_cannot_be_written_is_refused_and_leaves_nothing(
    tmp_path: Path, database_url: str, database: Engine
) -> None:
    decided(database)
    path = tmp_path / "all.csv"
    for parts, words in (
        ({"file_format": "ods"}, "format: 'ods': use jsonl, csv, parquet, xlsx"),
        ({"reader": Reader(), "query": Query(actors=("ann",))}, "actors: 'ann': the reader outside sees no names"),
    ):
        with pytest.raises(QueryError, match=words):
            exported(database_url, path, **parts)
        assert list(tmp_path.iterdir()) == []
    exported(database_url, path)
    with pytest.raises(QueryError, match="is there already and is not overwritten"):
        exported(database_url, path)
    with pytest.raises(QueryError, match="reader: 'boss': use compliance, analyst, outside"):
        Reader("boss")


def test_more_rows_than_a_sheet_holds_are_refused(
    tmp_path: Path, database_url: str, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "SHEET_ROWS", 1)
    for number in range(2):
        decided(database, deal_id=f"D-{number}")
    with pytest.raises(QueryError, match="format: 'xlsx': a sheet holds 1 rows: use csv or parquet"):
        exported(database_url, tmp_path / "all.xlsx", "xlsx")
    assert list(tmp_path.iterdir()) == []


def test_two_exports_to_one_name_at_once_are_not_mixed(
    tmp_path: Path, database_url: str, database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that is done first stands as it was told; the other one is told that the name is taken."""
    for number in range(3):
        decided(database, deal_id=f"D-{number}")
    path, told, rows = tmp_path / "all.csv", list[Mapping[str, Any]](), rows_of

    def meanwhile(*arguments: Any) -> list[Row]:
        if not told:
            told.append({})
            told.append(exported(database_url, path, query=Query(deals=("D-1",))))
        return rows(*arguments)

    monkeypatch.setattr(exports, "rows_of", meanwhile)
    with pytest.raises(QueryError, match=r"all\.csv\.manifest\.json': is there already and is not overwritten"):
        exported(database_url, path)
    assert read_manifest(path) == told[-1]
    assert problems(database_url, path) == []
    assert sorted(tmp_path.iterdir()) == [path, manifest_path(path)]


def test_an_export_that_cannot_be_written_leaves_nothing(tmp_path: Path, database_url: str, database: Engine) -> None:
    decided(database)
    (tmp_path / "file").touch()
    for name, words in (("none/x.csv", "No such file or directory"), ("file/x.csv", "Not a directory")):
        ended = invoke("audit", "search", "-o", tmp_path / name, "--db", database_url)
        assert (ended.exit_code, ended.stderr) == (2, f"output: '{tmp_path / name}': cannot be written: {words}\n")
    with pytest.raises(UnicodeEncodeError):
        exported(database_url, tmp_path / "x.csv", reader=Reader("compliance", "Jos\udce9"))
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
    (tmp_path / "link.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(QueryError, match="is there already and is not overwritten"):
        exported(database_url, tmp_path / "link.csv")
