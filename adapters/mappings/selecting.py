"""Elements of a list that no condition over it selects: a trade of an unknown sort would be lost without a word."""

from collections.abc import Iterator
from typing import Any

from dealgate.adapters.mappings.finding import Finder, place_of
from dealgate.adapters.mappings.paths import Path, PathError, flat
from dealgate.adapters.mappings.plan import Plan
from dealgate.adapters.mappings.problems import MappingProblem, shown

REMEDY = "Select it with an `each:`, carry it whole under `metadata:`, or list it under `ignore:`."


def unselected(plan: Plan, finder: Finder) -> Iterator[MappingProblem]:
    """One problem for each. What a condition cannot be asked of is told where the path is read."""
    root = finder.payload.root
    try:
        listed = {
            id(one): (items.target, items.each, one)
            for items in plan.items
            if items.each
            for one in _listed(items.each, root, finder)
        }
        known = {id(one) for one in _known(plan, root)} if listed else set()
    except PathError:
        return
    for number, (target, each, one) in listed.items():
        if isinstance(one, bool) or number not in known:  # every truth is one and the same object
            message = "is an element that no `each:` selects"
            yield MappingProblem(target, shown(one), message, REMEDY, place_of(one, each))


def _listed(each: Path, root: object, finder: Finder) -> Iterator[Any]:
    """Every element of the lists that a path goes through; what stands in the place of a list is one too."""
    for level in each.levels(root):
        found = level.whole
        elements = flat(found) if isinstance(found, list) else () if found is None or found == "" else [found]
        yield from (one for one in elements if not finder.is_nothing(one))


def _known(plan: Plan, root: object) -> Iterator[Any]:
    """What items are made of, what is added up or selected by a condition, and all that is carried along."""
    for items in plan.items:
        if items.each:
            yield from flat([items.each.find(root)])
            yield from _selected(items.each, root, always=True)
    for field in plan.fields:
        for path in field.paths:
            yield from _selected(path, root, always=field.total)
    for path in plan.metadata.values():
        yield from _below(path.find(root))


def _selected(path: Path, root: object, *, always: bool) -> Iterator[Any]:
    for level in path.levels(root):
        if always or level.by_condition:
            yield from level.selected


def _below(value: Any) -> Iterator[Any]:
    yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _below(part)
