"""What changed from one version of a policy to another, part by part, in the words of credit policy.

Each change also comes as the first version with this change alone, so that what it does to deals can be asked by itself.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property, partial
from typing import Any, TypeVar

from dealgate.rules.authority import Overrides
from dealgate.rules.equity import Equity
from dealgate.rules.expressions import Expression, LimitName, Number
from dealgate.rules.fields import basis_name
from dealgate.rules.isolation import Alone, Part, alone, take
from dealgate.rules.phrasing import phrase, title_of
from dealgate.rules.policy import Example, Limit, Measure, Policy, Row, Rule
from dealgate.rules.row_differences import Reordered, RowChange, row_changes
from dealgate.rules.sameness import meaning
from dealgate.rules.writing import expression_text, number_text

Found = TypeVar("Found")


@dataclass(frozen=True)
class Reading:
    """What stood there, or stands there now: in words, and as the document has it where that is an expression."""

    text: str
    expression: str = ""


@dataclass(frozen=True)
class Change:
    """One change. `isolate` makes the first version with it and no other; None where no outcome can rest on it."""

    part: str
    """`policy`, `assumption`, `measure`, `limit`, `rule`, `guarantee`, `override` or `example`."""
    name: str
    what: str
    """`added`, `removed`, or which entry of the part changed."""
    words: str
    before: Reading | None = None
    after: Reading | None = None
    isolate: Callable[[], Alone] | None = None

    @property
    def bears_on_outcomes(self) -> bool:
        return self.isolate is not None

    @cached_property
    def alone(self) -> Alone | None:
        return self.isolate() if self.isolate else None


def differences(first: Policy, second: Policy) -> tuple[Change, ...]:
    """Every change, in the order of the document. Names, versions and hashes of the two are not among them."""
    found = _Differences(first, second)
    return (
        *found.head(),
        *found.assumptions(),
        *found.measures(),
        *found.limits(),
        *found.rules(),
        *found.promises(),
        *found.overrides(),
    )


class _Differences:
    def __init__(self, first: Policy, second: Policy) -> None:
        self.first = first
        self.second = second

    def _alone(self, part: Part) -> Callable[[], Alone]:
        return lambda: alone(take(self.first, self.second, part), self.second, part)

    def _changed(self, **entries: Any) -> Callable[[], Alone]:
        return lambda: Alone(replace(self.first, **entries))

    # The head

    def head(self) -> Iterator[Change]:
        first, second = self.first, self.second
        entries = (
            ("title", first.title, second.title),
            ("effective_from", _day(first.effective_from), _day(second.effective_from)),
            ("effective_to", _day(first.effective_to), _day(second.effective_to)),
            ("time_zone", first.time_zone, second.time_zone),
        )
        for name, before, after in entries:
            if before != after:
                yield Change("policy", name, name, HEAD_WORDS[name], Reading(before), Reading(after))
        if first.applies_to != second.applies_to:
            readings = (_condition(first, first.applies_to), _condition(second, second.applies_to))
            yield Change("policy", "applies_to", "applies_to", "Deals that the policy answers for", *readings)

    # Assumptions

    def assumptions(self) -> Iterator[Change]:
        first, second = self.first, self.second
        if first.on_unknown != second.on_unknown:
            changed = self._changed(on_unknown=second.on_unknown)
            readings = Reading(first.on_unknown.value), Reading(second.on_unknown.value)
            yield Change("assumption", "on_unknown", "on_unknown", "A rule that cannot be judged", *readings, changed)
        for condition in ("new", "used"):
            before, after = (policy.collateral_value.get(condition, ()) for policy in (first, second))
            if before != after:
                listed = {**first.collateral_value, condition: after}
                changed = self._changed(collateral_value=listed)
                words = f"Collateral value of a {condition} vehicle"
                yield Change("assumption", "collateral_value", condition, words, _bases(before), _bases(after), changed)
        yield from self._equity()

    def _equity(self) -> Iterator[Change]:
        before, after = self.first.equity, self.second.equity
        for name, words in EQUITY_WORDS.items():
            if getattr(before, name) != getattr(after, name):
                changed = self._changed(equity=replace(before, **{name: getattr(after, name)}))
                readings = _assumption(before, name), _assumption(after, name)
                yield Change("assumption", "equity", name, words, *readings, changed)

    # Measures

    def measures(self) -> Iterator[Change]:
        for name, before, after in _both(self.first.measures, self.second.measures):
            if before and after:
                yield from self._measure(before, after)
            elif after:
                words = f"Measure {after.title} added"
                yield Change("measure", name, "added", words, None, _formula(after), self._alone(Part("measure", name)))
            elif before:
                yield Change("measure", name, "removed", f"Measure {before.title} removed", _formula(before))

    def _measure(self, before: Measure, after: Measure) -> Iterator[Change]:
        what = "unit" if before.unit != after.unit else "formula"
        if meaning(before) != meaning(after):
            words = f"{what.capitalize()} of the measure {after.title}"
            changed = self._alone(Part("measure", after.name))
            yield Change("measure", after.name, what, words, _formula(before), _formula(after), changed)
        for entry in ("title", "meaning", "source", "reading"):
            texts = getattr(before, entry), getattr(after, entry)
            if texts[0] != texts[1]:
                words = f"{entry.capitalize()} of the measure {after.name}"
                yield Change("measure", after.name, entry, words, *_texts(*texts))

    # Limits

    def limits(self) -> Iterator[Change]:
        for name, before, after in _both(self.first.limits, self.second.limits):
            part = Part("limit", name)
            if before and after:
                yield from self._limit(before, after)
            elif after:
                words = f"{_limit_title(after)} added"
                yield Change("limit", name, "added", words, None, _table(self.second, after), self._alone(part))
            elif before:
                yield Change("limit", name, "removed", f"{_limit_title(before)} removed", _table(self.first, before))

    def _limit(self, before: Limit, after: Limit) -> Iterator[Change]:
        title, name = _limit_title(after), after.name
        if before.unit != after.unit or _way(before) != _way(after):
            what = "unit" if before.unit != after.unit else "hit_policy"
            words = f"{title}, {'in another unit' if what == 'unit' else 'its rows read in another way'}"
            readings = _table(self.first, before), _table(self.second, after)
            yield Change("limit", name, what, words, *readings, self._alone(Part("limit", name)))
            return
        for change in row_changes(before, after):
            changed = self._with_table(change.table)
            if isinstance(change, Reordered):
                yield Change(
                    "limit", name, "rows_reordered", f"{title}: rows in another order", *_orders(change), changed
                )
            else:
                yield self._row(title, name, change, changed)
        if (before.default and before.default.limit) != (after.default and after.default.limit):
            changed = self._with_table(partial(replace, before, default=after.default))
            readings = _value(before.default), _value(after.default)
            yield Change("limit", name, "default", f"{title} where no row holds", *readings, changed)

    def _with_table(self, make: Callable[[], Limit]) -> Callable[[], Alone]:
        def isolate() -> Alone:
            table = make()
            changed = replace(self.first, limits={**self.first.limits, table.name: table})
            return alone(changed, self.second, Part("limit", table.name))

        return isolate

    def _row(self, title: str, name: str, change: RowChange, changed: Callable[[], Alone]) -> Change:
        before, after, number = change.before, change.after, change.position + 1
        if before is None or after is None:
            row, what = (after, "added") if after else (before, "removed")
            readings = self._whole_row(self.first, before), self._whole_row(self.second, after)
            assert row
            return Change("limit", name, f"row_{what}", f"{title}: row {number} {what}", *readings, changed)
        if before.when == after.when:
            words = f"{title} {_where(self.first, before)}"
            return Change("limit", name, "row_limit", words, _value(before), _value(after), changed)
        if before.limit == after.limit:
            words = f"{title}: deals for which row {number} gives {_value(after).text}"
            conditions = _condition(self.first, before.when), _condition(self.second, after.when)
            return Change("limit", name, "row_condition", words, *conditions, changed)
        readings = self._whole_row(self.first, before), self._whole_row(self.second, after)
        return Change("limit", name, "row", f"{title}: row {number}", *readings, changed)

    def _whole_row(self, policy: Policy, row: Row | None) -> Reading | None:
        return Reading(f"{_value(row).text} {_where(policy, row)}", _value(row).expression) if row else None

    # Rules

    def rules(self) -> Iterator[Change]:
        first, second = ({rule.id: rule for rule in policy.rules} for policy in (self.first, self.second))
        for name, before, after in _both(first, second):
            part = Part("rule", name)
            if before and after:
                yield from self._rule(before, after)
            elif after:
                words, reading = f"Rule {name} added: {after.title}", _requirement(self.second, after)
                yield Change("rule", name, "added", words, None, reading, self._alone(part))
            elif before:
                words, reading = f"Rule {name} removed: {before.title}", _requirement(self.first, before)
                yield Change("rule", name, "removed", words, reading, None, self._alone(part))
        kept = [name for name in first if name in second]
        if kept != (order := [name for name in second if name in first]):
            readings = Reading(", ".join(kept)), Reading(", ".join(order))
            yield Change("rule", "", "reordered", "Rules in another order", *readings)

    def _rule(self, before: Rule, after: Rule) -> Iterator[Change]:
        name = after.id
        for entry in ("title", "reason"):
            texts = getattr(before, entry), getattr(after, entry)
            if texts[0] != texts[1]:
                yield Change("rule", name, entry, f"{entry.capitalize()} of rule {name}", *_texts(*texts))
        for entry, words in RULE_WORDS.items():
            if getattr(before, entry) != getattr(after, entry):
                readings = _entry(self.first, before, entry), _entry(self.second, after, entry)
                rule = replace(before, **{entry: getattr(after, entry)})
                changed = partial(alone, _with_rule(self.first, rule), self.second, Part("rule", name))
                yield Change("rule", name, entry, words.format(rule=name), *readings, changed)

    # Guarantees and examples

    def promises(self) -> Iterator[Change]:
        first, second = (
            {expression_text(one.never): one.never for one in policy.guarantees} for policy in (self.first, self.second)
        )
        for text in first:
            if text not in second:
                yield Change("guarantee", text, "removed", "Guarantee removed", _condition(self.first, first[text]))
        for text in second:
            if text not in first:
                yield Change("guarantee", text, "added", "Guarantee added", None, _condition(self.second, second[text]))
        yield from _examples(self.first.examples, self.second.examples)

    # Overrides

    def overrides(self) -> Iterator[Change]:
        """Who may override what: no outcome rests on it."""
        first, second = (_override_parts(policy.overrides) for policy in (self.first, self.second))
        for name, before, after in _both(first, second):
            if before != after:
                what = "added" if before is None else "removed" if after is None else "changed"
                yield Change("override", name, what, f"Overrides: {name} {what}", before, after)


HEAD_WORDS = {
    "title": "Title of the policy",
    "effective_from": "Effective from",
    "effective_to": "Effective until the day before",
    "time_zone": "Time zone of its days",
}
EQUITY_WORDS = {
    "curve": "Depreciation that is assumed",
    "wholesale_factor": "What a lender's sale brings, of the value",
    "disposal_cost": "Cost of disposal that is assumed",
}
RULE_WORDS = {
    "applies": "Deals that rule {rule} applies to",
    "require": "What rule {rule} requires",
    "otherwise": "What a breach of rule {rule} leads to",
    "mitigated_by": "What mitigates a breach of rule {rule}",
}


def _both(first: Mapping[str, Found], second: Mapping[str, Found]) -> Iterator[tuple[str, Found | None, Found | None]]:
    """Named things of both, in the order of the second; those that only the first has come after them."""
    for name in dict.fromkeys((*second, *first)):
        yield name, first.get(name), second.get(name)


def _with_rule(policy: Policy, rule: Rule) -> Policy:
    return replace(policy, rules=tuple(rule if other.id == rule.id else other for other in policy.rules))


def _examples(first: tuple[Example, ...], second: tuple[Example, ...]) -> Iterator[Change]:
    before, after = _by_name(first), _by_name(second)
    for name in dict.fromkeys((*before, *after)):
        what = "added" if name not in before else "removed" if name not in after else "changed"
        if before.get(name) != after.get(name):
            yield Change("example", name, what, f"Example {what}: {name}")


def _by_name(examples: tuple[Example, ...]) -> dict[str, list[tuple[Any, Any]]]:
    """What examples state; several may have one name."""
    found: dict[str, list[tuple[Any, Any]]] = {}
    for example in examples:
        found.setdefault(example.name, []).append((example.deal, example.expect))
    return found


def _override_parts(overrides: Overrides | None) -> dict[str, Reading]:
    """Each role's authority and each other entry of the section, as the document has it."""
    if overrides is None:
        return {}
    document = overrides.document()
    roles = {f"role {role['role']}": role for role in document.pop("authority")}
    return {name: Reading(_written(part)) for name, part in (roles | document).items()}


