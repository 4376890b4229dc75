"""What is asked of a policy before it is put to use: does every row, rule and mitigation matter, and do its guarantees hold?"""

from collections.abc import Collection, Iterator, Mapping
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import Any

from dealgate.rules.clashes import clashes
from dealgate.rules.encoding import Encoder
from dealgate.rules.expressions import All, Arithmetic, Comparison, Expression, FieldName, LimitName, Not, walk
from dealgate.rules.expressions import Any as AnyOf
from dealgate.rules.fields import Unit
from dealgate.rules.limit_reading import CLOSE_THE_GAP, gap_message
from dealgate.rules.near_misses import near_miss
from dealgate.rules.policy import Limit, Policy, Rule
from dealgate.rules.proof import SPENT, Answer, Confirms, Prover, Verdict, Witness
from dealgate.rules.reference import Result, Value
from dealgate.rules.remarks import Path, Remark, at_row, of_row, row_name, row_path
from dealgate.rules.smt import Term
from dealgate.rules.tracing import fraction
from dealgate.rules.words import tiers_in_order
from dealgate.rules.writing import expression_text

FIRED = (Result.VIOLATED, Result.MITIGATED)

LEAVE_OFF = "leave the 'when' off the last one."


class Questions:
    """Asks everything of one policy. `proved` names the guarantees that hold for every deal, by their position."""

    def __init__(self, policy: Policy, gaps: Collection[str] = ()) -> None:
        """`gaps` names the limits that lack a row for all other deals and do not say that they mean it."""
        self.policy = policy
        self.gaps = gaps
        self.prover = Prover(policy)
        self.proved: list[int] = []
        self._results: dict[tuple[str, Result], Witness] = {}
        self._rows: dict[tuple[str, int], Witness] = {}
        self._noted = 0

    def remarks(self) -> Iterator[Remark]:
        """What was found; what there was no effort left for is counted."""
        left_out = 0
        for remark in self._all():
            if remark.message.endswith(SPENT):
                left_out += 1
            else:
                yield remark
        if left_out:
            yield Remark((), f"{left_out} questions were left undecided: {SPENT}", is_warning=True)

    def _all(self) -> Iterator[Remark]:
        for index, guarantee in enumerate(self.policy.guarantees):
            yield from self._guarantee(index, guarantee.never)
        if self.policy.applies_to is not None:
            yield from self._applies_to(self.policy.applies_to)
        for limit in self.policy.limits.values():
            yield from self._limit(limit)
        for index, rule in enumerate(self.policy.rules):
            yield from self._rule(("rules", index), rule)

    # Asking. A deal that was found for one question often answers others.

    def _ask(self, formula: Term, confirms: Confirms) -> Answer:
        answer = self.prover.ask(formula, confirms)
        for witness in self.prover.witnesses[self._noted :]:
            for rule, result in witness.reckoning.results.items():
                self._results.setdefault((rule, result), witness)
            for name, value in witness.reckoning.limits.items():
                self._rows.setdefault((name, value.row), witness)
        self._noted = len(self.prover.witnesses)
        return answer

    def _example(self, formula: Term, confirms: Confirms) -> dict[str, Any] | None:
        """A deal for people to read, if there is one."""
        found = self.prover.plausible(formula, self._ask(formula, confirms), confirms)
        return dict(found.witness.document) if found.witness else None

    def _result(self, rule: Rule, *results: Result) -> Term:
        return self.prover.terms.some(self.prover.encoder.rule(rule.id)[result] for result in results)

    def _ask_result(self, rule: Rule, *results: Result) -> Answer:
        seen = next((self._results[rule.id, result] for result in results if (rule.id, result) in self._results), None)
        if seen:
            return Answer(Verdict.SHOWN, seen)

        def confirms(deal: Witness) -> bool:
            return deal.reckoning.results[rule.id] in results

        answer = self._ask(self._result(rule, *results), confirms)
        if answer.verdict is Verdict.UNDECIDED and answer.why != SPENT:
            found = near_miss(self.prover, [rule.id], confirms)
            return Answer(Verdict.SHOWN, found) if found else answer
        return answer

    def _ask_row(self, limit: Limit, index: int) -> Answer:
        """Whether a row can give the limit; where every row counts, whether it can hold."""
        if (limit.name, index) in self._rows:
            return Answer(Verdict.SHOWN, self._rows[limit.name, index])
        row = limit.all_rows[index]
        if limit.hit_policy != "first" and row is not limit.default:
            if row.when is None:
                return Answer(Verdict.SHOWN)
            return self._ask(self.prover.encoder.truth(row.when).yes, _finds(row.when, truth=True))
        taken = self.prover.encoder.rows(limit.name)[index]
        return self._ask(taken, lambda deal: deal.reckoning.limits[limit.name].row == index)

    # Limits

    def _limit(self, limit: Limit) -> Iterator[Remark]:
        for index, row in enumerate(limit.all_rows):
            answer = self._ask_row(limit, index)
            if answer.verdict is Verdict.IMPOSSIBLE:
                yield self._dead_row(limit, index)
                continue
            if answer.verdict is Verdict.UNDECIDED:
                yield of_row(limit, row, f"not decided whether this row can match: {answer.why}", is_warning=True)
            if row.when is not None:
                yield from (
                    at_row(remark, row) for remark in self._contradictions(row_path(limit, row, "when"), row.when)
                )
        yield from clashes(self.prover, limit)
        if limit.name in self.gaps:
            yield self._gap(limit)
        yield from self._looser(limit)

    def _dead_row(self, limit: Limit, index: int) -> Remark:
        row, terms = limit.all_rows[index], self.prover.terms
        if row.when is None:
            message = "this row is never needed: the rows above it match every deal whose fields are known"
            if row.path == ("default",):
                message = "this default is never needed: the rows match every deal whose fields are known"
            return of_row(limit, row, message, is_warning=True)
        when = self.prover.encoder.truth(row.when).yes
        if self.prover.is_impossible(when):
            message = f"contradictory bounds: {expression_text(row.when)} can never hold"
            return of_row(limit, row, message, "Correct the bounds, or drop the row.", part="when")
        same = next((other for other in limit.rows[:index] if other.when == row.when), None)
        if same is not None:
            message = f"this row repeats {row_name(same)}, so it can never match"
            return of_row(limit, row, message, "Drop one of the two.", part="when")
        taken, is_for = self.prover.encoder.rows(limit.name), _finds(row.when, truth=True)
        alone = (
            other
            for other in range(index)
            if self.prover.is_impossible(terms.every((when, terms.negated(taken[other]))))
        )
        blocker = next(alone, None)
        above = f"{row_name(limit.rows[blocker])} takes" if blocker is not None else "the rows above it take"
        example = self._example(
            terms.every((when, terms.some(taken[:index]))),
            lambda deal: 0 <= deal.reckoning.limits[limit.name].row < index and is_for(deal),
        )
        message = f"this row can never match: {above} every deal that it is for"
        hint = "Put the narrower row first, or drop this one."
        return of_row(limit, row, message, hint, part="when", witness=example)

    def _gap(self, limit: Limit) -> Remark:
        """A table without a row for all other deals: is there any other deal?"""
        path: Path = ("limits", limit.name)
        message = gap_message(limit.name)
        conditions = [row.when for row in limit.rows if row.when is not None]
        formula = self.prover.terms.every(self.prover.encoder.truth(when).no for when in conditions)
        example = self._example(formula, lambda deal: all(deal.trace.value(when) is False for when in conditions))
        if example or not self.prover.is_impossible(formula):
            return Remark(path, message, CLOSE_THE_GAP, witness=example)
        covered = "Every deal whose fields are known matches a row:"
        is_first = limit.hit_policy == "first"
        return Remark(path, message, f"{covered} {LEAVE_OFF if is_first else 'say on_no_hit: unknown.'}")

    def _looser(self, limit: Limit) -> Iterator[Remark]:
        """Limits that grow looser as the tier grows worse, in the order in which the document names the tiers."""
        is_most = _is_most(self.policy, limit.name)
        tiers = tiers_in_order(self.policy)
        if is_most is None or not any(_reads_tier(row.when) for row in limit.rows) or len(tiers) < 2:
            return
        name, terms, deal = LimitName(limit.name, limit.unit), self.prover.terms, self.prover.deal
        encoders = [Encoder(self.policy, terms, deal, {"tier": deal.word_numbers[tier]}) for tier in tiers]
        for (good, better), (bad, worse) in pairwise(zip(tiers, encoders, strict=True)):
            looser = worse.compare(">" if is_most else "<", worse.number(name), better.number(name)).yes
            example = self._example(looser, partial(self._is_looser, limit, good, bad, is_most))
            if example:
                message = f"limit {limit.name} is looser for tier {bad} than for tier {good}"
                example = _with_tier(example, bad)
                yield Remark(("limits", limit.name), message, "Compare its rows.", is_warning=True, witness=example)

    def _is_looser(self, limit: Limit, good: str, bad: str, is_most: bool, deal: Witness) -> bool:
        found = [self.prover.evaluate(_with_tier(deal.document, tier)) for tier in (good, bad)]
        better, worse = (_limit_of(one, limit.name) for one in found)
        return better is not None and worse is not None and (worse > better if is_most else worse < better)

    # Rules

    def _rule(self, path: Path, rule: Rule) -> Iterator[Remark]:
        fires, passes = self._ask_result(rule, *FIRED), self._ask_result(rule, Result.PASS)
        if fires.verdict is Verdict.IMPOSSIBLE:
            yield self._dead_rule(path, rule, passes)
            return
        if fires.verdict is Verdict.UNDECIDED:
            yield Remark(path, f"not decided whether {rule.id} can be violated: {fires.why}", is_warning=True)
        elif passes.verdict is Verdict.IMPOSSIBLE:
            yield self._rule_without_pass(path, rule)
        elif passes.verdict is Verdict.UNDECIDED:
            yield Remark(path, f"not decided whether {rule.id} can be kept: {passes.why}", is_warning=True)
        for name, expression in (("applies", rule.applies), ("require", rule.require)):
            if expression is not None and passes.verdict is not Verdict.IMPOSSIBLE:
                yield from self._contradictions((*path, name), expression)
        if rule.mitigated_by and fires.verdict is Verdict.SHOWN:
            yield from self._mitigation(path, rule)

    def _dead_rule(self, path: Path, rule: Rule, passes: Answer) -> Remark:
        where, why = "require", "its requirement holds for every deal that can be judged"
        if rule.applies and self.prover.is_impossible(self.prover.encoder.truth(rule.applies).yes):
            where, why = "applies", "it applies to no deal"
        elif passes.verdict is Verdict.IMPOSSIBLE:
            why = "its requirement is unknown for every deal to which it applies"
        quiet = (Result.PASS, Result.NOT_APPLICABLE)
        example = self._example(self._result(rule, *quiet), lambda deal: deal.reckoning.results[rule.id] in quiet)
        message = f"rule {rule.id} can never be violated: {why}"
        return Remark((*path, where), message, "Correct it, or drop the rule.", witness=example)

    def _rule_without_pass(self, path: Path, rule: Rule) -> Remark:
        """An error where it befalls every deal; where `applies` picks the deals out, it may be meant as a ban on them."""
        example = self._example(self._result(rule, *FIRED), lambda deal: deal.reckoning.results[rule.id] in FIRED)
        if rule.applies is None:
            message = f"rule {rule.id} is violated by every deal that can be judged"
            return Remark((*path, "require"), message, "Correct the requirement.", witness=example)
        message = f"rule {rule.id} is violated by every deal to which it applies"
        suggestion = "If it is a ban on these deals, leave it; else correct 'applies' or 'require'."
        return Remark((*path, "require"), message, suggestion, is_warning=True, witness=example)

    def _mitigation(self, path: Path, rule: Rule) -> Iterator[Remark]:
        assert rule.mitigated_by
        where: Path = (*path, "mitigated_by", "when")
        helped, hard = self._ask_result(rule, Result.MITIGATED), self._ask_result(rule, Result.VIOLATED)
        if helped.verdict is Verdict.IMPOSSIBLE:
            example = self._example(self._result(rule, Result.VIOLATED), _comes_to(rule, Result.VIOLATED))
            message = f"the mitigation of {rule.id} can never help: no deal that breaks the rule meets it"
            yield Remark(where, message, is_warning=True, witness=example)
        elif hard.verdict is Verdict.IMPOSSIBLE:
            example = self._example(self._result(rule, Result.MITIGATED), _comes_to(rule, Result.MITIGATED))
            message = f"every deal that breaks {rule.id} is mitigated: 'otherwise' never comes"
            yield Remark(where, message, is_warning=True, witness=example)
        else:
            yield from self._contradictions(where, rule.mitigated_by.when)

    # Conditions and guarantees

    def _applies_to(self, condition: Expression) -> Iterator[Remark]:
        path: Path = ("applies_to",)
        truth = self.prover.encoder.truth(condition)
        if self.prover.is_impossible(truth.yes):
            message = f"the policy answers for no deal: {expression_text(condition)} can never hold"
            example = self._example(truth.no, _finds(condition, truth=False))
            yield Remark(path, message, "Correct applies_to.", witness=example)
        elif self.prover.is_impossible(truth.no):
            message = (
                "applies_to holds for every deal whose fields are known, and only makes the policy unsure of the others"
            )
            yield Remark(path, message, "Leave it out, or narrow it.", is_warning=True)
        else:
            yield from self._contradictions(path, condition)

    def _contradictions(self, path: Path, expression: Expression) -> Iterator[Remark]:
        """Parts that can never hold, of a condition that as a whole can."""
        for place, part in _joined_parts(expression):
            truth = self.prover.encoder.truth(part)
            if self.prover.is_impossible(truth.yes):
                message = f"contradictory bounds: {expression_text(part)} can never hold"
                example = self._example(truth.no, _finds(part, truth=False))
                yield Remark(path, message, "Correct the bounds, or leave this part out.", witness=example, part=place)
                return

    def _guarantee(self, index: int, never: Expression) -> Iterator[Remark]:
        path: Path = ("guarantees", index, "never")
        formula = self.prover.encoder.truth(never).yes
        confirms = _finds(never, truth=True)
        answer = self._ask(formula, confirms)
        if answer.verdict is Verdict.IMPOSSIBLE:
            self.proved.append(index)
        elif answer.verdict is Verdict.UNDECIDED:
            yield Remark(path, f"this guarantee is not proved: {answer.why}", is_warning=True)
        else:
            found = self.prover.plausible(formula, answer, confirms).witness
            assert found
            message = f"this guarantee does not hold: there is a deal for which it is true, and its outcome is {found.outcome}"
            suggestion = "Tighten the rules, or weaken the guarantee."
            yield Remark(path, message, suggestion, witness=dict(found.document))


