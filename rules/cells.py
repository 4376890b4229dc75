"""One cell of a limit's table, as spreadsheets and DMN files have it, turned into a condition of the policy language.

`-` and an empty cell ask nothing; `A, B` or `"A","B"` list words, `>= 60` compares, `[24..60]` is an interval, `not(...)` turns
it round. What the condition may say is then for the language's own checks.
"""

import re
from typing import NamedTuple

from dealgate.rules.fields import Unit

TOKEN = re.compile(
    r"""\s*(?:
    (?P<quoted>"[^"]*"|'[^']*')
    | (?P<operator><=|>=|!=|<|>|=)
    | (?P<dots>\.\.)
    | (?P<bracket>[\[\]()])
    | (?P<separator>[,;])
    | (?P<plain>-?\$\d{1,3}(?:,\d{3})+(?:\.\d+)?|(?:(?!\.\.)[^,;<>=!()\[\]"'])+)
    )""",
    re.VERBOSE,
)
GROUPED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", re.ASCII)
DIGITS = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
AMOUNT = re.compile(r"-?\$?\d+(?:\.\d+)?|-?\$\d{1,3}(?:,\d{3})+(?:\.\d+)?", re.ASCII)
ZEROS = re.compile(r"(\.\d*?)0+$", re.ASCII)

LONGEST_CELL = 2_000

OPERATORS = {"=": "==", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "!=": "!="}


class CellError(ValueError):
    """A cell that cannot be read."""

    def __init__(self, message: str, suggestion: str = "") -> None:
        self.message = message
        self.suggestion = suggestion
        super().__init__(message)


class _Token(NamedTuple):
    kind: str
    text: str


def cell_condition(name: str, unit: Unit, text: str) -> str | None:
    """The condition that a cell puts on the field of its column; None where it puts none. Raises `CellError`."""
    stripped = text.strip()
    if stripped in {"", "-"}:
        return None
    if len(stripped) > LONGEST_CELL:
        raise CellError(f"a cell of {len(stripped):,} characters; at most {LONGEST_CELL:,} are read")
    if unit == Unit.DATE:
        raise CellError(f"{name} is a day, and a limit's table cannot test days")
    if GROUPED.fullmatch(stripped):
        raise CellError(
            f"{stripped!r} may be one number or a list",
            f"Write {stripped.replace(',', '')}, or a space after each comma of a list.",
        )
    return _Cell(name, unit, stripped).condition()


def limit_text(unit: Unit, text: str) -> str:
    """A limit as the policy language writes it: a number in a table needs no sign of money, but it does need its percent sign."""
    stripped = text.strip()
    if stripped[:1] == stripped[-1:] == '"' and len(stripped) > 1 and '"' not in stripped[1:-1]:
        stripped = stripped[1:-1].strip()  # in a DMN file, "125 %" is a text
    if GROUPED.fullmatch(stripped):
        stripped = stripped.replace(",", "")
    if unit == Unit.MONEY and DIGITS.fullmatch(stripped):
        return _dollars(stripped)
    return stripped


def _dollars(text: str) -> str:
    sign, amount = ("-", text[1:]) if text.startswith("-") else ("", text)
    return f"{sign}${amount.removeprefix('$')}"


