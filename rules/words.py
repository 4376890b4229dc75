"""Words that a policy is unlikely to mean: of fields that may hold any text, and in the reasons an applicant is told."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import NamedTuple

from lark import Token, Tree

from dealgate.rules.document import List, Node, Place, Scalar, Table
from dealgate.rules.expressions import (
    BookValueAsOf,
    BookValueOn,
    Comparison,
    Expression,
    FieldName,
    ItemName,
    Membership,
    Text,
    walk,
)
from dealgate.rules.fields import BASIS_NAMES, Unit
from dealgate.rules.parsing import ExpressionError, Syntax, parse
from dealgate.rules.policy import Policy
from dealgate.rules.stated_values import KIND_PATTERN

STATES = frozenset(
    re.findall(
        "[A-Z]{2}",
        "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK"
        " OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC PR VI GU AS MP AA AE AP",
    )
)
"""Two-letter codes of the U.S. Postal Service: states, district, territories, armed forces."""

PRODUCTS = ("gap", "service_contract")
"""Products that the shipped policies name; a lender may sell others."""

NEAR = 0.75
"""How alike two words must be, from 0 to 1, to take one for a slip of the other."""

LONGEST_REASON = 90
"""Characters. A line of a letter-size notice with half-inch margins is 7.5 inches: 90 characters at 12 to the inch."""

INSUFFICIENT = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(internal|our|company|corporate|lender'?s?|bank'?s?|credit|lending|loan|underwriting|program) "
        r"(\w+ )?(standards?|polic(y|ies)|guidelines?|criteria|requirements?|rules?)\b",
        r"\b(fail(s|ed)?|failure) to (achieve|reach|meet|get|obtain|attain)\b.*\bscore\b",
        r"\b(qualifying|passing|required|minimum|cut-?off) (credit )?score\b",
        r"\b(insufficient|low|too low a|inadequate) (credit |bureau |application )?scores?\b",
        r"\b(credit |bureau |application )?score (is |was )?(too low|insufficient|not (met|reached|achieved)|below)\b",
        r"\b(not|never) (meet|met|satisfy|satisfied|within) (\w+ )?(standards?|polic(y|ies)|guidelines?|criteria|requirements?)\b",
        r"^\W*(other|polic(y|ies)|standards?|guidelines?|criteria|risk|high risk|too risky|declined|denied|refused|rejected|"
        r"not approved|not qualified|(does|do|did) not qualify|unacceptable|insufficient|limits? exceeded)\W*$",
    )
)
"""Forms of what the commentary calls insufficient: internal standards or policies, and a qualifying score that was missed."""


class WordRemark(NamedTuple):
    place: Place
    message: str
    suggestion: str = ""
    is_warning: bool = False


class NamedWord(NamedTuple):
    """A word that an expression compares a field with."""

    field: str
    word: str
    place: Place
    origin: str = ""
    """Which row of a file it stands in; the place is then that of the file's name."""


def word_remarks(policy: Policy, root: Node) -> Iterator[WordRemark]:
    """What is remarkable about the words of a policy that was read from this document."""
    words = [word for scalar in expression_scalars(root) for word in _named_words(scalar)]
    words += _words_in_files(policy, root)
    for word in words:
        for remark in _remarks(word, policy):
            yield remark._replace(message=f"{word.origin}: {remark.message}") if word.origin else remark
    yield from _odd_tiers([word for word in words if word.field == "tier"])
    yield from _listed_bases(root)
    for rule in _items(_entry(root, "rules")):
        reason = _entry(rule, "reason")
        if isinstance(reason, Scalar):
            yield from _reason(reason)


def _remarks(word: NamedWord, policy: Policy) -> Iterator[WordRemark]:
    match word.field:
        case "state":
            yield from _state(word)
        case "kind":
            yield from _kind(word)
        case "book_value" | "book_value_as_of":
            yield from _basis(word, policy)


