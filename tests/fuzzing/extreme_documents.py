"""Documents far beyond what any lender writes: each must be a policy or an error within seconds and a few hundred megabytes."""

from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from itertools import chain
from typing import NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile

from openpyxl import Workbook

from tests.rules.dmn_models import decision, document, table

HEAD = 'policy: x\nversion: "1"\ntitle: x\neffective_from: 2026-01-01\n'
RULE = "rules:\n  - {id: R, title: x, require: cash_price > $1, otherwise: flag, reason: x}\n"
MEGABYTE = 1 << 20


class Written(NamedTuple):
    """A policy document and the file that it may name as a table."""

    policy: bytes
    table: bytes = b""
    file: str = ""


def _policy(text: str) -> Written:
    return Written(text.encode("utf-8", "surrogatepass"))


def _required(expression: str) -> Written:
    return _policy(f"{HEAD}rules:\n  - {{id: R, title: x, require: '{expression}', otherwise: flag, reason: x}}\n")


def _measures(formulas: Iterator[tuple[str, str]]) -> Written:
    written = "".join(f"  {name}: {{unit: money, formula: {formula}}}\n" for name, formula in formulas)
    return _policy(f"{HEAD}measures:\n{written}{RULE}")


def _rules(count: int, require: Callable[[int], str], more: str = "") -> Written:
    each = "".join(
        f"- {{id: R{n}, title: x, require: {require(n)}, otherwise: flag, reason: x}}\n" for n in range(count)
    )
    return _policy(f"{HEAD}{more}rules:\n{each}")


def _rows(count: int, limits: int = 1) -> Written:
    rows = "".join(f"    - {{when: term_months == {n}, limit: {n}}}\n" for n in range(count))
    each = "".join(f"  l{n}:\n    unit: count\n    default: 1\n    rows:\n{rows}" for n in range(limits))
    return _policy(f"{HEAD}limits:\n{each}{RULE}")


def with_table(file: str, data: bytes) -> Written:
    """A policy whose one limit comes from a file."""
    limit = f"limits:\n  l: {{unit: count, table: {file}, on_no_hit: unknown}}\n"
    return Written((HEAD + limit + RULE).encode(), data, file)


def _knot(levels: int) -> str:
    return " and ".join(f"(cash_price > ${n} or term_months > {n})" for n in range(levels))


def _mistakes(count: int) -> str:
    return " + ".join(f"n{n}" for n in range(count)) + " > $1"


SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def _workbook(rows: int, place: str = "") -> bytes:
    """A small workbook whose sheet is written anew, row by row."""
    each = "".join(f"<row><c {place}><v>{n}</v></c><c><v>{n}</v></c></row>" for n in range(rows))
    names = "".join(f'<c t="inlineStr"><is><t>{name}</t></is></c>' for name in ("term_months", "limit"))
    return _with_sheet(f'<worksheet xmlns="{SHEET}"><sheetData><row>{names}</row>{each}</sheetData></worksheet>')


def _with_sheet(sheet: str) -> bytes:
    plain, written = BytesIO(), BytesIO()
    Workbook().save(plain)
    with ZipFile(plain) as old, ZipFile(written, "w", ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, sheet if name.endswith("sheet1.xml") else old.read(name))
    return written.getvalue()


def _bomb() -> bytes:
    """The archive says that its largest part is small."""
    packed = bytearray(_with_sheet("<worksheet>" + " " * 300 * MEGABYTE))
    large = (300 * MEGABYTE + len("<worksheet>")).to_bytes(4, "little")
    return bytes(packed.replace(large, (1_000).to_bytes(4, "little")))


def _entities() -> bytes:
    nested = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    return f'<!DOCTYPE d [<!ENTITY e0 "x">{nested}]><definitions>&e11;</definitions>'.encode()


def _model(rows: int) -> bytes:
    return document(decision("Max", table("FIRST", ["term_months"], [(str(n), str(n)) for n in range(rows)])))


