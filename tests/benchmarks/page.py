"""The page of results: what was measured, tables of ratios, and which bars of the design are met."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from statistics import median

from tests.benchmarks import contenders, peers
from tests.benchmarks.breakdown import Part
from tests.benchmarks.cold_start import BARE, SQLALCHEMY
from tests.benchmarks.deals import DISTINCT, ROTATION
from tests.benchmarks.engine import QUICK, RULES_FOR_VIOLATIONS, SIZES, VIOLATED, Measured
from tests.benchmarks.machine import describe
from tests.benchmarks.memory import DOCUMENT_OF, SAMPLE_EVERY, WORSE_OF, Memory
from tests.benchmarks.timing import Ratio, Rounds, ratio

HEAD = """\
# Benchmarks

`make bench` writes the section on one evaluation, `make bench-memory` the section on memory; each says when and on what.
The numbers that count are ratios between contenders of one run. Microseconds are this machine's, and another machine's differ.
"""

WHAT = {**contenders.WHAT, **peers.WHAT}


def write_section(path: Path, name: str, text: str, head: str = HEAD) -> None:
    """Replace one section of the page and leave the others as they are. `head` is what a new page begins with."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    page = path.read_text(encoding="utf-8") if path.exists() else head
    before, found, rest = page.partition(begin)
    after = rest.partition(end)[2] if found else ""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{before if found else page + chr(10)}{begin}{text.strip()}\n{end}{after}", encoding="utf-8")


def engine_section(measured: Measured, picture: str) -> str:
    small = measured.rounds[SIZES[0]]
    parts = [
        "## One evaluation",
        describe(),
        _method(measured),
        "### The bars of the design",
        _bars(small),
        _how_far(small),
        *(f"### {size} rules, {VIOLATED} violated\n\n" + _comparison(measured.rounds[size]) for size in SIZES),
        "Each number in the last two columns is a median over rounds of the ratio within the round, with its range.",
        "### What each contender does",
        _table(("contender", "what is timed"), WHAT.items()),
        _given(),
        "### More rules, more violations",
        f"![Evaluation time against the number of rules and of violations]({picture})",
        "Microseconds, by rules in the policy:",
        _scaling(measured.by_rules),
        f"Microseconds, by rules violated out of {RULES_FOR_VIOLATIONS}:",
        _scaling(measured.by_violations),
        "### Where the time goes",
        _breakdown(measured.parts),
        f"Over {DISTINCT:,} different deals, none of which comes twice, an evaluation with its evidence takes "
        f"{measured.caches.distinct / measured.caches.repeating:.2f} times what it takes over the rotation of {ROTATION}.",
        "### Cold start",
        _cold(measured.cold),
        _compiling(measured.compiling),
    ]
    return "\n\n".join(parts)


def _method(measured: Measured) -> str:
    effort = measured.effort
    rough = "**A quick run, the numbers are rough.** " if effort == QUICK else ""
    return (
        f"{rough}{effort.rounds} rounds; in every round each contender in turn has about {effort.seconds * 1000:.0f} ms on the same "
        f"{ROTATION} deals, after a warm-up of its own (the scaling runs: {effort.scaling_rounds} of "
        f"{effort.scaling_seconds * 1000:.0f} ms). Times are processor time: what other programs do to the clock on the wall "
        "does not count. The garbage collector runs, but does not walk what the benchmark itself keeps. Before anything is "
        "timed, every contender must find exactly the same violated rules on every deal."
    )


def _given() -> str:
    return (
        "The policies are generated: rules on eleven measures (LTV, negative equity, PTI, DTI, amount, term, mileage, age, score), "
        "about half of them with a table of limits by tier, one rule in five with `applies` (half of those apply), one layered. "
        "**The peers are given more than dealgate**: every measure as a finished integer and the tier's limit looked up, so that "
        "a rule is one comparison of two numbers (two for the layered one). dealgate is given the deal, and computes "
        "measures and limits in the time shown. durable_rules also gets a sentinel rule, without which it crashes, a `Host` "
        "without its timer threads, and one ruleset for each 200 rules."
    )


def _bars(small: Rounds) -> str:
    traced = (peers.ZEN_TRACED, peers.ZEN_CELLS_TRACED, peers.ZEN_EXPRESSIONS_TRACED)
    untraced = (peers.ZEN, peers.ZEN_CELLS, peers.ZEN_EXPRESSIONS)
    durable = (peers.DURABLE_HOST, peers.DURABLE_MODULE)
    rows = [
        *_bar("one evaluation, evidence kept: faster than traced Zen", small, contenders.UNREAD, traced, 1.0),
        *_bar(
            "one evaluation, evidence kept: at most twice bare durable_rules", small, contenders.UNREAD, durable, 2.0
        ),
        *_bar(
            "one evaluation, every sentence written: faster than traced Zen", small, contenders.DEALGATE, traced, 1.0
        ),
        *_bar(
            "one evaluation, every sentence written: at most twice bare durable_rules",
            small,
            contenders.DEALGATE,
            durable,
            2.0,
        ),
        *_bar("reference alone: a fifth of untraced Zen", small, contenders.REFERENCE, untraced, 0.2),
        *_bar(
            "reference on laid-out facts: a fifth of untraced Zen", small, contenders.REFERENCE_ON_FACTS, untraced, 0.2
        ),
    ]
    note = (
        f"At {SIZES[0]} rules. The design asks for an evaluation with all its evidence and does not say in which form, so both are held "
        "against its bar. *Evidence kept*: when `evaluate` returns, both evaluators have judged and every result, value and limit "
        "that decides stands fixed in exact integers; nothing that is read later can change it. *Every sentence written*: each "
        "finding is also put into words, passes included, which no peer does."
    )
    return _table(("bar", "peer", "dealgate's time / the peer's", "at most", ""), rows) + "\n\n" + note