def tiers_in_order(policy: Policy) -> list[str]:
    """The tiers that the limits tell apart, in the order in which they first name them: the best first."""
    found: dict[str, None] = {}
    for limit in policy.limits.values():
        for row in sorted(limit.rows, key=lambda row: row.path):  # a table by priority keeps its rows in another order
            for node in walk(row.when):
                match node:
                    case Membership(FieldName("tier"), options):
                        found.update({option.value: None for option in options if isinstance(option, Text)})
                    case Comparison("==", left, right) if FieldName("tier", Unit.TEXT) in (left, right):
                        found.update({side.value: None for side in (left, right) if isinstance(side, Text)})
    return list(found)


# Where expressions stand


def expression_scalars(root: Node) -> Iterator[Scalar]:
    """Every expression of a document, where it stands."""
    nodes: list[Node | None] = [_entry(root, "applies_to")]
    nodes += [_entry(measure, "formula") for measure in _values(_entry(root, "measures"))]
    for limit in _values(_entry(root, "limits")):
        nodes.append(_entry(limit, "default"))
        for row in _items(_entry(limit, "rows")):
            nodes += [_entry(row, "when"), _entry(row, "limit")]
    for rule in _items(_entry(root, "rules")):
        nodes += [_entry(rule, "applies"), _entry(rule, "require"), _entry(_entry(rule, "mitigated_by"), "when")]
    nodes += [_entry(guarantee, "never") for guarantee in _items(_entry(root, "guarantees"))]
    return (node for node in nodes if isinstance(node, Scalar))


def _entry(node: Node | None, key: str) -> Node | None:
    return node.entries.get(key) if isinstance(node, Table) else None


def _values(node: Node | None) -> Iterable[Node]:
    return node.entries.values() if isinstance(node, Table) else ()


def _items(node: Node | None) -> Iterable[Node]:
    return node.items if isinstance(node, List) else ()


def _named_words(scalar: Scalar) -> Iterator[NamedWord]:
    try:
        syntax = parse(scalar.value)
    except ExpressionError:  # told when the document was read
        return
    for name, token in _words_in(syntax):
        start = token.start_pos or 0
        yield NamedWord(name, str(token)[1:-1], scalar.at(start, start + len(token)))


def _words_in_files(policy: Policy, root: Node) -> Iterator[NamedWord]:
    """Words in the rows of tables that stand in files: cells have no place in the document, so they are read from the tree."""
    for name, limit in policy.limits.items():
        table = _entry(_entry(_entry(root, "limits"), name), "table")
        if table is None:
            continue
        for row in limit.all_rows:
            if row.path[:1] != ("table",):
                continue
            nodes = (node for part in (row.when, row.limit) for node in walk(part))
            found = dict.fromkeys(pair for node in nodes for pair in _pairs(node))
            yield from (NamedWord(field, word, table.place, row.origin) for field, word in found)


def _pairs(node: Expression) -> Iterator[tuple[str, str]]:
    """The field and the word that a node compares."""
    sides: tuple[Expression, ...] = ()
    match node:
        case BookValueOn(basis) | BookValueAsOf(basis):
            yield "book_value", basis
        case Comparison(left=left, right=right):
            sides = left, right
        case Membership(operand, options):
            sides = operand, *options
    names = [side.name for side in sides if isinstance(side, FieldName | ItemName)]
    yield from ((names[0], side.value) for side in sides if names and isinstance(side, Text))


def _words_in(node: Syntax | Token) -> Iterator[tuple[str, Token]]:
    if isinstance(node, Token):
        return
    tokens = [child for child in node.children if isinstance(child, Token)]
    for child in node.children:
        if isinstance(child, Tree):
            if child.data == "options":
                tokens += [option for option in child.children if isinstance(option, Token)]
            yield from _words_in(child)
    names = [token for token in tokens if token.type == "NAME"]
    for token in tokens if names and node.data in {"compared", "member", "not_member", "call"} else ():
        if token.type == "STRING":
            yield str(names[0]), token


# What is remarkable about them


def _near(word: str, known: Iterable[str]) -> str | None:
    """The known word that this one is a slip of."""
    by_lower = {other.lower(): other for other in known}
    close = get_close_matches(word.lower(), by_lower, n=1, cutoff=NEAR)
    return by_lower[close[0]] if close else None


