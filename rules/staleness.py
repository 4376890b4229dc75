"""Why an input is stale, in a dealer's words: which quote, value or report, of what day, and what to ask for.

No lever of the structure mends a date, so the words name what does: a fresh quote, another look into the guide, a new report.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import date

from dealgate.rules.amounts import dollars
from dealgate.rules.expressions import BookValueAsOf, Expression, FieldName, ItemName, ListedValueAsOf
from dealgate.rules.fields import Facts, Unit, basis_name
from dealgate.rules.policy import Policy
from dealgate.rules.tracing import Trace

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

NAMED_QUOTE = "The payoff quote of "
"""What follows names a lienholder: whoever may not learn it must not read the sentence."""

Tells = Callable[[Trace], Iterator[str]]

GOOD_THROUGH = ItemName("payoff_good_through", Unit.DATE)


def tells_of_quotes(policy: Policy, expression: Expression) -> bool:
    """Whether lienholders may be named."""
    return GOOD_THROUGH in policy.everything_read(expression)


def in_words(day: date) -> str:
    return f"{MONTHS[day.month - 1]} {day.day}, {day.year}"


def staleness_told(policy: Policy, expression: Expression) -> tuple[Tells, ...]:
    """What can be told of the dates that an expression reads, directly or through measures and limits."""
    told = {
        GOOD_THROUGH: _of_quotes,
        FieldName("credit_report_as_of", Unit.DATE): _of_the_report,
        ListedValueAsOf(): _of_the_listed_value,
    }
    nodes = list(policy.everything_read(expression))
    own = [_of_a_value(node.basis) for node in nodes if isinstance(node, BookValueAsOf)]
    return (*(tell for node, tell in told.items() if node in nodes), *own)


def _of_quotes(trace: Trace) -> Iterator[str]:
    funding = trace.facts["expected_funding_on"]
    for number, trade in enumerate(trace.facts["trade_ins"], start=1):
        good_through = trade["payoff_good_through"]
        if trade["payoff"] and good_through and funding and good_through < funding:
            yield _of_quote(number, trade, good_through, funding)


def _of_quote(number: int, trade: Facts, good_through: date, funding: date) -> str:
    whose = NAMED_QUOTE + trade["lienholder"] if trade.get("lienholder") else f"The payoff quote for trade-in {number}"
    days = (funding - good_through).days
    missing = ""
    if (per_diem := trade["per_diem"]) is not None:
        missing = f"; at {dollars(per_diem)} a day, {dollars(per_diem * days)} is missing"
    return (
        f" {whose} was good through {in_words(good_through)}; funding is expected {_days(days)} later{missing}. "
        f"Ask for a quote that is good through {in_words(funding)}."
    )


def _of_the_listed_value(trace: Trace) -> Iterator[str]:
    if (basis := trace.listed_basis()) is not None:
        yield from _of_a_value(basis)(trace)


def _of_a_value(basis: str) -> Tells:
    def tell(trace: Trace) -> Iterator[str]:
        as_of = trace.facts["values_as_of"].get(basis)
        if ago := _before_submission(trace.facts, as_of):
            yield f" The vehicle has {basis_name(basis)} of {ago}. Look it up again."

    return tell


def _of_the_report(trace: Trace) -> Iterator[str]:
    if ago := _before_submission(trace.facts, trace.facts["credit_report_as_of"]):
        yield f" The credit report is of {ago}. A new one is needed."


def _before_submission(facts: Mapping[str, date | None], day: date | None) -> str:
    submitted = facts["submitted_on"]
    if day is None or submitted is None or day >= submitted:
        return ""
    return f"{in_words(day)}, {_days((submitted - day).days)} before the deal was submitted"


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number:,} days"
