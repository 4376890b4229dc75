"""Where a book comes from: Parquet, CSV, JSON Lines, a database, deals stored by dealgate, ABS-EE loan files."""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import narwhals as nw
import polars as pl
from sqlalchemy import inspect

from dealgate.adapters.deal_files import open_deals, read_deal
from dealgate.adapters.mappings import MappedDeal, MappingError, load_mapping
from dealgate.adapters.portfolio.book import Book, SourceError, parquet_files
from dealgate.adapters.portfolio.databases import database_tables
from dealgate.adapters.portfolio.documents import read_documents
from dealgate.adapters.portfolio.flat import checked_layout, is_exact, read_tables, reject_rows
from dealgate.adapters.portfolio.rejects import Rejects
from dealgate.adapters.portfolio.validity import valid
from dealgate.rules.deal import Deal

LOANS = "absee"
"""The mapping that reads loan files of SEC Form ABS-EE, Schedule AL."""

SIGNATURE = {"originalLoanAmount", "originalLoanTerm", "vehicleValueAmount"}
"""Elements by which a table is known as a loan file of this form."""

TABLE_ROWS = 200_000
READ = "read.json"
EMPTY = "there is no deal in the source. Give a table with a row for each deal, or a deal document a line."


class Reading(NamedTuple):
    """A book that was made of a source, where every row is valid (`clean`), or which is the source as it stands."""

    book: Book
    clean: bool
    rejected: int


class Source(NamedTuple):
    """What the command line names: a path or a database URL, and for a database what to read of it."""

    name: str
    query: str | None = None

    @property
    def is_database(self) -> bool:
        return "://" in self.name


def read_source(source: Source, folder: Path, rejects: Rejects, tell: Any) -> Reading:
    """Make a book of a source, in a folder of its own; what was read before a stop is not read again.

    `tell` is told how many rows have been read. Raises `SourceError` for a source that cannot be read as a whole.
    """
    done = folder / READ
    if not done.exists():
        rejects.path.unlink(missing_ok=True)  # of another run
    if not source.is_database and _is_parquet(source.name):
        found = _as_it_stands(source, rejects)
        if found:
            return found
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        files, read = [], 0
        for file, rows in _files(source, folder, rejects):
            files.append(file.name)
            read += rows
            tell(rows)
        if not read:
            raise SourceError(EMPTY)
        done.write_text(json.dumps({"files": files, "rejected": rejects.rows}), encoding="utf-8")
    noted = json.loads(done.read_text(encoding="utf-8"))
    return Reading(Book.of(folder / name for name in noted["files"]), True, noted["rejected"])


def _is_parquet(name: str) -> bool:
    return Path(name).is_dir() or name.endswith(".parquet")


def _as_it_stands(source: Source, rejects: Rejects) -> Reading | None:
    """A Parquet book in whole cents needs no copy; its invalid rows are told and left out when it is evaluated."""
    book = Book.of(parquet_files(Path(source.name)))
    files, layout = book.files, book.layout
    schemas = [pl.Schema(pl.read_parquet_schema(file)) for file in files]
    for schema in schemas:  # each by itself: a file may hold another type than the next, or lack a column
        checked_layout(schema)
    if not all(is_exact(schema, layout) for schema in schemas):
        return None
    if not book.rows:
        raise SourceError(EMPTY)
    first = 0
    for file, schema in zip(files, schemas, strict=True):
        rows = nw.from_native(pl.scan_parquet(file, glob=False).with_row_index("at"))
        bad = rows.filter(~valid(layout, list(schema))).to_native().collect(engine="streaming")
        if late := reject_rows(bad, layout, first, rejects):
            raise SourceError(
                f"{file}: deal {late[0]['deal_id']!r} can be stated as a document, and not be read as a column"
            )
        first += pl.scan_parquet(file, glob=False).select(pl.len()).collect().item()
    return Reading(book, not rejects.rows, rejects.rows)


