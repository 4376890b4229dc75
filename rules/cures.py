"""Cures: for each lever of a deal the least change that clears every finding, or why there is none.

A changed deal is cured when no rule is violated or mitigated, and none is left unjudged that was judged before the change. What was
unknown before may stay unknown: no cure supplies missing data. Every cure is proved by evaluating the changed deal, with the
rules engine; one that is not confirmed is not offered.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from dealgate.rules.amounts import dollars, hundredths
from dealgate.rules.deal import PartialDeal
from dealgate.rules.expressions import ListedValue
from dealgate.rules.fields import Facts, basis_name, facts_of
from dealgate.rules.finding import Finding
from dealgate.rules.levers import (
    LEVERS,
    LONGEST_TERM_SOUGHT,
    MOST_PRODUCTS,
    Choice,
    CollateralValue,
    Motion,
    Payoff,
    Start,
)
from dealgate.rules.levers import motions as motions_of
from dealgate.rules.policy import Policy
from dealgate.rules.ranging import Ranging
from dealgate.rules.reading import ENGINE_FAILURE, shipped_measures
from dealgate.rules.reference import Reckoning, Result
from dealgate.rules.sweeping import BROKEN, Aim, Search, Sweep


class Judge(Protocol):
    """What the search asks of a compiled policy."""

    @property
    def policy(self) -> Policy: ...
    @property
    def reference(self) -> Callable[[Facts], Reckoning]: ...
    @property
    def evidence(self) -> Callable[[Facts], Reckoning]: ...
    def ranging(self, lever: str) -> Ranging: ...
    def judged(self, deal: PartialDeal) -> tuple[Reckoning, Finding | None]:
        """What the reference concludes, and the finding of the gate itself where the rules engine does not confirm it."""
        ...


@dataclass(frozen=True)
class Cure:
    """The least change of one lever, in cents or months, proved on `deal`, the changed deal."""

    lever: str
    change: int
    to: int
    clears: tuple[str, ...]
    explanation: str
    deal: PartialDeal
    drop: tuple[str, ...] = ()
    payoffs: tuple[int | None, ...] = ()
    monthly_payment: int | None = None

    def document(self) -> dict[str, Any]:
        shown: Callable[[int], str | int] = int if self.lever == "term_months" else hundredths
        document: dict[str, Any] = {"lever": self.lever, "change": shown(self.change), "to": shown(self.to)}
        if self.drop:
            document["drop"] = list(self.drop)
        if self.payoffs:
            document["payoffs"] = [None if payoff is None else hundredths(payoff) for payoff in self.payoffs]
        if self.monthly_payment is not None:
            document["monthly_payment"] = hundredths(self.monthly_payment)
        # Only what the evaluation of the changed deal confirmed is offered.
        return document | {"clears": list(self.clears), "verified": True, "explanation": self.explanation}


@dataclass(frozen=True)
class Unfixable:
    """A lever with which nothing can be cured. `proved` is false where the search gave up."""

    lever: str
    reason: str
    rules: tuple[str, ...] = ()
    proved: bool = True

    def document(self) -> dict[str, Any]:
        return {"lever": self.lever, "reason": self.reason, "rules": list(self.rules), "proved": self.proved}


class Cures(NamedTuple):
    """Cures by lever, in a fixed order that ranks nothing, and the levers that cure nothing. Both empty where nothing is broken."""

    offered: tuple[Cure, ...] = ()
    unfixable: tuple[Unfixable, ...] = ()


def find_cures(judge: Judge, deal: PartialDeal, reckoning: Reckoning, doubt: Finding | None) -> Cures:
    """Search every lever of a deal that came to a reckoning; none where the rules engine did not confirm the deal itself."""
    broken = tuple(rule for rule, result in reckoning.results.items() if result in BROKEN)
    if not broken:
        return Cures()
    if doubt is not None:
        reason = "Not searched: the rules engine did not confirm the deal as it is."
        return Cures((), tuple(Unfixable(lever, reason, broken, proved=False) for lever in LEVERS))
    desk = _Desk(judge, deal, reckoning, broken)
    found = [result for lever in LEVERS for result in _pulled(desk, lever)]
    return Cures(
        tuple(result for result in found if isinstance(result, Cure)),
        tuple(result for result in found if isinstance(result, Unfixable)),
    )


def _pulled(desk: "_Desk", lever: str) -> Sequence[Cure | Unfixable]:
    """Advice that fails must not take the decision with it: the submission would be lost."""
    try:
        return desk.pull(lever)
    except Exception as error:
        reason = f"Not searched to the end: the search failed ({type(error).__name__}: {error})."
        return [Unfixable(lever, reason, desk.broken, proved=False)]


class _Desk:
    """One deal with broken rules, and everything that can be tried on it."""

    def __init__(self, judge: Judge, deal: PartialDeal, reckoning: Reckoning, broken: tuple[str, ...]) -> None:
        self.judge = judge
        self.broken = broken
        self.engine_failed = False
        self.aim = Aim.from_results(reckoning.results)
        facts = facts_of(deal)
        self.as_stated = Start(deal, facts, reckoning, judge.policy)
        self.reworked = self.as_stated
        if (stated := facts["given_monthly_payment"]) is not None:
            facts = {**facts, "given_monthly_payment": None}
            unstated = deal.model_copy(update={"monthly_payment": None})
            self.reworked = Start(unstated, facts, judge.evidence(facts), judge.policy, stated)

    def pull(self, lever: str) -> Sequence[Cure | Unfixable]:
        start = self.as_stated if lever == "collateral_value" else self.reworked
        ranging = self.judge.ranging(lever)
        missed = self.aim.missed(start.reckoning.results)
        if not missed:
            return [Unfixable(lever, self._payment_is_it(start), self.broken)]
        if aloof := tuple(rule for rule in missed if rule in self.broken and not ranging.bears_on(rule)):
            verb = "does" if len(aloof) == 1 else "do"
            return [Unfixable(lever, f"{_listed(aloof)} {verb} not turn on {WORDS[lever]}.", aloof)]
        sweep = Sweep(ranging, self.aim, self.judge.reference, start.trace, missed)
        if lever == "products":
            return [self._drop_products(sweep, start)]
        moving = motions_of(lever, start)
        if isinstance(moving, str):
            return [Unfixable(lever, moving)]
        found = [(motion, sweep.along(motion)) for motion in moving]
        if all(search.change is None for _, search in found):
            return [self._no_change(lever, found)]
        return [
            self._offer(lever, search, motion.after(search.change), self._told(lever, motion, search.change))
            for motion, search in found
            if search.change is not None
        ]

    def _drop_products(self, sweep: Sweep, start: Start) -> Cure | Unfixable:
        if not start.facts["products"]:
            return Unfixable("products", "The deal has no products to drop.")
        choice = Choice(start.deal, start.facts)
        search = sweep.among(choice)
        if search.change is not None:
            return self._offer("products", search, choice.after(search.dropped), self._told_products(choice, search))
        if search.given_up:
            reason = f"Not searched: the deal has more than {MOST_PRODUCTS} products."
            return Unfixable("products", reason, self.broken, proved=False)
        return Unfixable("products", f"{NOTHING['products']} {self._obstacle(search)}.", _rules(search))

    # What is offered

    def _told(self, lever: str, motion: Motion, change: int) -> "_Told":
        to = motion.to(change)
        if lever == "term_months":
            months = "1 month" if change == 1 else f"{change} months"
            way = "shorter" if motion.sign < 0 else "longer"
            return _Told(motion.sign * change, to, f"A term of {to} months, {months} {way}, clears {{rules}}.")
        value = self._value(motion)
        sentence = SENTENCES[lever].format(change=dollars(change), to=dollars(to), value=value[0].upper() + value[1:])
        if isinstance(motion, Payoff) and len(motion.base["trade_ins"]) > 1:
            left = {index: trade["payoff"] for index, trade in enumerate(motion.base["trade_ins"])}
            return _Told(change, to, sentence, payoffs=tuple((left | motion.payoffs(change)).values()))
        return _Told(change, to, sentence)

    def _value(self, motion: Motion) -> str:
        """What the lever of the collateral value moves: by a policy's own formula the collateral value may be another amount."""
        own = not isinstance(self.judge.policy.measures["collateral_value"].formula, ListedValue)
        return basis_name(motion.basis) if own and isinstance(motion, CollateralValue) else "a collateral value"

    def _told_products(self, choice: Choice, search: Search) -> "_Told":
        products = choice.base["products"]
        dropped = [products[index] for index in search.dropped]
        names = [f"{product['kind'].replace('_', ' ')} ({dollars(product['price'])})" for product in dropped]
        price = choice.price(search.dropped)
        total = f", {dollars(price)} in all," if len(dropped) > 1 else ""
        left = sum(product["price"] for product in products) - price
        kinds = tuple(product["kind"] for product in dropped)
        return _Told(price, left, f"Dropping {_listed(names)}{total} clears {{rules}}.", drop=kinds)

    def _offer(self, lever: str, search: Search, changed: PartialDeal, told: "_Told") -> Cure | Unfixable:
        """The proof: the whole evaluation of the changed deal, engine and reference."""
        reckoning = self._confirmed(changed)
        if reckoning is None:
            reason = "A change was found, but the rules engine did not confirm it."
            return Unfixable(lever, reason, self.broken, proved=False)
        sentence = told.sentence.replace("{rules}", _listed(self.broken))
        payment = None
        if lever != "collateral_value" and self.reworked.stated_payment is not None:
            payment = self._payment(reckoning)
            at = "" if payment is None else f": {dollars(payment)}"
            sentence += f" The stated payment is worked out anew{at}."
        return Cure(lever, told.change, told.to, self.broken, sentence, changed, told.drop, told.payoffs, payment)

    def _confirmed(self, changed: PartialDeal) -> Reckoning | None:
        """An engine that failed once is not asked again: each failure may take as long as the gate waits for an answer."""
        if self.engine_failed:
            return None
        reckoning, doubt = self.judge.judged(changed)
        self.engine_failed = doubt is not None and doubt.rule == ENGINE_FAILURE
        return None if doubt is not None or self.aim.missed(reckoning.results) else reckoning

    def _payment(self, reckoning: Reckoning) -> int | None:
        """What the deal would state: by a policy's own formula the measure may be more than that, such as with an insurance."""
        own = self.judge.policy.measures["monthly_payment"].formula != shipped_measures()["monthly_payment"].formula
        return None if own else reckoning.measures["monthly_payment"].numerator

    # What is not

    def _payment_is_it(self, start: Start) -> str:
        payment = self._payment(start.reckoning)
        stated = dollars(start.stated_payment or 0)
        anew = "" if payment is None else f", {dollars(payment)},"
        return f"With the payment worked out{anew} instead of the stated {stated} no rule is broken: check the payment."

    def _no_change(self, lever: str, found: list[tuple[Motion, Search]]) -> Unfixable:
        tails = [self._obstacle(search) for _, search in found]
        if len(found) == 1 and lever == "term_months":
            opening = "No shorter term" if found[0][0].sign < 0 else "No longer term"
            reason = f"{opening} {tails[0]}."
        elif len(set(tails)) == 1:
            nothing = NOTHING[lever].format(value=self._value(found[0][0]).partition(" ")[2])
            reason = f"{nothing} {tails[0]}."
        else:
            reason = f"No shorter term {tails[0]}; no longer one {tails[1]}."
        rules = dict.fromkeys(rule for _, search in found for rule in _rules(search))
        return Unfixable(lever, reason, tuple(rules), proved=not any(search.given_up for _, search in found))

    def _obstacle(self, search: Search) -> str:
        """What the deal would still break: always the same rule, or now one and now another."""
        if search.given_up:
            return f"was found that clears {_listed(self.broken)}; the search was given up before its end"
        if stuck := [rule for rule in search.never if rule in self.broken]:
            return f"clears {_listed(stuck)}"
        broken = [rule for rule in self.broken if rule in search.in_the_way]
        breaks = [rule for rule, result in search.in_the_way.items() if rule not in broken and result in BROKEN]
        unjudged = [rule for rule, result in search.in_the_way.items() if result is Result.NOT_EVALUABLE]
        costs = [f"breaking {_listed(breaks)}"] if breaks else []
        costs += [f"leaving {_listed(unjudged)} unjudged"] if unjudged else []
        if costs:
            return f"clears {_listed(self.broken)} without {' or '.join(costs)}"
        return f"clears {_listed(self.broken)} at once"