EXTREMES: Mapping[str, Callable[[], Written]] = {
    "100,000 brackets": lambda: _policy("[" * 100_000),
    "100,000 closed brackets": lambda: _policy("[" * 100_000 + "]" * 100_000),
    "100,000 braces": lambda: _policy(HEAD + "rules: " + "{a: " * 100_000),
    "100,000 dashes": lambda: _policy("- " * 100_000 + "x"),
    "100,000 question marks": lambda: _policy("? " * 100_000 + "x"),
    "100,000 indents": lambda: _policy("\n".join(" " * n + "a:" for n in range(3_900))),
    "an alias bomb": lambda: _policy("a: &a [x]\n" + "".join(f"k{n}: &k{n} [{'*a, ' * 9}*a]\n" for n in range(50_000))),
    "100,000 anchors": lambda: _policy("".join(f"- &a{n} x\n" for n in range(100_000))),
    "100,000 documents": lambda: _policy("--- x\n" * 100_000),
    "a line of 7 million characters": lambda: _policy(HEAD.replace("title: x", "title: " + "x" * 7_000_000) + RULE),
    "a key of 7 million characters": lambda: _policy(HEAD + "? " + "p" * 7_000_000 + "\n: x\n" + RULE),
    "a quoted key of 900 characters, 8,000 times": lambda: _policy(
        HEAD + "".join(f'"{n:06}{"pq" * 450}": x\n' for n in range(8_000)) + RULE
    ),
    "a word of 7 million characters": lambda: _policy(HEAD + "on_unknown: " + "refer" * 1_400_000 + "\n" + RULE),
    "an escaped scalar of 6 million characters": lambda: _policy(
        HEAD.replace("title: x", 'title: "' + "\\x61" * 1_500_000 + '"') + RULE
    ),
    "a folded expression of a million lines": lambda: _policy(
        HEAD + "rules:\n- id: R\n  title: x\n  require: >-\n" + "   a\n" * 1_000_000
    ),
    "9 million characters": lambda: _policy("x" * 9_000_000),
    "8 million spaces": lambda: _policy(" " * 7_999_999),
    "8 million new lines": lambda: _policy("\n" * 7_999_999),
    "8 million comments": lambda: _policy("#\n" * 3_900_000 + HEAD + RULE),
    "a million unknown keys": lambda: _policy(HEAD + "".join(f"k{n}: \n" for n in range(800_000)) + RULE),
    "a million items": lambda: _policy(HEAD + "rules: [" + "x," * 3_900_000 + "]"),
    "a million empty rules": lambda: _policy(HEAD + "rules: [" + "{}," * 1_900_000 + "]"),
    "a million wrong words": lambda: _policy(
        HEAD + RULE + "examples: [{name: x, deal: {}, expect: {pass: [" + "Q," * 2_000_000 + "]}}]"
    ),
    "wrong words among many rules": lambda: _policy(
        _rules(2_000, lambda n: "cash_price > $1").policy.decode()
        + "examples: [{name: x, deal: {}, expect: {pass: ["
        + ",".join(f"R{n}x" for n in range(20_000))
        + "]}}]"
    ),
    "a deal with a million fields": lambda: _policy(
        HEAD + RULE + "examples: [{name: x, expect: {}, deal: {" + ",".join(f"k{n}: 1" for n in range(500_000)) + "}}]"
    ),
    "a deal with a million trade-ins": lambda: _policy(
        HEAD + RULE + "examples: [{name: x, expect: {}, deal: {trade_ins: [" + "{}," * 1_000_000 + "]}}]"
    ),
    "100,000 examples": lambda: _policy(
        HEAD + RULE + "examples:\n" + "- {name: x, deal: {}, expect: {outcome: flag}}\n" * 100_000
    ),
    "100,000 brackets in an expression": lambda: _required("(" * 100_000 + "cash_price > $1" + ")" * 100_000),
    "9,900 brackets in an expression": lambda: _required("(" * 9_900 + "cash_price" + ")" * 9_900 + " > $1"),
    "3,000 times not": lambda: _required("not " * 3_000 + "first_time_buyer"),
    "9,000 minus signs": lambda: _required("-" * 9_000 + "term_months > 1"),
    "3,000 calls": lambda: _required("max(1, " * 2_800 + "1" + ")" * 2_800 + " > 1"),
    "100,000 digits": lambda: _required("term_months > " + "9" * 100_000),
    "19,000 digits": lambda: _required("term_months > " + "9" * 19_000),
    "an expression of 100,000 terms": lambda: _required(" + ".join(["cash_price"] * 100_000) + " > $1"),
    "an expression of 1,500 terms": lambda: _required(" + ".join(["cash_price"] * 1_500) + " > $1"),
    "an expression of 150 factors": lambda: _required(" * ".join(["term_months"] * 150) + " > 1"),
    "150 factors of 15 digits": lambda: _required(" * ".join(["999999999999999"] * 150) + " > 1"),
    "150 divisions": lambda: _required(" / ".join(["term_months"] * 150) + " > 1%"),
    "a membership of 5,000 values": lambda: _required(f"term_months in [{', '.join(map(str, range(3_500)))}]"),
    "an expression of 2,500 mistakes": lambda: _required(_mistakes(190)),
    "a membership of many mistakes": lambda: _required(f"term_months in [{','.join(f'n{n}' for n in range(3_500))}]"),
    "a call of many mistakes": lambda: _required(f"max({','.join(f'n{n}' for n in range(3_500))}) > 1"),
    "100 rules of many mistakes": lambda: _rules(
        300, lambda _: f'"max({",".join(f"n{n}" for n in range(3_500))}) > 1"'
    ),
    "a conjunction of many mistakes": lambda: _required(" and ".join(f"n{n}" for n in range(2_000))),
    "a conjunction of 95 comparisons": lambda: _required(" and ".join(f"cash_price > ${n}" for n in range(95))),
    "a conjunction of 900 comparisons": lambda: _required(" and ".join(f"cash_price > ${n}" for n in range(900))),
    "a disjunction of 499 comparisons": lambda: _required(" or ".join(f"cash_price > ${n}" for n in range(499))),
    "a knot of 8 levels": lambda: _required(_knot(8)),
    "a knot of 100 levels": lambda: _required(_knot(100)),
    "a knot of 400 levels": lambda: _required(_knot(400)),
    "2,000 knots": lambda: _rules(2_000, lambda n: f'"{_knot(8).replace("$", f"${n + 1}")}"'),
    "a knot of wide levels": lambda: _required(
        " and ".join("(" + " or ".join(f"cash_price > ${m}{n}" for n in range(1, 200)) + ")" for m in range(1, 6))
    ),
    "a chain of 60,000 measures": lambda: _measures(
        chain([("m0", "cash_price")], ((f"m{n}", f"m{n - 1}") for n in range(1, 60_000)))
    ),
    "a backward chain of 60,000 measures": lambda: _measures(
        chain(((f"m{n}", f"m{n + 1}") for n in range(60_000)), [("m60000", "cash_price")])
    ),
    "a circle of 60,000 measures": lambda: _measures((f"m{n}", f"m{(n + 1) % 60_000}") for n in range(60_000)),
    "a backward chain of 900 measures": lambda: _measures(
        chain(((f"m{n}", f"m{n + 1}") for n in range(900)), [("m900", "cash_price")])
    ),
    "measures that double 200 times": lambda: _measures(
        chain([("m0", "cash_price")], ((f"m{n}", f"m{n - 1} + m{n - 1}") for n in range(1, 200)))
    ),
    "measures that square 60 times": lambda: _policy(
        HEAD
        + "measures:\n  m0: {unit: count, formula: term_months}\n"
        + "".join(f"  m{n}: {{unit: count, formula: m{n - 1} * m{n - 1}}}\n" for n in range(1, 60))
        + RULE.replace("cash_price > $1", "m59 > 1")
    ),
    "60,000 measures": lambda: _measures((f"m{n}", "cash_price") for n in range(60_000)),
    "60,000 limits": lambda: _policy(
        HEAD + "limits:\n" + "".join(f"  l{n}: {{unit: count, rows: [{{limit: 1}}]}}\n" for n in range(60_000)) + RULE
    ),
    "60,000 misspelt measures": lambda: _rules(
        40_000,
        lambda n: f"mm{n} > 1",
        "measures:\n" + "".join(f"  m{n}: {{unit: money, formula: cash_price}}\n" for n in range(40_000)),
    ),
    "100,000 rules": lambda: _rules(100_000, lambda n: "cash_price > $1"),
    "4,000 rules of one field": lambda: _rules(4_000, lambda n: f"cash_price > ${n}"),
    "1,500 rules": lambda: _rules(1_500, lambda n: f"cash_price > ${n}"),
    "100,000 rules of one id": lambda: _policy(
        HEAD + "rules:\n" + "- {id: R, title: x, require: cash_price > $1, otherwise: flag, reason: x}\n" * 100_000
    ),
    "a chain of 60,000 rules": lambda: _rules(
        60_000, lambda n: f"""'not violated("R{n + 1}")'""" if n < 59_999 else "cash_price > $1"
    ),
    "a chain of 400 rules": lambda: _rules(
        400, lambda n: f"""'not violated("R{n + 1}")'""" if n < 399 else "cash_price > $1"
    ),
    "a circle of 60,000 rules": lambda: _rules(60_000, lambda n: f"""'not violated("R{(n + 1) % 60_000}")'"""),
    "a table of 100,000 rows": lambda: _rows(100_000),
    "a table of 5,000 rows": lambda: _rows(5_000),
    "30 tables of 5,000 rows": lambda: _rows(5_000, 30),
    "a million rows of CSV": lambda: with_table(
        "t.csv", b"term_months,limit\n" + b"".join(b"%d,%d\n" % (n, n) for n in range(1_000_000))
    ),
    "5,000 rows of CSV": lambda: with_table(
        "t.csv", b"term_months,limit\n" + b"".join(b"%d,%d\n" % (n, n) for n in range(5_000))
    ),
    "19 million commas": lambda: with_table("t.csv", b"," * 19_000_000),
    "19 million new lines": lambda: with_table("t.csv", b"\n" * 19_000_000),
    "an open quote": lambda: with_table("t.csv", b'term_months,limit\n"' + b"x" * 19_000_000),
    "an open quote over lines": lambda: with_table("t.csv", b'term_months,limit\n"' + b"\n" * 19_000_000),
    "21 million bytes of CSV": lambda: with_table("t.csv", b"x" * 21_000_000),
    "a file of wrong cells": lambda: with_table("t.csv", b"term_months,limit\n" + b"x" * 1_900 + b",y\n" * 4_900),
    "long lists in every cell": lambda: with_table(
        "t.csv", b"term_months,limit\n" + b"".join(b'"%s",%d\n' % (b"1, " * 600 + b"%d" % n, n) for n in range(5_000))
    ),
    "a workbook that hides that it unpacks to 300 megabytes": lambda: with_table("t.xlsx", _bomb()),
    "a workbook of a million rows": lambda: with_table("t.xlsx", _workbook(1_000_000)),
    "a workbook of 9,000 rows": lambda: with_table("t.xlsx", _workbook(9_000)),
    "a workbook with a cell far away": lambda: with_table("t.xlsx", _workbook(1, 'r="XFD1048576"')),
    "a DMN file of entities": lambda: with_table("t.dmn", _entities()),
    "100,000 nested elements": lambda: with_table("t.dmn", b"<definitions>" + b"<a>" * 100_000),
    "a million elements": lambda: with_table("t.dmn", b"<definitions>" + b"<a/>" * 1_000_000 + b"</definitions>"),
    "a DMN table of 100,000 rules": lambda: with_table("t.dmn", _model(100_000)),
    "a DMN table of 5,000 rules": lambda: with_table("t.dmn", _model(5_000)),
}
