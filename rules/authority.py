"""Who may override findings, as a policy says it, and whether what is asked lies within that. No clock, and no deal."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from unicodedata import normalize

from dealgate.rules.amounts import dollars


class Side(StrEnum):
    """Low: the policy says no, and the deal is let through. High: the policy says yes, and the deal is turned down."""

    LOW = "low"
    HIGH = "high"


BOTH_SIDES = (Side.LOW, Side.HIGH)
DOES = {Side.LOW: "lets no deal through", Side.HIGH: "turns no deal down"}


class OverrideError(ValueError):
    """An override that cannot be as it is asked for; the message says why, and what to do."""


@dataclass(frozen=True)
class Asked:
    """What stands to be overridden: the amount financed and the excess of each named finding, in cents; None is unknown."""

    side: Side
    amount: int | None
    excesses: Mapping[str, int | None]


@dataclass(frozen=True)
class Authority:
    """How far one role may go: the amount financed and each finding's excess, in cents, at most.

    `rules` None is every rule. What is unknown, or no amount of money, only an `unmeasured` authority covers.
    """

    role: str
    max_amount: int
    max_excess: int
    rules: tuple[str, ...] | None = None
    sides: tuple[Side, ...] = BOTH_SIDES
    unmeasured: bool = False

    def lacks(self, asked: Asked) -> tuple[str, ...]:
        """Everything that keeps the role from granting this, each in words; nothing where it may."""
        found = []
        if asked.side not in self.sides:
            found.append(f"the role {DOES[asked.side]}")
        if self.rules is not None:
            found += [f"{rule} is none of the role's rules" for rule in asked.excesses if rule not in self.rules]
            if not asked.excesses:
                found.append("no finding is named, and the role has authority on named rules only")
        found += self._beyond("the amount financed", asked.amount, self.max_amount)
        for rule, excess in asked.excesses.items():
            found += self._beyond(f"the excess of {rule}", excess, self.max_excess)
        return tuple(found)

    def _beyond(self, what: str, value: int | None, most: int) -> list[str]:
        if value is None:
            return [] if self.unmeasured else [f"{what} is not measured in money, and the role is not for such"]
        return [f"{what} is {dollars(value)}, at most {dollars(most)}"] if value > most else []

    def document(self) -> dict[str, Any]:
        """As a policy has it, in one spelling."""
        entries: dict[str, Any] = {
            "role": self.role,
            "max_amount": _money(self.max_amount),
            "max_excess": _money(self.max_excess),
            "sides": [side.value for side in self.sides],
        }
        if self.rules is not None:
            entries["rules"] = list(self.rules)
        return entries | ({"unmeasured": True} if self.unmeasured else {})


@dataclass(frozen=True)
class SecondPerson:
    """Above which amount financed, or which excess, in cents, two persons grant. What is unknown is above."""

    above_amount: int | None = None
    above_excess: int | None = None

    def is_needed(self, asked: Asked) -> bool:
        above_excess = any(_is_above(excess, self.above_excess) for excess in asked.excesses.values())
        return above_excess or _is_above(asked.amount, self.above_amount)

    def document(self) -> dict[str, str]:
        entries = {"above_amount": self.above_amount, "above_excess": self.above_excess}
        return {name: _money(value) for name, value in entries.items() if value is not None}


@dataclass(frozen=True)
class Overrides:
    """What a policy says of overrides. `reasons` and `compensating_factors` are codes with their words."""

    reasons: Mapping[str, str]
    authority: tuple[Authority, ...]
    expires_after_days: int
    compensating_factors: Mapping[str, str] = field(default_factory=dict)
    second_person: SecondPerson | None = None

    def of_role(self, role: str) -> Authority:
        """Raises `OverrideError` for a role to which the policy gives no authority."""
        for authority in self.authority:
            if authority.role == role:
                return authority
        known = ", ".join(authority.role for authority in self.authority)
        raise OverrideError(f"the policy gives the role {role!r} no authority; it gives some to: {known}")

    def persons(self, asked: Asked) -> int:
        """How many persons grant this."""
        return 2 if self.second_person and self.second_person.is_needed(asked) else 1

    def check_somebody_may(self, asked: Asked) -> None:
        """Raises `OverrideError` where no role may grant this, with what each of them lacks."""
        lacking = {authority.role: authority.lacks(asked) for authority in self.authority}
        if all(lacking.values()):
            told = "; ".join(f"{role}: {', '.join(lacks)}" for role, lacks in lacking.items())
            raise OverrideError(f"no role may grant this ({told}): change the deal's structure and submit it again")

    def document(self) -> dict[str, Any]:
        """As a policy has it, in one spelling."""
        entries: dict[str, Any] = {
            "reasons": dict(self.reasons),
            "authority": [authority.document() for authority in self.authority],
            "expires_after_days": self.expires_after_days,
        }
        if self.compensating_factors:
            entries["compensating_factors"] = dict(self.compensating_factors)
        if self.second_person:
            entries["second_person"] = self.second_person.document()
        return entries


def plain_name(name: str) -> str:
    """A person's name as it is compared: without spaces around it, capital letters or not, in whichever of Unicode's spellings."""
    return normalize("NFKC", normalize("NFKC", name).strip().casefold())


def _is_above(value: int | None, threshold: int | None) -> bool:
    return threshold is not None and (value is None or value > threshold)


def _money(cents: int) -> str:
    return dollars(cents).removesuffix(".00")
