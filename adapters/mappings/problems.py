"""What can be wrong: a mapping document that makes no sense, or a payload that cannot be mapped."""

from collections.abc import Iterable
from decimal import Decimal

from dealgate.rules.deal import DealError, Problem
from dealgate.rules.document import PolicyError


class MappingDocumentError(PolicyError):
    """A mapping document that makes no sense, with every problem found in it: file, line, column."""


class MappingProblem(Problem):
    """One thing of a payload that cannot be mapped. `field` is of the deal document, `source` the place in the payload."""

    source: str
    mapping: str

    def __new__(cls, field: str, value: str, message: str, remedy: str, source: str) -> "MappingProblem":
        problem = super().__new__(cls, field, value, message, remedy)
        problem.source, problem.mapping = source, ""
        return problem

    def __str__(self) -> str:
        places = [place for place in (self.source, self.field) if place]
        return f"{self.mapping}: {' -> '.join(places)}: {self.message} (got {self.value}). {self.remedy}"


class MappingError(DealError):
    """A payload that gives no deal, with every problem found in it, and the deal's id as far as it was found."""

    problems: tuple[MappingProblem, ...]

    def __init__(self, problems: Iterable[MappingProblem], mapping: str, deal_id: str = "") -> None:
        self.deal_id = deal_id
        problems = list(problems)
        for problem in problems:
            problem.mapping = mapping
        super().__init__(problems)


class UnreadableError(ValueError):
    """A payload that cannot be read at all. `place` says where, as far as it is known."""

    def __init__(self, message: str, remedy: str, got: str, place: str = "(payload)") -> None:
        super().__init__(message)
        self.problem = MappingProblem("", got, message, remedy, place)


def shown(value: object) -> str:
    """A value as a message repeats it."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else f"{len(value)} values"
    text = repr(str(value)) if isinstance(value, str | Decimal) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
