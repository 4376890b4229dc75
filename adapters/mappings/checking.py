"""Figures that a host states beside the parts they follow from: they must agree."""

from collections.abc import Iterator
from typing import NamedTuple

from dealgate.adapters.mappings.finding import FieldRefusedError, Finder, place_of
from dealgate.adapters.mappings.paths import Path
from dealgate.adapters.mappings.plan import Check
from dealgate.adapters.mappings.problems import MappingProblem, shown
from dealgate.adapters.mappings.values import ValueRefusedError, exact, money
from dealgate.rules.amounts import hundredths
from dealgate.rules.deal import Deal


def disagreements(check: Check, finder: Finder, deal: Deal | None) -> Iterator[MappingProblem | str]:
    """A problem for each figure that does not agree, a remark for each that could not be checked or only is to be told.

    Without a deal, because something else is wrong with it, only what follows from the payload itself is checked.
    """
    try:
        nodes = finder.things(check.each, finder.payload.root) if check.each else [finder.payload.root]
    except FieldRefusedError as error:
        yield error.problem
        return
    for node in nodes:
        try:
            yield from _disagreements(check, finder, node, deal)
        except FieldRefusedError as error:
            yield error.problem


def _disagreements(check: Check, finder: Finder, node: object, deal: Deal | None) -> Iterator[MappingProblem | str]:
    where, figures = _figures(check, finder, check.value, node)
    if not figures:
        return
    if len(figures) > 1:
        yield MappingProblem(
            "", f"{len(figures)} values", "stands more than once where one figure is read", "Send one.", where
        )
        return
    (stated,) = figures
    if not check.amount_financed:
        yield from _against_parts(check, finder, node, where, stated)
        return
    finder.stands(check.value, node)
    if deal is not None:
        yield from _compared(check, where, stated, amount_financed(deal))


def _against_parts(
    check: Check, finder: Finder, node: object, where: str, stated: int
) -> Iterator[MappingProblem | str]:
    """A figure that could not be checked is not taken: of its parts the deal may know less than it says."""
    parts = _parts(check, finder, node)
    unfounded = stated and not parts.found
    if not parts.lacking or (unfounded and check.refuses):
        finder.stands(check.value, node)
    if unfounded:
        message = f"none of its parts is stated: {check.because}"
        yield _told(check, where, stated, message, "Send its parts.")
        return
    yield from _compared(check, where, stated, parts.lacking or parts.total)


def _compared(check: Check, where: str, stated: int, follows: int | str) -> Iterator[MappingProblem | str]:
    if isinstance(follows, str):
        yield f"{where} {hundredths(stated)} was not checked: {follows} is not stated"
    elif stated != follows:
        message = f"does not agree with {hundredths(follows)}, which follows from its parts: {check.because}"
        yield _told(check, where, stated, message, "Correct the figure or its parts.")


def _told(check: Check, where: str, stated: int, message: str, remedy: str) -> MappingProblem | str:
    if check.refuses:
        return MappingProblem("", repr(hundredths(stated)), message, remedy, where)
    return f"{where} {hundredths(stated)} {message}"


def _figures(check: Check, finder: Finder, path: Path, node: object) -> tuple[str, list[int]]:
    """The figures that a path finds, in cents, perhaps below zero; an empty one is none. None of them counts as read by this."""
    found = finder.stands(path, node, take=False)
    where = place_of(found[0], path) if found else path.text
    try:
        read = (exact(value, finder.source.thousands) * check.scale for value in found if value != "")
        return where, [money(amount, signed=True) for amount in read]
    except ValueRefusedError as error:
        raise FieldRefusedError(MappingProblem("", shown(found), str(error), error.remedy, where)) from None


class _Parts(NamedTuple):
    """What the parts come to, whether any is stated, and the path of one that is not stated everywhere."""

    total: int
    found: bool
    lacking: str


def _parts(check: Check, finder: Finder, node: object) -> _Parts:
    total, found, lacking = 0, False, ""
    for sign, paths in ((1, check.plus), (-1, check.minus)):
        for path in paths:
            _, figures = _figures(check, finder, path, node)
            total += sign * sum(figures)
            found = found or bool(figures)
            if not lacking and not _is_stated(finder, path, node):
                lacking = path.text
    return _Parts(total, found, lacking)


def _is_stated(finder: Finder, path: Path, node: object) -> bool:
    """By every element of a list; a list that is there and has none states that there is none."""
    found = path.find(node)
    if found is None or "" in (found if isinstance(found, list) else [found]):
        return False
    return finder.lacking(path, node)[0] == 0


def amount_financed(deal: Deal) -> int | str:
    """Cash price and other amounts financed less credits (12 CFR 1026.18(b)), in cents; or the field that it would take."""
    total = deal.cash_price + deal.sales_tax + deal.title_and_registration + deal.doc_fee
    total += sum(product.price for product in deal.products)
    total -= deal.cash_down + deal.rebate + deal.prepaid_finance_charge
    for number, trade in enumerate(deal.trade_ins):
        payoff = 0 if trade.kind == "none" else trade.payoff
        if payoff is None or trade.allowance is None:
            return f"trade_ins[{number}].{'payoff' if payoff is None else 'allowance'}"
        total += payoff - trade.allowance
    return total
