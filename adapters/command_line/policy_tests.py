"""`dealgate policy test`: the examples with what differs, what they cover, and the deals around every limit."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dealgate.adapters.command_line.failures import FAILED_EXAMPLES, exit_codes, refuse
from dealgate.adapters.command_line.new_files import refuse_existing, write_new

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from dealgate.adapters.policies import PolicyDocument
    from dealgate.rules.boundaries import Boundary, Case, NoBoundary
    from dealgate.rules.coverage import Coverage, Tried
    from dealgate.rules.evaluation import CompiledPolicy
    from dealgate.rules.policy import Policy

RESULTS = (
    ("pass", "Pass"),
    ("violated", "Violated"),
    ("mitigated", "Mitigated"),
    ("not_evaluable", "Unknown"),
    ("not_applicable", "Not applicable"),
)


def run_tests(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A policy file, or a shipped policy by name.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")] = False,
    boundaries: Annotated[
        bool, typer.Option("--boundaries", help="Find the deals just below, at and just above every limit.")
    ] = False,
    write: Annotated[
        str | None, typer.Option("--write", metavar="FILE", help="Write those deals as examples, in YAML.")
    ] = None,
) -> None:
    """Run the examples of a policy: what differs, and what they cover."""
    from dealgate.adapters.policies import load_policy  # noqa: PLC0415
    from dealgate.rules.boundaries import find_boundaries  # noqa: PLC0415
    from dealgate.rules.coverage import coverage_of, try_examples  # noqa: PLC0415

    with exit_codes():
        if write is not None:
            if not boundaries:
                refuse(["--write: writes the deals that --boundaries finds. Give both."])
            refuse_existing(write)
        document = load_policy(file)
        compiled = _compiled(document)
        tried = try_examples(compiled)
        coverage = coverage_of(document.policy, tried)
        found = list(find_boundaries(compiled)) if boundaries else None
        if write is not None:
            write_new(write, _examples_text(document.policy, found or []))
        if as_json:
            print(json.dumps(_document(document.policy, tried, coverage, found), ensure_ascii=False, indent=2))
        else:
            _show(document.policy, tried, coverage, found, write)
        if not all(one.holds for one in tried):
            raise typer.Exit(FAILED_EXAMPLES)


def _compiled(document: "PolicyDocument") -> "CompiledPolicy":
    """Ready to evaluate, whether or not its examples hold."""
    from dealgate.rules.conjunctions import TangledRuleError  # noqa: PLC0415
    from dealgate.rules.evaluation import CompiledPolicy  # noqa: PLC0415

    try:
        return CompiledPolicy(document.policy)
    except TangledRuleError as error:
        refuse([f"{document.policy.file}:1:1: error: {error}"])


# In the terminal


def _show(
    policy: "Policy",
    tried: Sequence["Tried"],
    coverage: "Coverage",
    found: Sequence["Boundary | NoBoundary"] | None,
    written: str | None,
) -> None:
    from dealgate.adapters.command_line.terminal import standard_output  # noqa: PLC0415

    console = standard_output()
    for part in (*_failures(policy, tried), _rules_table(coverage), "", _rows_table(policy, coverage), ""):
        console.print(part)
    if found is not None:
        console.print(_boundaries_table(found))
        for line in _without_boundary(found):
            console.print(line, markup=False, highlight=False)
        console.print()
    for line in _summary(policy, tried, coverage, found):
        console.print(line, markup=False, highlight=False)
    if written is not None:
        console.print(f"{written}: {_count_cases(found or [])} examples written", markup=False, highlight=False)


def _failures(policy: "Policy", tried: Iterable["Tried"]) -> Iterable["RenderableType"]:
    from rich.padding import Padding  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    for one in tried:
        if one.holds:
            continue
        where = f"  ({policy.file}:{one.example.line})" if one.example.line else ""
        yield Text.assemble(("FAILS", "bold red"), f"  {one.example.name}", (where, "dim"))
        table = _table(("", "Expected", "Found", ""))
        for part in one.differences:
            table.add_row(
                Text(part.what), Text(part.expected, "green"), Text(part.found, "red"), Text(part.explanation)
            )
        yield Padding(table, (0, 0, 1, 2))


def _table(columns: Iterable[str], right: Iterable[str] = ()) -> "Table":
    from rich.table import Table  # noqa: PLC0415

    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table


def _rules_table(coverage: "Coverage") -> "RenderableType":
    names = [name for _, name in RESULTS]
    table = _table(("Rule", *names), names)
    for rule, results in coverage.rules.items():
        counts = {result.value: count for result, count in results.items()}
        table.add_row(rule, *(str(counts.get(result, 0) or ".") for result, _ in RESULTS))
    return table


def _rows_table(policy: "Policy", coverage: "Coverage") -> "RenderableType":
    from rich.text import Text  # noqa: PLC0415

    table = _table(("Limit", "Row", "Hits", "Where"), ("Hits",))
    for name, rows in coverage.rows.items():
        for row in rows:
            hits = Text(f"{row.hits:,}") if row.hits else Text("never", style="yellow")
            table.add_row(name, row.name.removeprefix("row "), hits, Text(row.origin, style="dim"))
    return table if policy.limits else Text("No limits.")


def _boundaries_table(found: Iterable["Boundary | NoBoundary"]) -> "RenderableType":
    from rich.text import Text  # noqa: PLC0415

    from dealgate.rules.boundaries import SIDES, Boundary  # noqa: PLC0415

    table = _table(("Rule", "Row", "Below", "At", "Above", "Moved"))
    for part in found:
        if isinstance(part, Boundary) and part.cases:
            cells = [Text(_case_words(part.case(side))) for side in SIDES]
            table.add_row(part.target.rule.id, Text(_row_words(part)), *cells, Text(_moved_words(part)))
    return table


def _row_words(part: "Boundary") -> str:
    from dealgate.rules.writing import expression_text  # noqa: PLC0415

    return part.target.row_name or expression_text(part.target.comparison)


def _case_words(case: "Case | None") -> str:
    return "-" if case is None else case.result.value.replace("_", " ")


def _moved_words(part: "Boundary") -> str:
    return f"{part.moved} by {part.moved.size}" if part.moved else ""


def _without_boundary(found: Iterable["Boundary | NoBoundary"]) -> Iterable[str]:
    from dealgate.rules.boundaries import Boundary  # noqa: PLC0415

    for part in found:
        if not isinstance(part, Boundary):
            yield f"{part.rule.id}: {part.reason}"
        elif part.note:
            yield f"{part.target.rule.id}, {_row_words(part)}: {part.note}"


def _summary(
    policy: "Policy", tried: Sequence["Tried"], coverage: "Coverage", found: Sequence["Boundary | NoBoundary"] | None
) -> Iterable[str]:
    holding = sum(one.holds for one in tried)
    rows = sum(map(len, coverage.rows.values()))
    yield f"{policy.name} {policy.version}: {holding} of {len(tried)} examples hold"
    yield f"{coverage.rules_both_ways} of {len(policy.rules)} rules are both kept and broken by an example"
    if rows:
        yield f"{rows - len(coverage.never_hit)} of {rows} rows are hit"
    if found is not None:
        whole, limits = _count_whole(found), _count_limits(found)
        yield f"{whole} of {limits} limits have a deal below, at and above; {_count_cases(found)} deals in all"


def _count_limits(found: Iterable["Boundary | NoBoundary"]) -> int:
    from dealgate.rules.boundaries import Boundary  # noqa: PLC0415

    return sum(isinstance(part, Boundary) for part in found)


def _count_whole(found: Iterable["Boundary | NoBoundary"]) -> int:
    from dealgate.rules.boundaries import SIDES, Boundary  # noqa: PLC0415

    return sum(isinstance(part, Boundary) and len(part.cases) == len(SIDES) for part in found)


def _count_cases(found: Iterable["Boundary | NoBoundary"]) -> int:
    from dealgate.rules.boundaries import Boundary  # noqa: PLC0415

    return sum(len(part.cases) for part in found if isinstance(part, Boundary))


# As JSON


def _document(
    policy: "Policy", tried: Sequence["Tried"], coverage: "Coverage", found: Sequence["Boundary | NoBoundary"] | None
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "policy": {"name": policy.name, "version": policy.version, "sha256": policy.sha256},
        "holds": all(one.holds for one in tried),
        "examples": [
            {
                "name": one.example.name,
                "line": one.example.line,
                "holds": one.holds,
                "outcome": one.outcome,
                "differences": [part._asdict() for part in one.differences],
            }
            for one in tried
        ],
        "coverage": {
            "rules": {
                rule: {result.value: count for result, count in counts.items() if count}
                for rule, counts in coverage.rules.items()
            },
            "limits": {
                name: [{"row": row.name, "origin": row.origin, "hits": row.hits} for row in rows]
                for name, rows in coverage.rows.items()
            },
        },
    }
    return document if found is None else document | {"boundaries": [_boundary_document(part) for part in found]}


def _boundary_document(part: "Boundary | NoBoundary") -> dict[str, Any]:
    from dealgate.rules.boundaries import SIDES, Boundary  # noqa: PLC0415
    from dealgate.rules.writing import expression_text  # noqa: PLC0415

    if not isinstance(part, Boundary):
        return {"rule": part.rule.id, "note": part.reason}
    target = part.target
    cases = {side: case for side in SIDES if (case := part.case(side))}
    return {
        "rule": target.rule.id,
        "comparison": expression_text(target.comparison),
        "limit": target.limit.name if target.limit else None,
        "row": target.row + 1 if target.limit else None,
        "moved": str(part.moved) if part.moved else None,
        "cases": {
            side: {"result": case.result.value, "outcome": case.evaluation.outcome.value, "deal": case.deal}
            for side, case in cases.items()
        },
        "note": part.note,
    }


# As examples of the document


def _examples_text(policy: "Policy", found: Iterable["Boundary | NoBoundary"]) -> str:
    import yaml  # noqa: PLC0415

    from dealgate.rules.boundaries import Boundary, as_example  # noqa: PLC0415

    entries = [as_example(part, case) for part in found if isinstance(part, Boundary) for case in part.cases]
    dumped = "".join(
        yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
        for entry in entries
    )
    head = (
        f"# The deals just below, at and just above every limit of {policy.name} {policy.version}, by dealgate policy test.\n"
        "# Paste them below the policy's own `examples:`, once somebody has read that each is meant so.\n"
    )
    if not entries:
        return f"{head}examples: []\n"
    return f"{head}examples:\n" + "".join(f"  {line}\n" for line in dumped.splitlines())