def _written(part: object) -> str:
    if isinstance(part, dict):
        return "; ".join(f"{name} {_written(value)}" for name, value in part.items() if name != "role")
    return ", ".join(part) if isinstance(part, list) else str(part).lower() if part is True else str(part)


# Readings


def _texts(before: str, after: str) -> tuple[Reading, Reading]:
    return Reading(before), Reading(after)


def _day(day: date | None) -> str:
    return day.isoformat() if day else "no end"


def _condition(policy: Policy, condition: Expression | None) -> Reading:
    if condition is None:
        return Reading("every deal")
    return Reading(phrase(condition, policy.measures), expression_text(condition))


def _bases(bases: tuple[str, ...]) -> Reading:
    return Reading(", else ".join(map(basis_name, bases)) or "never known", ", ".join(bases))


def _assumption(equity: Equity, name: str) -> Reading:
    if name == "curve":
        shares = ", ".join(map(number_text, equity.curve.retained))
        return Reading(f"{equity.curve.title or equity.curve.name} ({shares})")
    return _number(getattr(equity, name))


def _number(number: Number) -> Reading:
    text = number_text(number)
    return Reading(text.replace("%", " %"), text)


def _formula(measure: Measure) -> Reading:
    text = expression_text(measure.formula)
    return Reading(text, text)