def _comes_to(rule: Rule, result: Result) -> Confirms:
    return lambda deal: deal.reckoning.results[rule.id] == result


def _finds(condition: Expression, *, truth: bool) -> Confirms:
    return lambda deal: deal.trace.value(condition) is truth


def _with_tier(document: Mapping[str, Any], tier: str) -> dict[str, Any]:
    return {**document, "applicant": {**document.get("applicant", {}), "tier": tier}}


def _limit_of(deal: Witness | None, name: str) -> Fraction | None:
    value: Value | None = deal.reckoning.limits[name] if deal else None
    return fraction(value) if value else None


def _reads_tier(expression: Expression | None) -> bool:
    return FieldName("tier", Unit.TEXT) in walk(expression)


def _joined_parts(expression: Expression, place: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Expression]]:
    """Every `and` below the top, and every branch of an `or`, each with its place in the expression."""
    match expression:
        case Not(operand):
            operands: tuple[Expression, ...] = (operand,)
        case All(operands) | AnyOf(operands):
            pass
        case _:
            return
    for index, operand in enumerate(operands):
        if isinstance(expression, AnyOf) or isinstance(operand, All):
            yield (*place, index), operand
        yield from _joined_parts(operand, (*place, index))


def _is_most(policy: Policy, name: str) -> bool | None:
    """Whether rules hold something to be at most this limit (True) or at least (False); None where that is not plain."""
    found = set()
    for rule in policy.rules:
        for node, is_promised in _comparisons(rule.require, is_promised=True):
            sides = [_adds_limit(side, name) for side in (node.left, node.right)]
            if any(sides) and node.operator not in {"==", "!="}:
                found.add(((node.operator in {"<=", "<"}) == sides[1]) is is_promised)
    return found.pop() if len(found) == 1 else None


def _comparisons(expression: Expression, *, is_promised: bool) -> Iterator[tuple[Comparison, bool]]:
    """The comparisons of a condition, each with whether the condition wants it to hold."""
    match expression:
        case Comparison():
            yield expression, is_promised
        case Not(operand):
            yield from _comparisons(operand, is_promised=not is_promised)
        case All(operands) | AnyOf(operands):
            for operand in operands:
                yield from _comparisons(operand, is_promised=is_promised)


def _adds_limit(expression: Expression, name: str) -> bool:
    match expression:
        case LimitName(found):
            return found == name
        case Arithmetic("+", left, right):
            return any(_adds_limit(side, name) for side in (left, right))
    return False
