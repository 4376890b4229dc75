"""Everything that can be found out about a policy document before it is used: mistakes, doubtful words, proofs.

Reading a policy, which every gate does at its start, finds mistakes of form. A review also asks the solver, and takes
seconds: `dealgate policy check` runs it, and so should whoever publishes a policy.
"""

from dataclasses import replace
from typing import Any, NamedTuple

from lark import Tree

from dealgate.rules.document import List, Node, Place, PolicyError, Problem, Report, Scalar, Table, parse_yaml
from dealgate.rules.limit_reading import gap_message
from dealgate.rules.parsing import parse
from dealgate.rules.policy import Policy
from dealgate.rules.questions import Questions
from dealgate.rules.reading import read_policy
from dealgate.rules.remarks import Path
from dealgate.rules.smt import ProofUnavailableError
from dealgate.rules.table_files import FindTable
from dealgate.rules.words import word_remarks

MOST_QUESTIONS = 10_000
"""Rules and rows of one policy; beyond it the proofs would take the patience of whoever waits for them."""


class Review(NamedTuple):
    """Errors and warnings in the order of the text. `policy` is None for a document that cannot be read."""

    policy: Policy | None
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    proved: int = 0
    """Guarantees that hold for every possible deal."""

    def document(self) -> dict[str, Any]:
        """As an editor, a pipeline or a caller reads it."""
        policy = self.policy
        return {
            "policy": {"name": policy.name, "version": policy.version, "sha256": policy.sha256} if policy else None,
            "errors": [problem.document() for problem in self.errors],
            "warnings": [problem.document() for problem in self.warnings],
            "guarantees": {"stated": len(policy.guarantees) if policy else None, "proved": self.proved},
        }


def review_policy(text: str, file: str = "policy", find_table: FindTable | None = None) -> Review:
    """Read a policy document and ask everything of it; `find_table` gives the content of a table's file.

    Raises nothing for a document that makes no sense.
    """
    gaps: tuple[Problem, ...] = ()
    try:
        policy = read_policy(text, file, find_table)
    except PolicyError as error:
        policy_with_gaps = _read_past_gaps(text, file, find_table)
        if policy_with_gaps is None:
            return Review(None, error.problems)
        policy, gaps = policy_with_gaps, error.problems
    text = text.removeprefix("\ufeff")
    root = parse_yaml(text)
    report = Report(file, text)
    for word in word_remarks(policy, root):
        _add(report, Problem(file, word.place, word.message, word.suggestion, is_warning=word.is_warning))
    proved = _prove(report, policy, root, gaps)
    ordered = PolicyError(report.problems).problems
    errors = tuple(problem for problem in ordered if not problem.is_warning)
    warnings = tuple(problem for problem in ordered if problem.is_warning)
    return Review(None if gaps else policy, errors, warnings, proved)


def _read_past_gaps(text: str, file: str, find_table: FindTable | None) -> Policy | None:
    """The policy of a document that has no other mistake than tables with gaps: so that a deal in the gap can be shown."""
    try:
        return read_policy(text, file, find_table, allow_gaps=True)
    except PolicyError:
        return None


def _prove(report: Report, policy: Policy, root: Node, gaps: tuple[Problem, ...]) -> int:
    try:
        if (size := len(policy.rules) + sum(len(limit.all_rows) for limit in policy.limits.values())) > MOST_QUESTIONS:
            raise ProofUnavailableError(
                f"{size:,} rules and rows are more than the {MOST_QUESTIONS:,} that are asked about"
            )
        told = {gap.message for gap in gaps}
        questions = Questions(policy, [name for name in policy.limits if gap_message(name) in told])
    except ProofUnavailableError as error:
        report.problems += gaps
        message = f"nothing was proved about rows, rules and guarantees: {error}"
        report.problems.append(Problem(report.file, Place(1, 1), message, is_warning=True))
        return 0
    gap_places = {gap.message: gap.place for gap in gaps}  # where reading told them, with or without the solver
    for remark in questions.remarks():
        place = gap_places.get(remark.message) or _place(root, remark.path, remark.part)
        problem = Problem(report.file, place, remark.message, remark.suggestion, is_warning=remark.is_warning)
        if remark.witness:
            problem = replace(problem, witness={**remark.witness, "deal_id": f"LINE-{place.line}"})
        _add(report, problem)
    return len(questions.proved)


def _add(report: Report, problem: Problem) -> None:
    report.add(problem.place, problem.message, problem.suggestion)
    source_line = report.problems[-1].source_line
    report.problems[-1] = replace(problem, source_line=source_line)


def _place(root: Node, path: Path, part: tuple[int, ...]) -> Place:
    """Where a value stands, or the part of it that operand after operand leads to."""
    if path[2:3] == ("table",):  # a row of a file: the message says which
        path = path[:3]
    node, place = root, root.place
    for step in path:
        if isinstance(node, Table) and step in node.entries:
            key = node.keys[str(step)]
            place, node = key.at(0, len(key.value)), node.entries[str(step)]
        elif isinstance(node, List) and isinstance(step, int):
            node = node.items[step]
            place = node.place
    return node.at(*_span(node.value, part)) if isinstance(node, Scalar) else place


def _span(text: str, part: tuple[int, ...]) -> tuple[int, int]:
    syntax = parse(text) if part else None
    for step in part:
        if isinstance(syntax, Tree) and syntax.data in {"any_of", "all_of", "negated"}:
            syntax = syntax.children[step]
    if isinstance(syntax, Tree):
        return syntax.meta.start_pos, syntax.meta.end_pos
    return (syntax.start_pos or 0, syntax.end_pos or 0) if syntax is not None else (0, len(text))