def _limit_title(limit: Limit) -> str:
    return f"Limit {title_of(LimitName(limit.name, limit.unit), {})}"


def _way(limit: Limit) -> tuple[str, str]:
    return limit.hit_policy, limit.aggregate


def _value(row: Row | None) -> Reading:
    if row is None:
        return Reading("unknown")
    text = expression_text(row.limit)
    return _number(row.limit) if isinstance(row.limit, Number) else Reading(text, text)


def _where(policy: Policy, row: Row) -> str:
    return f"where {phrase(row.when, policy.measures)}" if row.when is not None else "for any other deal"


def _table(policy: Policy, limit: Limit) -> Reading:
    rows = "; ".join(f"{_value(row).text} {_where(policy, row)}" for row in limit.all_rows)
    return Reading(f"{limit.aggregate or limit.hit_policy}: {rows}")


def _orders(change: Reordered) -> tuple[Reading, Reading]:
    """The rows by their numbers in the first table."""
    orders = (sorted(change.positions), change.positions)
    before, after = (Reading(", ".join(str(position + 1) for position in order)) for order in orders)
    return before, after


def _requirement(policy: Policy, rule: Rule) -> Reading:
    require = _condition(policy, rule.require)
    return Reading(f"{require.text}, else {rule.otherwise}", require.expression)


def _entry(policy: Policy, rule: Rule, entry: str) -> Reading:
    match entry:
        case "applies":
            return _condition(policy, rule.applies)
        case "require":
            return _condition(policy, rule.require)
        case "otherwise":
            return Reading(rule.otherwise.value)
    if rule.mitigated_by is None:
        return Reading("nothing")
    when = _condition(policy, rule.mitigated_by.when)
    return Reading(f"to {rule.mitigated_by.to} where {when.text}", when.expression)
