"""Random and randomly broken policy documents, table files and inputs of a decision, from a seed."""

import re
from collections.abc import Callable, Sequence
from datetime import date
from importlib.resources import files
from io import BytesIO
from random import Random
from zipfile import ZIP_DEFLATED, ZipFile

from openpyxl import Workbook

from tests.fuzzing.extreme_documents import Written, with_table
from tests.fuzzing.random_policies import Author
from tests.rules.dmn_models import data, decision, document, table

TOKEN = re.compile(r"\w+|\s+|[^\w\s]")

STRANGE = (
    "\x00", "\x07", "\x85", "\u2028", "\u202e", "\ufeff", "\ufffe", "\ud800", "\U0001f697", "é", "٣", "²", "\t", "\r",
    "\\", '"', "'", "''", "{", "}", "[", "]", "(", ")", ":", ": ", "- ", "? ", "#", " #", "|", ">", "|-\n", "---\n", "...\n",
    "%YAML 1.1\n", "&a ", "*a", "<<: *a", "<<: {a: b}", "!!python/object:os.system ", "!!int ", "!x ", "~", "null", "true",
    "yes", "0x1f", "1e999", "-0", ".inf", ".nan", "1_000", "2026-02-30", "0000-00-00", "9999-12-31", "$", "%", "$0.001",
    "-$5", "150%", "0.00001%", "=", "==", "!=", "<=", "and", "or", "not", "in", "violated(", 'violated("R")', "missing(",
    "max(", "first_known(", "level_payment(", "sum(trade_ins, payoff)", "count(products)", 'book_value("msrp")', ", ", ".",
    "term_months", "cash_price", "total_ltv", "tier", "max_money", "unit: date", "hit_policy: collect", "on_no_hit: unknown",
    "measures:", "limits:", "rules:", "rows:", "[1..5]", "]1..5[", "1,000", "", "-",
)  # fmt: skip

PLAIN_FIELDS = ("term_months", "credit_score", "mileage", "model_year")
PLAIN_CELLS = ("", "-", "12", "[24..60]", "]1..90)", ">= 72", "< 3, > 700", "3, 4", "not(3, 4)")
FIELDS = ("term_months", "tier", "credit_score", "cash_price", "total_ltv", "first_time_buyer", "Term months", "state")
CELLS = (
    "", "-", "12", "-1", "[24..60]", "(1..2)", ">= 72", "not(3, 4)", '"A", "B"', "A", "true", "110%", "$5,000.00", "5000",
    "1,000", "=1+1", "é", "9" * 60, "0.00001", "x" * 3_000, "'", '"', "null", "not(", "..", "<",
)  # fmt: skip
FEEL = (
    "1", '"A"', "-", "[1..5]", "> 3", "not(1)", "null", "Tier", "Price / 0", "Price ** 99999", "10 ** 6000", "[1, 2][1]",
    'date("2026-13-01")', 'date("9999-12-31") + duration("P9999Y")', 'duration("P1D") * 10 ** 30', "if true then 1 else 2",
    "for x in [1] return x", "max([])", "sum([1, null])", 'substring("abc", -5)', "{a: 1}.a", "? > 3", "(" * 50 + "1",
    "string length(Tier)", 'replace("aaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "(a+)+$", "b")', 'matches("aaaa", "(")',
    "decimal(1, 99999)", "concatenate([1], [2])", "1" * 5_000, "@\"P1M\"", "Max()", 'time("25:00:00")', "- - - 1",
)  # fmt: skip