def _state(word: NamedWord) -> Iterator[WordRemark]:
    if word.word in STATES:
        return
    upper = word.word.strip().upper()
    suggestion = (
        f"Did you mean {upper!r}?"
        if upper in STATES
        else "States are written with their two-letter code, such as 'TX'."
    )
    if not re.fullmatch("[A-Z]{2}", word.word):
        yield WordRemark(word.place, f"state is never {word.word!r}: it is two capital letters", suggestion)
    else:
        message = f"{word.word!r} is no code of a state or territory"
        yield WordRemark(word.place, message, "Check it against the codes of the Postal Service.", is_warning=True)


def _kind(word: NamedWord) -> Iterator[WordRemark]:
    near = None if word.word in PRODUCTS else _near(word.word, PRODUCTS)
    if not KIND_PATTERN.fullmatch(word.word):
        message = (
            f"kind is never {word.word!r}: it is lower-case letters, digits and underscores, beginning with a letter"
        )
        yield WordRemark(word.place, message, f"Did you mean {near!r}?" if near else "Write it as deals state it.")
    elif near:
        yield WordRemark(
            word.place, f"{word.word!r} is no product named elsewhere", f"Did you mean {near!r}?", is_warning=True
        )


def _basis(word: NamedWord, policy: Policy) -> Iterator[WordRemark]:
    listed = {basis for bases in policy.collateral_value.values() for basis in bases}
    if word.word in listed or word.word in BASIS_NAMES:
        return
    near = _near(word.word, [*listed, *BASIS_NAMES])
    suggestion = f"Did you mean {near!r}?" if near else "Its value is unknown unless deals carry this very word."
    yield WordRemark(word.place, f"no list of bases holds {word.word!r}", suggestion, is_warning=near is None)


def _listed_bases(root: Node) -> Iterator[WordRemark]:
    for bases in _values(_entry(root, "collateral_value")):
        for basis in _items(bases):
            if not isinstance(basis, Scalar) or basis.value in BASIS_NAMES:
                continue
            near = _near(basis.value, BASIS_NAMES)
            if near:
                place = basis.at(0, len(basis.value))
                message = f"{basis.value!r} is close to a basis that the shipped policies name"
                yield WordRemark(place, message, f"Did you mean {near!r}?", is_warning=True)


def _form(word: str) -> str:
    """What a word is built of: capitals, small letters, digits."""
    return re.sub(r"\d", "9", re.sub("[a-z]", "a", re.sub("[A-Z]", "A", word)))


def _odd_tiers(words: list[NamedWord]) -> Iterator[WordRemark]:
    """A tier that is named once and looks like no other: the others are named again and again, and look alike."""
    uses = Counter(word.word for word in words)
    forms = Counter(_form(word) for word in uses)
    for word in words:
        others = [other for other in uses if _form(other) != _form(word.word)]
        alike = len({_form(other) for other in others}) == 1 and len(others) > 1
        if uses[word.word] == 1 and forms[_form(word.word)] == 1 and alike:
            told = ", ".join(sorted(others))
            message = f"{word.origin}: " if word.origin else ""
            message += f"tier {word.word!r} is named only here; elsewhere the tiers are {told}"
            near = next(iter(get_close_matches(word.word.upper(), others, n=1, cutoff=0.5)), None)
            suggestion = f"Did you mean {near!r}?" if near else ""
            yield WordRemark(word.place, message, suggestion, is_warning=True)


def _reason(reason: Scalar) -> Iterator[WordRemark]:
    found = next((match for pattern in INSUFFICIENT if (match := pattern.search(reason.value))), None)
    if found:
        message = f"{found[0].strip()!r} is no sufficient reason: it must be specific (Regulation B, comment 9(b)(2)-1)"
        suggestion = "Name what was found: the income, the collateral, the payoff, the term."
        yield WordRemark(reason.at(*found.span()), message, suggestion)
    if len(reason.value) > LONGEST_REASON:
        message = f"this reason has {len(reason.value)} characters; a line of a notice holds {LONGEST_REASON}"
        yield WordRemark(reason.at(LONGEST_REASON, len(reason.value)), message, "Shorten it.", is_warning=True)
