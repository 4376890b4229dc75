"""From the text of a DMN expression or of a table's cell to a tree.

Read are literals, names (also with spaces and signs in them), paths, arithmetic, comparisons, intervals, `and`, `or`,
`between`, `in`, `if`, lists, contexts and calls; not iterations, filters and functions defined on the spot.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from typing import TypeAlias

from dealgate.rules.feel_values import LONGEST_NUMBER, read_number

LONGEST_EXPRESSION = 20_000
MAX_DEPTH = 40
"""Every level of brackets costs the reader about ten calls; a cell nested deeper was not written by a person."""

MAX_CHAIN = 150
"""Operators that hang on each other, `a + b + c`: each is one level of the tree."""


class FeelError(ValueError):
    """An expression that cannot be read or computed; `position` is an offset into its text, or None."""

    def __init__(self, message: str, position: int | None = None) -> None:
        self.position = position
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Literal:
    value: Decimal | str | bool | None


@dataclass(frozen=True, slots=True)
class AtLiteral:
    """`@"2026-11-20"`: a day, time or duration by its text."""

    text: str


@dataclass(frozen=True, slots=True)
class Name:
    name: str


@dataclass(frozen=True, slots=True)
class TestedValue:
    """`?`: the value that the cell tests."""


@dataclass(frozen=True, slots=True)
class Path:
    whole: "Syntax"
    name: str


@dataclass(frozen=True, slots=True)
class Negative:
    operand: "Syntax"


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: "Syntax"
    right: "Syntax"


@dataclass(frozen=True, slots=True)
class Between:
    value: "Syntax"
    low: "Syntax"
    high: "Syntax"


@dataclass(frozen=True, slots=True)
class In:
    value: "Syntax"
    tests: "Tests"


@dataclass(frozen=True, slots=True)
class Range:
    low: "Syntax"
    high: "Syntax"
    with_low: bool
    with_high: bool


@dataclass(frozen=True, slots=True)
class Conditional:
    condition: "Syntax"
    then: "Syntax"
    otherwise: "Syntax"


@dataclass(frozen=True, slots=True)
class ListOf:
    items: tuple["Syntax", ...]


@dataclass(frozen=True, slots=True)
class Context:
    entries: tuple[tuple[str, "Syntax"], ...]


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: tuple["Syntax", ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Compared:
    """A cell's `>= 60`."""

    operator: str
    operand: "Syntax"


