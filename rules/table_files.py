"""Tables that lenders keep in CSV, in an Excel sheet or in a DMN file, as cells that know their place.

From bytes: nothing is opened here.
"""

import csv
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from openpyxl.cell.cell import Cell as ExcelCell
    from openpyxl.worksheet.worksheet import Worksheet

    from dealgate.rules.dmn import TableRow

MOST_BYTES = 20_000_000
MOST_ROWS = 5_000
"""Rows of one limit's table, wherever it is kept. Each is code in the compiled policy, and read by a person some day."""

MOST_COLUMNS = 100
MOST_UNPACKED = 30_000_000
"""Bytes of a workbook once it is unpacked."""

NOTES = {"note", "notes"}
"""Columns for people; nothing in them counts."""

FindTable = Callable[[str], bytes]
"""Gives the content of a file that a policy names. Raises `TableError`."""


class TableError(ValueError):
    """A table that cannot be read; the message says where."""


class TableCell(NamedTuple):
    """A cell with its place; `problem` says why it has no text that counts."""

    text: str
    place: str
    problem: str = ""


@dataclass(frozen=True)
class TableLine:
    """One row: a cell for each tested name, and the limit. `origin` is what evidence shows."""

    tested: tuple[TableCell, ...]
    limit: TableCell
    origin: str


@dataclass(frozen=True)
class FileTable:
    """A limit's table from a file. What the file does not say is empty: then the policy does."""

    names: tuple[TableCell, ...]
    lines: tuple[TableLine, ...]
    hit_policy: str = ""
    aggregate: str = ""
    output_values: str = ""
    default: TableCell | None = None
    notes: tuple[TableCell, ...] = ()


def read_table(data: bytes, file: str, sheet: str = "", decision: str = "") -> FileTable:
    """Read a table by the kind of its file. Raises `TableError`."""
    if len(data) > MOST_BYTES:
        raise TableError(f"{file} has {len(data):,} bytes; at most {MOST_BYTES:,} are read")
    kind = file.rpartition(".")[2].lower()
    if sheet and kind not in {"xlsx", "xlsm"}:
        raise TableError(f"{file} has no sheets; 'sheet' goes with an Excel file")
    if decision and kind != "dmn":
        raise TableError(f"{file} has no decisions; 'decision' goes with a DMN file")
    match kind:
        case "csv":
            return _from_grid(_csv_lines(data, file), file)
        case "xlsx" | "xlsm":
            return _from_excel(data, file, sheet)
        case "dmn":
            return _from_dmn(data, file, decision)
    raise TableError(f"{file} is of no kind that is read here: give a .csv, .xlsx or .dmn file")


# Lines of cells, with a header


class _Line(NamedTuple):
    cells: Sequence[TableCell]
    origin: str


def field_name(text: str) -> str:
    """`Term months` names the field `term_months`."""
    return re.sub(r"\s+", "_", text.strip()).lower()


def _from_grid(lines: Iterable[_Line], where: str) -> FileTable:
    filled = [line for line in lines if any(cell.text.strip() for cell in line.cells)]
    if not filled:
        raise TableError(f"{where} is empty")
    if len(filled) > MOST_ROWS + 1:
        raise TableError(f"{where} has {len(filled) - 1:,} rows; at most {MOST_ROWS:,} are read")
    header = [TableCell(field_name(cell.text), cell.place) for cell in filled[0].cells]
    names = [cell.text for cell in header if cell.text]
    for name in names:
        if names.count(name) > 1 and name not in NOTES:
            raise TableError(f"{where} has two columns {name!r}")
    if "limit" not in names:
        raise TableError(f"{where} has no column 'limit'; its first row has {', '.join(names) or 'no name'}")
    tested = [place for place, cell in enumerate(header) if cell.text not in {"limit", "", *NOTES}]
    limit = next(place for place, cell in enumerate(header) if cell.text == "limit")
    rows = [_table_line(line, tested, limit, header) for line in filled[1:]]
    notes = tuple(cell for cell in header if cell.text in NOTES)
    return FileTable(tuple(header[place] for place in tested), tuple(rows), notes=notes)


def _table_line(line: _Line, tested: Sequence[int], limit: int, header: Sequence[TableCell]) -> TableLine:
    for place, cell in enumerate(line.cells):
        if cell.text.strip() and (place >= len(header) or not header[place].text):
            raise TableError(f"{cell.place}: a value in a column without a name")

    def at(place: int) -> TableCell:
        return (
            line.cells[place]
            if place < len(line.cells)
            else TableCell("", f"{line.origin}, column {header[place].text}")
        )

    return TableLine(tuple(map(at, tested)), at(limit), line.origin)


def _csv_lines(data: bytes, file: str) -> list[_Line]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(f"{file} is not UTF-8 text (byte {error.start})") from None
    first = text[:10_000].lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    found: list[_Line] = []
    names: list[str] = []
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            line = reader.line_num
            if len(cells) > MOST_COLUMNS:
                raise TableError(f"{file}, line {line}: {len(cells):,} columns; at most {MOST_COLUMNS} are read")
            names = names or [cell.strip() for cell in cells]
            named = [names[place] if place < len(names) else str(place + 1) for place in range(len(cells))]
            places = [f"{file}, line {line}, column {name}" for name in named]
            found.append(_Line(list(map(TableCell, cells, places)), f"{file}, line {line}"))
            if len(found) > 2 * MOST_ROWS:
                raise TableError(f"{file} has more than {MOST_ROWS:,} rows; at most {MOST_ROWS:,} are read")
    except csv.Error as error:
        raise TableError(f"{file}, line {reader.line_num}: not CSV: {error}") from None
    return found


