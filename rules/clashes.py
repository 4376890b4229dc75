"""Rows of one table that must not hold together, and can: overlaps under `unique`, contradictions under `any`.

Either leaves a deal without a limit although every field of it is known, so either is an error.
"""

from collections.abc import Iterator
from fractions import Fraction

from dealgate.rules.expressions import Expression
from dealgate.rules.fields import Unit
from dealgate.rules.policy import Limit, Row
from dealgate.rules.proof import Answer, Prover, Verdict, Witness
from dealgate.rules.remarks import Remark, of_row, row_name
from dealgate.rules.tracing import whole_cents

MOST_CLASHES = 20
"""Rows of one table of which this is told; a wrong column would be told for each of its rows."""


def clashes(prover: Prover, limit: Limit) -> Iterator[Remark]:
    """Each row that clashes with an earlier one, with a deal for which both hold."""
    match limit.hit_policy:
        case "unique":
            yield from _Clashes(prover, limit, differ=False).remarks()
        case "any":
            yield from _Clashes(prover, limit, differ=True).remarks()
    if limit.hit_policy in {"any", "collect"}:
        yield from _repeats(limit)


class _Clashes:
    def __init__(self, prover: Prover, limit: Limit, *, differ: bool) -> None:
        self.prover = prover
        self.limit = limit
        self.differ = differ
        self.open = dict(prover.encoder.clashes(limit.name))

    def remarks(self) -> Iterator[Remark]:
        """One question asks for any clash; the row that it finds is left out of the next."""
        for _ in range(MOST_CLASHES):
            answer = self.prover.ask(self.prover.terms.some(self.open.values()), self._confirms)
            if answer.verdict is Verdict.IMPOSSIBLE:
                return
            if answer.witness is None:
                yield self._undecided(answer.why)
                return
            row = next(row for row in self.open if self._rival(answer.witness, row) is not None)
            yield self._found(row, answer)

    def _found(self, row: int, answer: Answer) -> Remark:
        def confirms(deal: Witness) -> bool:
            return self._rival(deal, row) is not None

        found = self.prover.plausible(self.open.pop(row), answer, confirms).witness
        assert found
        rival = self._rival(found, row)
        assert rival
        both = f"this row and {row_name(rival)} can both hold"
        clash = " with different limits, and then hit_policy any" if self.differ else ", and then hit_policy unique"
        hint = "Make them agree, or use first or priority." if self.differ else "Narrow one, or use first or priority."
        return of_row(
            self.limit,
            self.limit.rows[row],
            f"{both}{clash} gives none",
            hint,
            part="when",
            witness=dict(found.document),
        )

    def _undecided(self, why: str) -> Remark:
        what = "with different limits" if self.differ else "together"
        message = f"not decided whether two rows of {self.limit.name} can hold {what}: {why}"
        return Remark(("limits", self.limit.name), message, is_warning=True)

    # What a deal says of it

    def _confirms(self, deal: Witness) -> bool:
        return any(self._rival(deal, row) is not None for row in self.open)

    def _rival(self, deal: Witness, index: int) -> Row | None:
        """The first row that holds, where this one holds beside it and must not."""
        row = self.limit.rows[index]
        first = next((other for other in self.limit.rows if _holds(deal, other)), None)
        if first is None or first is row or not _holds(deal, row):
            return None
        if not self.differ:
            return first
        values = self._value(deal, first), self._value(deal, row)
        return first if None not in values and values[0] != values[1] else None

    def _value(self, deal: Witness, row: Row) -> Fraction | None:
        value: Fraction | None = deal.trace.value(row.limit)
        return Fraction(whole_cents(value)) if value is not None and self.limit.unit == Unit.MONEY else value


def _holds(deal: Witness, row: Row) -> bool:
    return row.when is None or deal.trace.value(row.when) is True


def _repeats(limit: Limit) -> Iterator[Remark]:
    """A row under `any` or `collect` that says what an earlier one says: needless, or counted twice."""
    seen: dict[tuple[Expression | None, Expression], Row] = {}
    for row in limit.rows:
        other = seen.setdefault((row.when, row.limit), row)
        if other is not row:
            effect = "is counted twice" if limit.aggregate in {"sum", "count"} else "changes nothing"
            message = f"this row repeats {row_name(other)}: it {effect}"
            yield of_row(limit, row, message, "Drop one of the two, unless it is meant.", is_warning=True)