Syntax: TypeAlias = (
    Literal | AtLiteral | Name | TestedValue | Path | Negative | Binary | Between | In | Range | Conditional | ListOf
    | Context | Call | Compared
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tests:
    """What a cell asks: any of its tests holds, or with `not()` none does. No test at all always holds."""

    tests: tuple[Syntax, ...]
    negated: bool = False

    @property
    def always(self) -> bool:
        return not self.tests


SPACE = re.compile(r"(\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
WORD = re.compile(r"[^\W\d]\w*")
NUMBER = re.compile(r"(\d+(\.\d+)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{6}|.)", re.DOTALL)
SIGN = re.compile(r"\*\*|\.\.|<=|>=|!=|[-+*/=<>()\[\]{},.:?@]")
COMPARISONS = ("<=", ">=", "!=", "<", ">", "=")
FUNCTION_OF_WORDS = re.compile(
    r"(date\s+and\s+time|years\s+and\s+months\s+duration|string\s+length|upper\s+case|lower\s+case|substring\s+before"
    r"|substring\s+after|starts\s+with|ends\s+with|list\s+contains|distinct\s+values|index\s+of|insert\s+before"
    r"|round\s+(?:half\s+)?(?:up|down))(?=\s*\()"
)
KEYWORDS = frozenset({"and", "or", "between", "in", "if", "then", "else", "true", "false", "null", "instance"})
NOT_READ = frozenset({"for", "some", "every", "function"})


@cache
def _any_of(names: frozenset[str]) -> re.Pattern[str]:
    """Matches the longest of some names; white space within a name may be any."""
    longest_first = sorted((name for name in names if name.strip()), key=len, reverse=True)
    return re.compile("|".join(map(_written, longest_first)) or "(?!)")


def _written(name: str) -> str:
    """The pattern of a name, which must not end within a word."""
    boundary = r"(?!\w)" if re.match(r"\w", name[-1]) else ""
    return r"\s+".join(map(re.escape, name.split())) + boundary


@lru_cache(maxsize=8_192)
def parse_expression(text: str, names: frozenset[str] = frozenset()) -> Syntax:
    """Read one expression; `names` are those that are more than a plain word. Raises `FeelError`."""
    parser = _Parser(text, names)
    tree = parser.expression()
    parser.end()
    _refuse_long_chains(tree)
    return tree


@lru_cache(maxsize=8_192)
def parse_tests(text: str, names: frozenset[str] = frozenset()) -> Tests:
    """Read one input cell of a decision table. Raises `FeelError`."""
    if text.strip() in {"", "-"}:
        return Tests(())
    found = _Parser(text, names).negated_tests()
    if found is None:
        parser = _Parser(text, names)
        found = Tests(parser.tests())
        parser.end()
    for test in found.tests:
        _refuse_long_chains(test)
    return found


def _refuse_long_chains(tree: Syntax) -> None:
    """What reads the tree recurses over it."""
    waiting: list[tuple[object, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_CHAIN:
            raise FeelError(f"more than {MAX_CHAIN} operators hang on each other", 0)
        if isinstance(node, tuple):
            waiting.extend((part, depth) for part in node)
        elif hasattr(node, "__dataclass_fields__"):
            waiting.extend((getattr(node, name), depth + 1) for name in node.__dataclass_fields__)


class _Parser:
    """One text, read from left to right. Every method reads what it is named after."""

    def __init__(self, text: str, names: Iterable[str]) -> None:
        if len(text) > LONGEST_EXPRESSION:
            raise FeelError(f"an expression of {len(text):,} characters; at most {LONGEST_EXPRESSION:,} are read", 0)
        self.text = text
        self.names = _any_of(frozenset(names))
        self.position = 0
        self.depth = 0
        self._space()

    def _space(self) -> None:
        found = SPACE.match(self.text, self.position)
        assert found
        self.position = found.end()

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.position)
        if found is not None and found.end() > self.position:
            self.position = found.end()
            self._space()
            return found
        return None

    def _peek(self) -> str:
        found = SIGN.match(self.text, self.position)
        return found[0] if found else ""

    def _sign(self, *signs: str) -> str:
        sign = self._peek()
        if sign in signs:
            self.position += len(sign)
            self._space()
            return sign
        return ""

    def _keyword(self, word: str) -> bool:
        found = WORD.match(self.text, self.position)
        if found is None or found[0] != word:
            return False
        known = self.names.match(self.text, self.position)
        if known is not None and known.end() >= found.end():  # a name of the model goes before a word of the language
            return False
        self.position = found.end()
        self._space()
        return True

    def _need(self, sign: str) -> None:
        if not self._sign(sign):
            raise self._unexpected(f"{sign!r} is missing")

    def _unexpected(self, what: str = "") -> FeelError:
        rest = self.text[self.position : self.position + 20]
        found = f"did not expect {rest!r}" if rest else "the expression ends too early"
        return FeelError(f"{found}{f': {what}' if what else ''}", self.position)

    def end(self) -> None:
        if self.position < len(self.text):
            raise self._unexpected()

    # Cells

    def negated_tests(self) -> Tests | None:
        """`not(...)` around the whole cell, else nothing."""
        if not self._keyword("not") or not self._sign("("):
            return None
        tests = self.tests()
        return Tests(tests, negated=True) if self._sign(")") and self.position == len(self.text) else None

    def tests(self) -> tuple[Syntax, ...]:
        found = [self.test()]
        while self._sign(","):
            found.append(self.test())
        return tuple(found)

    def test(self) -> Syntax:
        operator = self._sign(*COMPARISONS)
        return Compared(operator, self.sum()) if operator else self.expression()

    # Expressions, the weakest binding first

    def expression(self) -> Syntax:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise FeelError(f"nested more than {MAX_DEPTH} levels deep", self.position)
        try:
            return self.conditional() if self._keyword("if") else self.disjunction()
        finally:
            self.depth -= 1

    def conditional(self) -> Syntax:
        condition = self.expression()
        if not self._keyword("then"):
            raise self._unexpected("'then' is missing")
        then = self.expression()
        if not self._keyword("else"):
            raise self._unexpected("'else' is missing")
        return Conditional(condition, then, self.expression())

    def disjunction(self) -> Syntax:
        left = self.conjunction()
        while self._keyword("or"):
            left = Binary("or", left, self.conjunction())
        return left

    def conjunction(self) -> Syntax:
        left = self.comparison()
        while self._keyword("and"):
            left = Binary("and", left, self.comparison())
        return left

    def comparison(self) -> Syntax:
        left = self.sum()
        if operator := self._sign(*COMPARISONS):
            return Binary(operator, left, self.sum())
        if self._keyword("between"):
            low = self.sum()
            if not self._keyword("and"):
                raise self._unexpected("'and' is missing after 'between'")
            return Between(left, low, self.sum())
        if self._keyword("in"):
            return In(left, self.tests_after_in())
        if self._keyword("instance"):
            raise FeelError("'instance of' is not read here", self.position)
        return left

    def tests_after_in(self) -> Tests:
        begun = self.position
        if self._sign("("):
            tests = self.tests()
            if self._sign(")"):
                return Tests(tests)
            self.position = begun  # an interval that leaves its lower end out
        return Tests((self.test(),))

    def sum(self) -> Syntax:
        left = self.product()
        while operator := self._sign("+", "-"):
            left = Binary(operator, left, self.product())
        return left

    def product(self) -> Syntax:
        left = self.power()
        while operator := self._sign("*", "/"):
            left = Binary(operator, left, self.power())
        return left

    def power(self) -> Syntax:
        left = self.signed()
        while self._sign("**"):
            left = Binary("**", left, self.signed())
        return left

    def signed(self) -> Syntax:
        minus = 0
        while self._sign("-"):
            minus += 1
        operand = self.path()
        return Negative(operand) if minus % 2 else operand

    def path(self) -> Syntax:
        whole = self.atom()
        while self._peek() == ".":
            self._sign(".")
            name = self._take(self.names) or self._take(WORD)
            if name is None:
                raise self._unexpected("a name is missing after '.'")
            whole = Path(whole, " ".join(name[0].split()))
        return whole

    def atom(self) -> Syntax:
        if self._peek() in {"[", "(", "]"}:
            return self.bracketed()
        if self._sign("{"):
            return self.context()
        if self._sign("?"):
            return TestedValue()
        if self._sign("@"):
            return AtLiteral(self.string())
        if self.text[self.position : self.position + 1] == '"':
            return Literal(self.string())
        if number := self._take(NUMBER):
            return Literal(self.number(number[0]))
        return self.named()

    def number(self, text: str) -> Decimal:
        value = read_number(text)
        if value is None:
            raise FeelError(
                f"a number of more than {LONGEST_NUMBER} characters or beyond 34 digits' range", self.position
            )
        return value

    def string(self) -> str:
        found = self._take(STRING)
        if found is None:
            raise self._unexpected("a text in double quotes is missing, or its closing quote")
        return ESCAPE.sub(_unescaped, found[1])

    def bracketed(self) -> Syntax:
        """An interval, a list, or an expression in parentheses."""
        opening = self._sign("[", "(", "]")
        if opening == "[" and self._sign("]"):
            return ListOf(())
        first = self.expression()
        if self._sign(".."):
            high = self.expression()
            closing = self._sign("]", ")", "[")
            if not closing:
                raise self._unexpected("an interval ends with ']', ')' or '['")
            return Range(first, high, opening == "[", closing == "]")
        if opening == "(":
            self._need(")")
            return first
        if opening == "]":
            raise self._unexpected("'..' is missing")
        items = [first]
        while self._sign(","):
            items.append(self.expression())
        self._need("]")
        if self._peek() == "[":
            raise FeelError("a filter on a list is not read here", self.position)
        return ListOf(tuple(items))

    def context(self) -> Syntax:
        entries: list[tuple[str, Syntax]] = []
        while not self._sign("}"):
            if entries:
                self._need(",")
            if self.text[self.position : self.position + 1] == '"':
                key = self.string()
            else:
                begun = self.position
                found = re.compile(r"[^:{}\[\]()\"]+").match(self.text, begun)
                if found is None:
                    raise self._unexpected("the name of an entry is missing")
                key, self.position = " ".join(found[0].split()), found.end()
            self._need(":")
            entries.append((key, self.expression()))
        return Context(tuple(entries))

    def named(self) -> Syntax:
        begun = self.position
        word = WORD.match(self.text, begun)
        known = self._take(FUNCTION_OF_WORDS) or self._take(self.names)
        if known is None or (word is not None and word.end() > known.end()):
            self.position = begun
            if word is None:
                raise self._unexpected()
            if word[0] in NOT_READ:
                raise FeelError(f"{word[0]!r} is not read here", begun)
            for keyword, value in (("true", True), ("false", False), ("null", None)):
                if self._keyword(keyword):
                    return Literal(value)
            if word[0] in KEYWORDS:
                raise self._unexpected()
            known = self._take(WORD)
            assert known
        name = " ".join(known[0].split())
        if self._peek() == "(":
            return self.call(name)
        if self._peek() == "[":
            raise FeelError("a filter on a list is not read here", self.position)
        return Name(name)

    def call(self, name: str) -> Syntax:
        self._need("(")
        arguments: list[Syntax] = []
        names: list[str] = []
        while not self._sign(")"):
            if arguments:
                self._need(",")
            if named := re.compile(r"\s*([^\W\d][\w ]*?)\s*:(?!:)").match(self.text, self.position):
                names.append(named[1])
                self.position = named.end()
                self._space()
            arguments.append(self.expression())
        if names and len(names) != len(arguments):
            raise FeelError("either all arguments of a call have names or none has", self.position)
        return Call(name, tuple(arguments), tuple(names))


def _unescaped(found: re.Match[str]) -> str:
    letter = found[1]
    if letter[0] in "uU" and len(letter) > 1:
        number = int(letter[1:], 16)
        return chr(number) if number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else "\ufffd"
    return {"n": "\n", "t": "\t", "r": "\r"}.get(letter, letter if letter in "\"'\\" else "\\" + letter)