class _Told(NamedTuple):
    """A change as it is shown, and its sentence."""

    change: int
    to: int
    sentence: str
    drop: tuple[str, ...] = ()
    payoffs: tuple[int | None, ...] = ()


WORDS: Mapping[str, str] = {
    "cash_down": "cash down",
    "cash_price": "the cash price",
    "products": "products",
    "payoff": "the payoff",
    "term_months": "the term",
    "collateral_value": "the collateral value",
}

SENTENCES: Mapping[str, str] = {
    "cash_down": "{change} more cash down, {to} in all, clears {{rules}}.",
    "cash_price": "{change} off the cash price, which comes to {to}, clears {{rules}}.",
    "payoff": "{change} of the payoff paid outside the deal, {to} left in it, clears {{rules}}.",
    "collateral_value": "{value} of {to}, {change} more than it is, would be needed to clear {{rules}}: "
    "the book gives the value, nobody at the desk can set it.",
}

NOTHING: Mapping[str, str] = {
    "cash_down": "No cash down short of the whole amount financed",
    "cash_price": "No lower cash price",
    "products": "No choice of products to drop",
    "payoff": "No part of the payoff, paid outside the deal,",
    "term_months": f"No term from 1 to {LONGEST_TERM_SOUGHT} months",
    "collateral_value": "No higher {value}",
}


def _rules(search: Search) -> tuple[str, ...]:
    return search.never or tuple(search.in_the_way)


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
