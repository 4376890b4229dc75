"""Several policies side by side, such as prime, subprime and powersports: which of them answers for a deal.

Exactly one must. Where none does, where several do, or where it cannot be told, the deal is for a person, and the reason says why.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from dealgate.rules.compiling import Compiler, Source
from dealgate.rules.deal import PartialDeal
from dealgate.rules.expressions import Expression
from dealgate.rules.fields import Facts, facts_of
from dealgate.rules.policy import Policy
from dealgate.rules.reference import Names, Reckoning
from dealgate.rules.tracing import Trace


class Chosen(NamedTuple):
    """The one policy that answers for the deal."""

    policy: Policy


class Unchosen(NamedTuple):
    """No policy answers for the deal, or not exactly one: `reason` says so in words.

    `applying` are the policies that apply, `unknown` those of which it cannot be told, `missing` the fields that would tell.
    """

    reason: str
    applying: tuple[Policy, ...] = ()
    unknown: tuple[Policy, ...] = ()
    missing: tuple[str, ...] = ()


Choice: TypeAlias = Chosen | Unchosen


def applies(policy: Policy, deal: PartialDeal) -> bool | None:
    """Whether a policy answers for a deal; None where fields that it asks for are unknown."""
    return _applies(policy, facts_of(deal))


def choose(versions: Sequence[Policy], deal: PartialDeal) -> Choice:
    """Which of the versions in force answers for a deal."""
    facts = facts_of(deal)
    answers = [(policy, _applies(policy, facts)) for policy in versions]
    applying = tuple(policy for policy, answer in answers if answer)
    unknown = tuple(policy for policy, answer in answers if answer is None)
    if len(applying) > 1:
        return Unchosen(f"{_listed(applying)} apply to this deal; exactly one policy must", applying, unknown)
    if unknown:
        missing = tuple(dict.fromkeys(name for policy in unknown for name in _missing(policy, facts)))
        without = f" without {', '.join(missing)}" if missing else ""
        reason = f"whether {_listed(unknown)} {_verb(unknown)} to this deal is unknown{without}"
        return Unchosen(reason, applying, unknown, missing)
    if applying:
        return Chosen(applying[0])
    if not versions:
        return Unchosen("no policy is in force")
    return Unchosen(f"no policy in force applies to this deal: not {_listed(versions, 'nor')}")


def _listed(policies: Iterable[Policy], word: str = "and") -> str:
    *names, last = [f"{policy.name} {policy.version}" for policy in policies]
    return f"{', '.join(names)} {word} {last}" if names else last


def _verb(policies: Sequence[Policy]) -> str:
    return "applies" if len(policies) == 1 else "apply"


def _applies(policy: Policy, facts: Facts) -> bool | None:
    return True if policy.applies_to is None else _condition(policy.applies_to)(facts)


@lru_cache(maxsize=256)
def _condition(condition: Expression) -> Callable[[Facts], bool | None]:
    """A condition over the deal's own fields as a function; no policy has a part in it."""
    source = Source("facts")
    slot = Compiler(source).write(condition)
    function: Callable[[Facts], bool | None] = source.build("applies", slot.numerator)
    return function


def _missing(policy: Policy, facts: Facts) -> list[str]:
    return Trace(policy, facts, Reckoning(Names((), ()), {}, (), ())).missing(policy.applies_to)