def _files(source: Source, folder: Path, rejects: Rejects) -> Iterator[tuple[Path, int]]:
    if source.is_database:
        if source.query:
            return read_tables(database_tables(source.name, source.query), folder, rejects)
        return _stored(source.name, folder, rejects)
    name = source.name
    if not Path(name).exists() and name != "-":
        raise SourceError(f"{name}: there is no such file")
    if _is_parquet(name):
        tables = (table for file in parquet_files(Path(name)) for table in _batches(pl.scan_parquet(file, glob=False)))
        return read_tables(tables, folder, rejects)
    if name.endswith(".xml"):
        return _loans(_xml_loans(name), folder, rejects)
    if name.endswith(".csv"):
        return _csv(name, folder, rejects)
    return read_documents(_lines(name), read_deal, folder, rejects)


def _batches(frame: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    return iter(frame.collect_batches(chunk_size=TABLE_ROWS, maintain_order=True))


def _csv(name: str, folder: Path, rejects: Rejects) -> Iterator[tuple[Path, int]]:
    header = _checked_header(name)
    if set(header) >= SIGNATURE:
        return _loans(load_mapping(LOANS).read_rows(_csv_rows(name)), folder, rejects)
    if len(set(header)) < len(header):
        raise SourceError(f"{name}: two columns have one name in the header")
    return read_tables(_batches(pl.scan_csv(name, infer_schema=False, glob=False)), folder, rejects)


def _checked_header(name: str) -> list[str]:
    """The names of the columns, once every row is known to have as many cells: of one cut short the rest would be read as nothing."""
    with Path(name).open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, strict=True)
        try:
            header = next(rows, [])
            for row in rows:
                if row and len(row) != len(header):
                    raise SourceError(
                        f"{name}, line {rows.line_num}: {len(row)} cells, and the header has {len(header)} columns. "
                        "Give each row as many cells; a cell with a comma stands in quotes."
                    )
        except csv.Error as error:
            raise SourceError(f"{name}, line {rows.line_num}: not CSV: {error}. Close quotes and end rows.") from None
        except UnicodeDecodeError as error:
            got = error.object[error.start]
            raise SourceError(f"{name}: not UTF-8, it has the byte {got:#04x}. Save it as UTF-8.") from None
    if not header:
        raise SourceError(EMPTY)
    return header


def _csv_rows(name: str) -> Iterator[dict[str, str]]:
    with Path(name).open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def _xml_loans(name: str) -> Iterator[MappedDeal | MappingError]:
    try:
        with Path(name).open("rb") as stream:
            yield from load_mapping(LOANS).read(stream)
    except MappingError as error:
        raise SourceError(f"{name}: {error}") from None


def _loans(loans: Iterable[MappedDeal | MappingError], folder: Path, rejects: Rejects) -> Iterator[tuple[Path, int]]:
    return read_documents(enumerate(loans, start=1), _loan, folder, rejects)


def _loan(found: MappedDeal | MappingError) -> Deal:
    """Raises `MappingError`."""
    if isinstance(found, MappingError):
        raise found
    return found.deal


def _lines(name: str) -> Iterator[tuple[int, bytes]]:
    with open_deals(name) as file:
        yield from ((line or 1, text) for line, text in file)


def _stored(url: str, folder: Path, rejects: Rejects) -> Iterator[tuple[Path, int]]:
    from dealgate.adapters.database import file_of, is_anothers, of_one_moment, open_kept  # noqa: PLC0415
    from dealgate.models.recording import SUBMISSION  # noqa: PLC0415
    from dealgate.models.stored_deals import stored_deals  # noqa: PLC0415

    engine = open_kept(url)
    file = file_of(engine)
    if file and not file.exists():  # SQLite would make it
        raise SourceError(f"there is no database at {file}")
    try:
        if (file and is_anothers(file)) or not inspect(engine).has_table(SUBMISSION.name, schema=SUBMISSION.schema):
            raise SourceError("no deals stored by dealgate in this database. Name a table of it with --table.")
        with engine.connect().execution_options(**of_one_moment(engine)) as connection:
            yield from read_documents(stored_deals(connection), Deal.from_json, folder, rejects)
    finally:
        engine.dispose()
