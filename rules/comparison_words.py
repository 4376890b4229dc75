"""What a comparison of two policies found, in words: for a terminal, and as a page for a committee's minutes."""

from collections.abc import Iterator
from typing import NamedTuple

from dealgate.rules.comparison import Comparison, Effect, Mark, MarkedChange
from dealgate.rules.differences import Reading
from dealgate.rules.document import deal_in_words
from dealgate.rules.explaining import (
    Block,
    Cell,
    Code,
    Grid,
    Heading,
    Paragraph,
    Points,
    deals_answered_for,
    effective_words,
)
from dealgate.rules.policy import Policy
from dealgate.rules.proof import Answer, Verdict, Witness

VERDICTS = {
    Mark.TIGHTER: "Tighter: some deals come to a more severe outcome, and none to a milder one.",
    Mark.LOOSER: "Looser: some deals come to a milder outcome, and none to a more severe one.",
    Mark.MIXED: "Mixed: some deals come to a more severe outcome, and others to a milder one.",
    Mark.NEUTRAL: "The same outcomes: no deal that both answer for comes to another one, by proof.",
}
EQUIVALENT = "Equivalent: no deal that can be submitted comes to another outcome, by proof."
APART = "No deal is answered for by both, so outcomes are compared over all deals."


class Shown(NamedTuple):
    """A deal that two policies decide differently, and the rules that come to another result."""

    before: str
    after: str
    rules: tuple[str, ...]
    deal: str

    def __str__(self) -> str:
        rules = f" ({'; '.join(self.rules)})" if self.rules else ""
        return f"{self.before} → {self.after}{rules}: {self.deal}"


def shown(witness: Witness) -> Shown:
    (after,) = witness.beside
    results, others = witness.reckoning.results, after.reckoning.results
    rules = tuple(
        f"{rule} {_result(results.get(rule))} → {_result(others.get(rule))}"
        for rule in dict.fromkeys((*results, *others))
        if results.get(rule) != others.get(rule)
    )
    return Shown(witness.outcome, after.outcome, rules, ", ".join(deal_in_words(witness.document)))


def _result(result: str | None) -> str:
    return "not a rule" if result is None else result.replace("_", " ")


def verdict(comparison: Comparison) -> str:
    """The one sentence that answers what the second policy would do."""
    return EQUIVALENT if comparison.is_equivalent else effect_in_words(comparison.effect)


def effect_in_words(effect: Effect) -> str:
    if effect.mark is not Mark.NOT_PROVED:
        return VERDICTS[effect.mark]
    parts = [_half(effect.tighter, "a more severe"), _half(effect.looser, "a milder")]
    return f"Not proved: {' '.join(parts)}"


def _half(answer: Answer, kind: str) -> str:
    match answer.verdict:
        case Verdict.SHOWN:
            return f"Some deals come to {kind} outcome."
        case Verdict.IMPOSSIBLE:
            return f"No deal comes to {kind} outcome, by proof."
    return f"Whether any deal comes to {kind} outcome is undecided: {answer.why}."


def answered_deals(comparison: Comparison) -> Iterator[str]:
    """What is to be said of the deals that the two policies answer for, where that differs."""
    for answer, kind in ((comparison.narrower, "no longer"), (comparison.wider, "now")):
        if answer.verdict is Verdict.UNDECIDED:
            yield f"Whether there are deals that it {kind} answers for is undecided: {answer.why}."
        elif answer.witness:
            yield f"There are deals that it {kind} answers for, for example: {shown(answer.witness).deal}."
    if comparison.apart:
        yield APART


def mark_of(comparison: Comparison, marked: MarkedChange) -> str:
    """The mark of a change in a word; of `applies_to` whether more or fewer deals are answered for."""
    if marked.change.what != "applies_to":
        return marked.effect.mark.value
    words = {Mark.TIGHTER: "narrower", Mark.LOOSER: "wider"}
    mark = Effect(comparison.narrower, comparison.wider).mark
    return words.get(mark, mark.value)


# A page


def comparison_page(comparison: Comparison) -> Iterator[Block]:
    """Both policies, the verdict, every change with its mark, and the deals that show it."""
    first, second = comparison.first, comparison.second
    yield Heading(1, f"{_name(first)} compared with {_name(second)}")
    heads = zip(_head(first), _head(second), strict=True)
    yield Grid(("", "Before", "After"), tuple((name, before, after) for (name, before), (_, after) in heads))
    yield Heading(2, "What it does to deals")
    yield Paragraph(verdict(comparison))
    yield from map(Paragraph, answered_deals(comparison))
    if deals := tuple(_deals(comparison.effect)):
        yield Points(deals)
    yield Heading(2, "Changes")
    if not comparison.changes:
        yield Paragraph("Nothing changed.")
        return
    yield Paragraph("Each is marked by what it does alone, put into the policy before.")
    yield Grid(("", "Change", "Before", "After", "Mark"), tuple(_rows(comparison)))
    yield from _shown_by(comparison)


def _name(policy: Policy) -> str:
    return f"{policy.name} {policy.version}"


def _head(policy: Policy) -> list[tuple[str, Cell]]:
    return [
        ("Policy", policy.name),
        ("Version", policy.version),
        ("Title", policy.title),
        ("Effective", effective_words(policy)),
        ("Answers for", deals_answered_for(policy)),
        ("SHA-256 of the content", Code(policy.sha256)),
    ]


def _rows(comparison: Comparison) -> Iterator[tuple[Cell, ...]]:
    for number, marked in enumerate(comparison.changes, start=1):
        change = marked.change
        yield (
            str(number),
            change_in_words(marked),
            _cell(change.before),
            _cell(change.after),
            mark_of(comparison, marked),
        )


def change_in_words(marked: MarkedChange) -> str:
    """What changed, with what had to come along."""
    together = f" (together with {', '.join(marked.together_with)})" if marked.together_with else ""
    return f"{marked.change.words}{together}"


def _cell(reading: Reading | None) -> Cell:
    if reading is None:
        return ""
    is_formula = reading.text == reading.expression and any(map(str.isalpha, reading.text))
    return Code(reading.text) if is_formula else reading.text


def _shown_by(comparison: Comparison) -> Iterator[Block]:
    found = [(number, marked) for number, marked in enumerate(comparison.changes, start=1) if _says_more(marked)]
    if found:
        yield Heading(2, "Deals that show it")
    for number, marked in found:
        yield Heading(3, f"{number}. {change_in_words(marked)}")
        if marked.effect.mark is Mark.NOT_PROVED:
            yield Paragraph(effect_in_words(marked.effect))
        if deals := tuple(_deals(marked.effect)):
            yield Points(deals)


def _says_more(marked: MarkedChange) -> bool:
    return marked.effect.mark is not Mark.NEUTRAL


def _deals(effect: Effect) -> Iterator[str]:
    return (str(shown(answer.witness)) for answer in effect if answer.witness)