def _how_far(small: Rounds) -> str:
    """What the bars ask of a program in Python that asks durable_rules each time."""
    return (
        "How far the bars can be reached from Python with durable_rules inside: the C module alone, with all measures handed to "
        f"it, takes {_shown(ratio(small, peers.DURABLE_MODULE, peers.ZEN_TRACED))} times the traced Zen table, "
        f"{_shown(ratio(small, peers.DURABLE_MODULE, peers.ZEN_CELLS_TRACED))} times the traced table of one column. Plain "
        f"Python that computes the measures itself takes {_shown(ratio(small, contenders.BY_HAND_WITH_MEASURES, peers.ZEN))} "
        f"times the untraced Zen table, {_shown(ratio(small, contenders.BY_HAND_WITH_MEASURES, peers.ZEN_CELLS))} times the "
        "untraced table of one column; the measures alone, without one rule, take "
        f"{_shown(ratio(small, contenders.MEASURES_BY_HAND, peers.ZEN))} and "
        f"{_shown(ratio(small, contenders.MEASURES_BY_HAND, peers.ZEN_CELLS))}. Zen is given them. What the traces tell "
        "differs: Zen's of the rows that matched (a table) or of every rule's "
        "truth (expressions), none of them of a margin, a reason or an unknown value."
    )


def _bar(what: str, small: Rounds, ours: str, theirs: Sequence[str], most: float) -> Iterator[tuple[str, ...]]:
    """One row for each form of the peer."""
    for peer in theirs:
        found = ratio(small, ours, peer)
        yield what, peer, _shown(found), f"{most:g}", "met" if found.middle <= most else "**missed**"


def _comparison(rounds: Rounds) -> str:
    rows = [
        (
            name,
            _microseconds(median(rounds[name])),
            _shown(ratio(rounds, name, peers.ZEN_TRACED)),
            _shown(ratio(rounds, name, peers.DURABLE_HOST)),
        )
        for name in rounds
    ]
    return _table(("contender", "µs", "times the traced Zen table", "times durable_rules through `Host`"), rows)


def _scaling(measured: Mapping[int, Rounds]) -> str:
    names = list(next(iter(measured.values())))
    rows = [(name, *(_microseconds(median(rounds[name])) for rounds in measured.values())) for name in names]
    return _table(("contender", *map(str, measured)), rows)


def _breakdown(parts: Sequence[Part]) -> str:
    whole = parts[0].microseconds
    rows = [
        (
            "\u2003" * part.indent + part.name,
            _microseconds(part.microseconds),
            f"{100 * part.microseconds / whole:.0f} %",
        )
        for part in parts
    ]
    note = (
        f"{SIZES[0]} rules, {VIOLATED} violated. The indented parts add up to the first line: they are clocked inside "
        "running evaluations, and the line on agreement is what remains. The last four lines come on top."
    )
    return note + "\n\n" + _table(("part", "µs", "of the evaluation"), rows)


def _cold(cold: Mapping[str, float]) -> str:
    bare, heavy = cold[BARE], cold[SQLALCHEMY]
    rows = [(name, f"{time:.0f}", f"{time / bare:.1f}", f"{time / heavy:.2f}") for name, time in cold.items()]
    note = f"A fresh process each time, {SIZES[0]} rules, bytecode written and file caches warm as on any machine that started it before."
    return note + "\n\n" + _table(("program", "ms", "times the bare interpreter", "times `import sqlalchemy`"), rows)


def _compiling(found: Iterable[tuple[int, float, float]]) -> str:
    rows = [(str(rules), f"{read:.0f}", f"{compiled:.0f}") for rules, read, compiled in found]
    return "Once for each policy version:\n\n" + _table(("rules", "ms to read and check", "ms to compile"), rows)


def memory_section(runs: Sequence[Memory]) -> str:
    rows = [
        (
            str(run.threads),
            f"{run.evaluations:,}",
            f"{run.violated_deals:,}",
            f"{run.wrong:,}",
            *(f"{size:.1f}" for size in _stations(run.megabytes)),
            f"{run.growth:+.2f}" if isfinite(run.growth) else "too short to tell",
            f"{run.evaluations / run.seconds:,.0f}",
        )
        for run in runs
    ]
    head = (
        "threads",
        "evaluations",
        "of violated deals",
        "wrong",
        "MB before",
        "after the first block",
        "after half",
        "at the end",
        "bytes an evaluation",
        "a second",
    )
    text = (
        f"{describe()} 40 rules, one deal in {WORSE_OF} breaks some of them, the others are clean; all threads share one compiled "
        "policy, the runs follow each other in one process. Every result of every evaluation is compared with what is expected "
        "(the reference's result, confirmed by rules written by hand); of one evaluation in "
        f"{DOCUMENT_OF} the whole document is written. Resident memory is read after every block of {SAMPLE_EVERY:,}; its growth is "
        "the slope over the blocks after the first tenth."
    )
    return "\n\n".join(["## Memory over many evaluations", text, _table(head, rows), *map(_course, runs)])


def _stations(megabytes: Sequence[float]) -> tuple[float, float, float, float]:
    return megabytes[0], megabytes[1], megabytes[len(megabytes) // 2], megabytes[-1]


def _course(run: Memory) -> str:
    course = ", ".join(f"{size:.1f}" for size in run.megabytes)
    return f"MB block by block, {run.threads} thread{'s' if run.threads > 1 else ''}: {course}."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _shown(found: Ratio) -> str:
    return f"{_number(found.middle)} ({_number(found.least)} to {_number(found.most)})"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _microseconds(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"
