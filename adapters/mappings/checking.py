"""Figures that a host states beside the parts they follow from: they must agree."""

from collections.abc import Iterator

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
    nodes = finder.stands(check.each, finder.payload.root) if check.each else [finder.payload.root]
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
    if check.amount_financed and deal is None:
        return
    follows = amount_financed(deal) if deal and check.amount_financed else _sum(check, finder, node)
    if isinstance(follows, str):
        yield f"{where} {hundredths(stated)} was not checked: {follows} is not stated"
    elif stated != follows:
        message = f"does not agree with {hundredths(follows)}, which follows from its parts: {check.because}"
        problem = MappingProblem("", repr(hundredths(stated)), message, "Correct the figure or its parts.", where)
        yield problem if check.refuses else f"{where} {hundredths(stated)} {message}"


def _figures(check: Check, finder: Finder, path: Path, node: object) -> tuple[str, list[int]]:
    """The figures that a path finds, in cents, perhaps below zero; an empty one is none.

    A part that is only checked is not in the deal, so that only the figure itself counts as read.
    """
    found = finder.stands(path, node, take=path is check.value)
    where = place_of(found[0], path) if found else path.text
    try:
        read = (exact(value, finder.source.thousands) * check.scale for value in found if value != "")
        return where, [money(amount, signed=True) for amount in read]
    except ValueRefusedError as error:
        raise FieldRefusedError(MappingProblem("", shown(found), str(error), error.remedy, where)) from None


def _sum(check: Check, finder: Finder, node: object) -> int | str:
    """What the parts come to, or the one that is not stated."""
    total = 0
    for sign, paths in ((1, check.plus), (-1, check.minus)):
        for path in paths:
            where, figures = _figures(check, finder, path, node)
            if not figures:
                return where
            total += sign * sum(figures)
    return total


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