class Breaker:
    """Writes documents that may be anything, most of them near something valid."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)

    # Edits of text and bytes

    def edited(self, text: str, most: int = 6) -> str:
        for _ in range(self.random.choice((0, 1, 1, 1, 2, most))):
            text = self.random.choice(EDITS)(self, text)[:200_000]
        return text

    def broken(self, content: bytes) -> bytes:
        """Some bytes changed, left out or said twice."""
        changed = bytearray(content)
        for _ in range(self.random.choice((1, 1, 2, 5, 40))):
            place = self.random.randrange(len(changed) + 1)
            form = self.random.randrange(4)
            if form == 0:
                changed[place : place + 1] = bytes([self.random.randrange(256)])
            elif form == 1:
                del changed[place : place + self.random.choice((1, 4, 100))]
            else:
                changed[place:place] = self.random.randbytes(2) if form == 2 else changed[place : place + 50]
        return bytes(changed)

    def _tokens(self, text: str) -> tuple[list[str], int]:
        tokens = TOKEN.findall(text) or [""]
        return tokens, self.random.randrange(len(tokens))

    def delete(self, text: str) -> str:
        tokens, place = self._tokens(text)
        del tokens[place : place + self.random.choice((1, 1, 1, 3, 30))]
        return "".join(tokens)

    def duplicate(self, text: str) -> str:
        tokens, place = self._tokens(text)
        part = tokens[place : place + self.random.choice((1, 3, 40))]
        return "".join([*tokens[:place], *part * self.random.choice((1, 1, 2, 200)), *tokens[place:]])

    def swap(self, text: str) -> str:
        tokens, place = self._tokens(text)
        other = self.random.randrange(len(tokens))
        tokens[place], tokens[other] = tokens[other], tokens[place]
        return "".join(tokens)

    def replace(self, text: str) -> str:
        tokens, place = self._tokens(text)
        tokens[place] = self.random.choice((*STRANGE, self.random.choice(tokens), tokens[place].swapcase()))
        return "".join(tokens)

    def insert(self, text: str) -> str:
        tokens, place = self._tokens(text)
        tokens.insert(place, self.random.choice(STRANGE) * self.random.choice((1, 1, 1, 2, 100)))
        return "".join(tokens)

    def enlarge(self, text: str) -> str:
        """A number becomes huge, tiny or negative."""
        numbers = list(re.finditer(r"\d+", text, re.ASCII))
        if not numbers:
            return text
        found = self.random.choice(numbers)
        huge = self.random.choice(("9" * 15, "9" * 51, "1" + "0" * 400, "9" * 5_000, "0", "-1", "0.5", "00", "1.00001"))
        return text[: found.start()] + huge + text[found.end() :]

    def nest(self, text: str) -> str:
        tokens, place = self._tokens(text)
        levels = self.random.choice((2, 30, 150, 1_000))
        opening, closing = self.random.choice((("(", ")"), ("[", "]"), ("{a: ", "}"), ("not (", ")"), ("max(1, ", ")")))
        return "".join([*tokens[:place], opening * levels, tokens[place], closing * levels, *tokens[place + 1 :]])

    def cross(self, text: str) -> str:
        """Lines of the document move, or come twice."""
        lines = text.split("\n")
        place, other = self.random.randrange(len(lines)), self.random.randrange(len(lines))
        part = lines[place : place + self.random.randint(1, 8)]
        return "\n".join([*lines[:other], *part, *lines[other:]])

    # Documents

    def policy(self) -> Written:
        form = self.random.randrange(12)
        if form == 0:
            return Written(self.random.randbytes(self.random.randrange(2_000)))
        if form == 1:
            return Written("".join(self.random.choices(STRANGE, k=300)).encode("utf-8", "surrogatepass"))
        text = self.random.choice(_shipped()) if form < 6 else Author(self.seed).policy(self.random.choice((1, 4, 12)))
        written = self.edited(text).encode("utf-8", "surrogatepass")
        written = self.broken(written) if form == 11 else written
        return Written(b"\xef\xbb\xbf" + written if form == 10 else written)

    def csv(self) -> Written:
        names = [*self._columns(self.random.randrange(1, 4)), "limit"]
        rows = [names] + [self._row(len(names)) for _ in range(self.random.randrange(8))]
        text = "\n".join(self.random.choice(",,,;\t").join(f'"{cell}"' for cell in row) for row in rows)
        written = self._perhaps_edited(text).encode("utf-8", "surrogatepass")
        return with_table("t.csv", self.broken(written) if self.random.random() < 0.1 else written)

    def _row(self, width: int) -> list[str]:
        cells = [self._cell() for _ in range(width - 1)]
        return [*cells, self.random.choice(CELLS) if self.random.random() < 0.05 else str(self.random.randrange(100))]

    def _cell(self) -> str:
        return self.random.choice(CELLS if self.random.random() < 0.05 else PLAIN_CELLS)

    def _columns(self, count: int) -> list[str]:
        return self.random.sample(FIELDS if self.random.random() < 0.2 else PLAIN_FIELDS, count)

    def excel(self) -> Written:
        workbook = Workbook()
        sheet = workbook.worksheets[0]
        sheet.append([*self._columns(2), "limit"])
        for _ in range(self.random.randrange(6)):
            values = (*CELLS[:18], 1, 1.25, -0.0, 1e308, 5e-324, True, date(2026, 11, 20), None)
            odd = self.random.random() < 0.1
            sheet.append([self.random.choice(values) if odd else self._cell() for _ in range(2)] + [24])
        sheet.cell(2, 3).number_format = (
            "General"
            if self.random.random() < 0.8
            else self.random.choice(("0%", "General", "$#,##0.00", "yyyy-mm-dd"))
        )
        written = BytesIO()
        workbook.save(written)
        content = written.getvalue()
        if self.random.random() < 0.6:
            content = self._with_broken_part(content) if self.random.random() < 0.7 else self.broken(content)
        return with_table("t.xlsx", content)

    def _with_broken_part(self, content: bytes) -> bytes:
        """One part inside the archive edited, so that the archive is still one."""
        written = BytesIO()
        with ZipFile(BytesIO(content)) as old, ZipFile(written, "w", ZIP_DEFLATED) as new:
            chosen = self.random.choice([name for name in old.namelist() if name.endswith((".xml", ".rels"))])
            for name in old.namelist():
                part = old.read(name)
                new.writestr(name, self.edited(part.decode(), 2).encode("utf-8", "replace") if name == chosen else part)
        return written.getvalue()

    def model(self) -> bytes:
        """A decision model, whole or broken."""
        policy = self.random.choice(("FIRST", "UNIQUE", "ANY", "PRIORITY", "RULE ORDER", "OUTPUT ORDER", "COLLECT"))
        most = self.random.choice((4, 4, len(FEEL)))
        rows = [
            (self.random.choice(FEEL[:most]), self.random.choice(FEEL[:most]))
            for _ in range(self.random.randrange(1, 5))
        ]
        written = document(
            data("Tier", "string"), data("Price"), decision("Max", table(policy, ["Tier"], rows), "Tier", "Price")
        )
        if self.random.random() < 0.4:
            written = self.edited(written.decode(), 3).encode("utf-8", "replace")
        return self.broken(written) if self.random.random() < 0.1 else written

    def dmn(self) -> Written:
        rows = [(self._cell(), str(self.random.randrange(99))) for _ in range(4)]
        written = document(decision("Max", table("FIRST", self._columns(1), rows)))
        return with_table("t.dmn", self._perhaps_edited(written.decode()).encode("utf-8", "replace"))

    def inputs(self) -> str:
        """What is given to a decision as JSON."""
        values = ('"A"', "1", "null", "1e6000", "-0", "9" * 59, "9" * 70, "[1, [2, {}]]", '"2026-11-20"', "NaN", "true")
        tier = '"A"' if self.random.random() < 0.6 else self.random.choice(values)
        text = f'{{"Tier": {tier}, "Price": {self.random.choice(values)}}}'
        return self._perhaps_edited(text)

    def _perhaps_edited(self, text: str) -> str:
        return self.edited(text, 3) if self.random.random() < 0.5 else text


EDITS: Sequence[Callable[[Breaker, str], str]] = (
    Breaker.delete, Breaker.duplicate, Breaker.swap, Breaker.replace, Breaker.replace, Breaker.insert, Breaker.enlarge,
    Breaker.nest, Breaker.cross,
)  # fmt: skip


def _shipped() -> list[str]:
    folder = files("dealgate.rules") / "policies"
    names = ("prime_auto", "subprime_auto", "recreational")
    return [(folder / f"{name}.yaml").read_text(encoding="utf-8") for name in names]