# Excel


def _from_excel(data: bytes, file: str, sheet: str) -> FileTable:
    worksheet = _worksheet(data, file, sheet)
    where = f"{file}, sheet {worksheet.title}"
    if worksheet.max_row > 2 * MOST_ROWS or worksheet.max_column > MOST_COLUMNS:
        raise TableError(
            f"{where} is in use down to row {worksheet.max_row:,} and {worksheet.max_column:,} columns wide; at most "
            f"{MOST_ROWS:,} rows and {MOST_COLUMNS} columns are read: delete what is beside and below the table"
        )
    if worksheet.merged_cells.ranges:
        first = sorted(str(cells) for cells in worksheet.merged_cells.ranges)[0]
        raise TableError(f"{where}: the cells {first} are merged; all but one of them would count as empty")
    lines = [
        _Line([_excel_cell(cell, where) for cell in row], f"{where}, row {number}")
        for number, row in enumerate(worksheet.iter_rows(), worksheet.min_row)
    ]
    return _from_grid(lines, where)


def _worksheet(data: bytes, file: str, sheet: str) -> "Worksheet":
    # Loaded where they are needed: most policies have no such file.
    from zipfile import BadZipFile, ZipFile  # noqa: PLC0415

    from openpyxl import load_workbook  # noqa: PLC0415

    try:
        with ZipFile(BytesIO(data)) as unpacked:
            size = sum(part.file_size for part in unpacked.infolist())
        if size > MOST_UNPACKED:
            raise TableError(f"{file} unpacks to {size:,} bytes; at most {MOST_UNPACKED:,} are read")
        workbook = load_workbook(BytesIO(data), keep_links=False)
    except TableError:
        raise
    except BadZipFile:
        raise TableError(f"{file} is no Excel workbook (.xlsx)") from None
    except Exception as error:  # openpyxl raises whatever a broken part makes it trip over
        raise TableError(f"{file} is no Excel workbook that can be read ({type(error).__name__}: {error})") from None
    names = [worksheet.title for worksheet in workbook.worksheets]
    if not sheet and len(names) == 1:
        sheet = names[0]
    if sheet not in names:
        wanted = f"{file} has no sheet {sheet!r}" if sheet else f"{file} has several sheets: say which with 'sheet'"
        raise TableError(f"{wanted}; its sheets are {', '.join(map(repr, names))}")
    return workbook.worksheets[names.index(sheet)]


def _excel_cell(cell: Any, where: str) -> TableCell:
    excel: ExcelCell = cell
    place = f"{where}, cell {excel.coordinate}"
    if excel.data_type in {"f", "e"}:
        what = "a formula" if excel.data_type == "f" else f"the error {excel.value}"
        return TableCell(str(excel.value), place, f"{what}; put the value itself there")
    return TableCell(_excel_text(excel.value, excel.number_format), place)


def _excel_text(value: Any, number_format: str) -> str:
    """What a person sees in a cell, exactly."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _number_text(Decimal(repr(value)), number_format)
        case date():
            return value.isoformat()[:10]
    return str(value)


def _number_text(number: Decimal, number_format: str) -> str:
    """A workbook keeps 125 % as 1.25; the shortest text of that double is what was typed."""
    sign, amount = ("-", -number) if number < 0 else ("", number)
    if "%" in number_format:
        return f"{sign}{_plain(amount * 100)}%"
    return f"{sign}{'$' if '$' in number_format else ''}{_plain(amount)}"


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


# DMN


def _from_dmn(data: bytes, file: str, decision: str) -> FileTable:
    from dealgate.rules.dmn import DecisionTable, DmnError, read_dmn  # noqa: PLC0415

    try:
        model = read_dmn(data)
        names = list(model.decisions)
        if not decision and len(names) != 1:
            raise TableError(
                f"{file} has {len(names)} decisions: say which with 'decision'; they are {', '.join(map(repr, names))}"
            )
        found = model.decision(decision or names[0])
    except DmnError as error:
        raise TableError(f"{file}: {error}") from None
    where, table = f"{file}, decision {found.name}", found.logic
    if not isinstance(table, DecisionTable):
        raise TableError(f"{where} is no decision table")
    if len(table.outputs) != 1:
        raise TableError(f"{where} has {len(table.outputs)} outputs; a limit is one number")
    if len(table.rows) > MOST_ROWS:
        raise TableError(f"{where} has {len(table.rows):,} rules; at most {MOST_ROWS:,} are read")
    columns = tuple(
        TableCell(field_name(column.expression or column.label), f"{where}, input {number}")
        for number, column in enumerate(table.inputs, 1)
    )
    lines = tuple(_dmn_line(row, columns, where) for row in table.rows)
    (output,) = table.outputs
    default = None if output.default is None else TableCell(output.default, f"{where}, default")
    return FileTable(
        columns,
        lines,
        table.hit_policy.lower().replace(" ", "_"),
        (table.aggregation or "").lower(),
        output.values,
        default,
    )


def _dmn_line(row: "TableRow", columns: Sequence[TableCell], where: str) -> TableLine:
    rule = f"{where}, rule {row.number}"
    tested = [TableCell(text, f"{rule}, input {name.text}") for text, name in zip(row.inputs, columns, strict=True)]
    return TableLine(tuple(tested), TableCell(row.outputs[0], f"{rule}, output"), rule)