class _Cell:
    """Reads one cell from left to right."""

    def __init__(self, name: str, unit: Unit, text: str) -> None:
        self.name = name
        self.unit = unit
        self.text = text
        self.tokens = self._tokens()
        self.position = 0

    def _tokens(self) -> list[_Token]:
        found, position = [], 0
        while position < len(self.text):
            match = TOKEN.match(self.text, position)
            if match is None or match.lastgroup is None:
                raise CellError(f"{self.text!r} cannot be read at {self.text[position:][:20]!r}")
            found.append(_Token(match.lastgroup, match[match.lastgroup].strip()))
            position = match.end()
        return [token for token in found if token.text]

    def _next(self) -> _Token:
        if self.position == len(self.tokens):
            raise CellError(f"{self.text!r} ends too early")
        self.position += 1
        return self.tokens[self.position - 1]

    def _at(self, kind: str, *texts: str) -> bool:
        if self.position == len(self.tokens):
            return False
        token = self.tokens[self.position]
        return token.kind == kind and (not texts or token.text in texts)

    def condition(self) -> str:
        negated = self._at("plain", "not") and len(self.tokens) > 1 and self.tokens[1].text == "("
        self.position = 2 if negated else 0
        plain, others = self.tests()
        if negated and self._next() != ("bracket", ")"):
            raise CellError(f"{self.text!r} lacks its closing ')'")
        if self.position < len(self.tokens):
            raise CellError(f"did not expect {self.tokens[self.position].text!r} in {self.text!r}")
        return self._negated(plain, others) if negated else self._joined(plain, others)

    def tests(self) -> tuple[list[str], list[str]]:
        """Values that are simply listed, and comparisons."""
        plain, others = list[str](), list[str]()
        while True:
            self.test(plain, others)
            if not self._at("separator"):
                return plain, others
            self.position += 1

    def test(self, plain: list[str], others: list[str]) -> None:
        if self._at("operator"):
            operator = OPERATORS[self._next().text]
            others.append(f"{self.name} {operator} {self.literal()}")
        elif self._at("bracket", "[", "(", "]"):
            others.append(self.interval())
        else:
            plain.append(self.literal())

    def interval(self) -> str:
        opening = self._next().text
        low = self.literal()
        if self._next().kind != "dots":
            raise CellError(f"an interval is written as [24..60], not {self.text!r}")
        high = self.literal()
        closing = self._next().text
        if closing not in {"]", ")", "["}:
            raise CellError(f"an interval is written as [24..60], not {self.text!r}")
        above, below = ">=" if opening == "[" else ">", "<=" if closing == "]" else "<"
        return f"{self.name} {above} {low} and {self.name} {below} {high}"

    def _joined(self, plain: list[str], others: list[str]) -> str:
        tests = ([self._one_of(plain)] if plain else []) + others
        return tests[0] if len(tests) == 1 else " or ".join(f"({test})" if " and " in test else test for test in tests)

    def _one_of(self, values: list[str]) -> str:
        if self.unit == Unit.BOOLEAN:
            return self.name if values == ["true"] else f"not {self.name}" if values == ["false"] else "true"
        return f"{self.name} == {values[0]}" if len(values) == 1 else f"{self.name} in [{', '.join(values)}]"

    def _negated(self, plain: list[str], others: list[str]) -> str:
        if others or self.unit == Unit.BOOLEAN:
            return f"not ({self._joined(plain, others)})"
        if len(plain) == 1:
            return f"{self.name} != {plain[0]}"
        return f"{self.name} not in [{', '.join(plain)}]"

    def literal(self) -> str:
        token = self._next()
        if token.kind not in {"plain", "quoted"}:
            raise CellError(f"did not expect {token.text!r} in {self.text!r}: a value is missing before it")
        word = token.text[1:-1].strip() if token.kind == "quoted" else token.text
        match self.unit:
            case Unit.TEXT:
                return _quoted(word)
            case Unit.BOOLEAN:
                return self._truth(word)
            case Unit.PERCENT:
                return self._percent(word)
            case Unit.MONEY:
                return self._money(word)
        return self._count(word)

    def _truth(self, word: str) -> str:
        if word.lower() not in {"true", "false"}:
            raise CellError(f"{self.name} is true or false, not {word!r}")
        return word.lower()

    def _percent(self, word: str) -> str:
        number = word.removesuffix("%").strip()
        if not DIGITS.fullmatch(number):
            raise CellError(f"{self.name} is a percent, not {word!r}")
        if number == word:
            raise CellError(
                f"{word} where a percent is needed", f"Write {word}% if that is meant; in a DMN file, in quotes."
            )
        return f"{number}%"

    def _money(self, word: str) -> str:
        if not AMOUNT.fullmatch(word):
            raise CellError(f"{self.name} is an amount of money, not {word!r}", "Write $5,000 or 5000.")
        return _dollars(word)

    def _count(self, word: str) -> str:
        if not DIGITS.fullmatch(word):
            raise CellError(f"{self.name} is a count, not {word!r}")
        return ZEROS.sub(lambda found: "" if found[1] == "." else found[0], word)


def _quoted(word: str) -> str:
    if '"' in word and "'" in word:
        raise CellError(f"{word!r} has both kinds of quotes in it")
    return f"'{word}'" if '"' in word else f'"{word}"'
