"""From the text of an expression to its syntax tree; mistakes come back with their place and a hint."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken

MAX_CHARACTERS = 20_000
MAX_DEPTH = 200
"""Every later reader of the tree recurses; a formula deeper than this was written by a machine, not by a credit analyst."""

Syntax = Tree[Token]


@dataclass
class ExpressionError(ValueError):
    """Something in an expression that cannot be read; `start` and `end` are offsets into its text. `more` are its fellows."""

    start: int
    end: int
    message: str
    suggestion: str = ""
    more: tuple["ExpressionError", ...] = ()

    def __iter__(self) -> Iterator["ExpressionError"]:
        """This mistake and every other one in the expression."""
        yield self
        for error in self.more:
            yield from error


@cache
def _grammar() -> Lark:
    text = (files("dealgate.rules") / "policy.lark").read_text(encoding="utf-8")
    return Lark(text, parser="lalr", propagate_positions=True, maybe_placeholders=False)


def parse(text: str) -> Syntax | Token:
    """Parse one expression. Raises `ExpressionError`."""
    if not text.strip():
        raise ExpressionError(0, 1, "an expression is missing here")
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(0, 1, f"an expression of {len(text):,} characters; at most {MAX_CHARACTERS:,} are read")
    try:
        tree = _grammar().parse(text)
    except UnexpectedInput as error:
        raise _unexpected(text, error) from None
    if _depth(tree) > MAX_DEPTH:
        raise ExpressionError(0, 1, f"nested more than {MAX_DEPTH} levels deep", "Give parts of it names, as measures.")
    return tree


def _depth(tree: Syntax | Token) -> int:
    deepest, waiting = 0, [(tree, 1)]
    while waiting:
        node, level = waiting.pop()
        deepest = max(deepest, level)
        if isinstance(node, Tree):
            waiting.extend((child, level + 1) for child in node.children)
    return deepest


_HINTS = {
    "=": "Equality is written '=='.",
    "&": "Write 'and'.",
    "|": "Write 'or'.",
    "!": "Write 'not' or '!='.",
    "$": "Money is written as $5,000 or $12.34.",
    "%": "A percent is written as 125% or 7.5%.",
    ".": "Deal fields are plain names, without dots.",
    '"': "A text needs a closing quote on the same line.",
    "'": "A text needs a closing quote on the same line.",
}


def _unexpected(text: str, error: UnexpectedInput) -> ExpressionError:
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        start, word = error.token.start_pos or 0, str(error.token)
        if error.token.type == "COMPARE":
            hint = "Write two comparisons joined with 'and'."
        else:
            hint = (
                "An operator such as 'and', '<=' or ',' is missing before it."
                if word[:1].isalnum() or word[:1] in "$\"'"
                else ""
            )
        return ExpressionError(start, start + len(word), f"did not expect {word!r} here", hint)
    if isinstance(error, UnexpectedCharacters):
        start = error.pos_in_stream or 0
        return ExpressionError(start, start + 1, f"did not expect {text[start]!r} here", _HINTS.get(text[start], ""))
    assert isinstance(error, UnexpectedToken | UnexpectedEOF)
    return ExpressionError(max(0, len(text.rstrip()) - 1), len(text.rstrip()), "the expression ends too early")
