"""The section `overrides` of a policy document: who may override what, every mistake with its place."""

import re
from collections.abc import Collection, Mapping
from typing import Protocol

from dealgate.rules.authority import BOTH_SIDES, Authority, Overrides, SecondPerson, Side, plain_name
from dealgate.rules.document import List, Node, Report, Scalar, Table
from dealgate.rules.expressions import Number
from dealgate.rules.fields import Unit

CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", re.ASCII)
MOST_DAYS = 3_650
MOST_ROLES, MOST_CODES = 200, 500

REQUIRED = ("reasons", "authority", "expires_after_days")
OPTIONAL = ("compensating_factors", "second_person")
OF_A_ROLE = ("role", "max_amount", "max_excess")


class ReadsNumbers(Protocol):
    def __call__(self, node: Node | None, unit: Unit) -> Number | None: ...


def read_overrides(report: Report, node: Node | None, rules: Collection[str], number: ReadsNumbers) -> Overrides | None:
    """`rules` are the ids of the policy's rules; `number` reads a plain number of a unit."""
    return _Reader(report, rules, number).overrides(node) if node is not None else None


class _Reader:
    def __init__(self, report: Report, rules: Collection[str], number: ReadsNumbers) -> None:
        self.report = report
        self.rules = rules
        self.number = number

    def overrides(self, node: Node) -> Overrides:
        parts = self.report.table(node, "overrides", REQUIRED, OPTIONAL)
        return Overrides(
            reasons=self._codes(parts.get("reasons"), "reasons"),
            authority=self._authority(parts.get("authority")),
            expires_after_days=self._days(parts.get("expires_after_days")),
            compensating_factors=self._codes(parts.get("compensating_factors"), "compensating_factors"),
            second_person=self._second_person(parts.get("second_person")),
        )

    def _codes(self, node: Node | None, what: str) -> Mapping[str, str]:
        if node is None:
            return {}
        if not isinstance(node, Table) or not 0 < len(node.entries) <= MOST_CODES:
            self.report.add(node.place, f"{what} maps 1 to {MOST_CODES} codes to their words")
            return {}
        for code, key in node.keys.items():
            if not CODE.fullmatch(code):
                self.report.add(key.place, f"{code!r} is not a code", "Use letters, digits, '-', '_' and '.'.")
        return {code: self._line(words, f"the words of {code}") for code, words in node.entries.items()}

    def _authority(self, node: Node | None) -> tuple[Authority, ...]:
        if node is None:
            return ()
        items = self.report.list(node, "authority")
        if not 0 < len(items) <= MOST_ROLES:
            self.report.add(node.place, f"authority lists 1 to {MOST_ROLES} roles")
            return ()
        found: dict[str, Authority] = {}
        for item in items:
            authority = self._role(item)
            if plain_name(authority.role) in found and authority.role:
                self.report.add(item.place, f"the role {authority.role!r} has its row already", "Make one row of both.")
            found.setdefault(plain_name(authority.role), authority)
        return tuple(found.values())

    def _role(self, node: Node) -> Authority:
        parts = self.report.table(node, "a role's authority", OF_A_ROLE, ("rules", "sides", "unmeasured"))
        amount, excess = (self._money(parts.get(name), name, least=1) for name in OF_A_ROLE[1:])
        sides = self._words(parts.get("sides"), "sides", [side.value for side in BOTH_SIDES])
        return Authority(
            role=self._line(parts["role"], "role") if "role" in parts else "",
            max_amount=amount or 0,
            max_excess=excess or 0,
            rules=self._words(parts.get("rules"), "rules", self.rules),
            sides=BOTH_SIDES if sides is None else tuple(side for side in Side if side.value in sides),
            unmeasured=self._truth(parts.get("unmeasured"), "unmeasured"),
        )

    def _second_person(self, node: Node | None) -> SecondPerson | None:
        if node is None:
            return None
        parts = self.report.table(node, "second_person", (), ("above_amount", "above_excess"))
        if not parts and isinstance(node, Table):
            self.report.add(node.place, "second_person says above which amount: 'above_amount', 'above_excess' or both")
        return SecondPerson(*(self._money(parts.get(name), name, least=0) for name in ("above_amount", "above_excess")))

    def _money(self, node: Node | None, what: str, least: int) -> int | None:
        number = self.number(node, Unit.MONEY)
        if node is not None and number is not None and number.numerator < least:
            self.report.add(node.place, f"{what} is {'above' if least else 'not below'} $0")
        return number.numerator if number else None

    def _days(self, node: Node | None) -> int:
        number = self.number(node, Unit.COUNT)
        if node is not None and number is not None and not 0 < number.numerator <= MOST_DAYS:
            self.report.add(node.place, f"expires_after_days is a number of days from 1 to {MOST_DAYS:,}")
        return number.numerator if number else 0

    def _words(self, node: Node | None, what: str, known: Collection[str]) -> tuple[str, ...] | None:
        """Words out of those known, in their order there; None where no list is given."""
        if node is None:
            return None
        items = self.report.list(node, what)
        if isinstance(node, List) and not items:
            self.report.add(
                node.place, f"{what} lists at least one", "Leave it out where no one is meant to be excluded."
            )
        found = [self.report.word(item, f"an entry of {what}", known) for item in items]
        if len(set(found)) < len(found):
            self.report.add(node.place, f"{what} names one twice")
        return tuple(found)

    def _truth(self, node: Node | None, what: str) -> bool:
        if node is None:
            return False
        if isinstance(node, Scalar) and not node.quoted and node.value in {"true", "false"}:
            return node.value == "true"
        self.report.add(node.place, f"{what} is true or false")
        return False

    def _line(self, node: Node, what: str) -> str:
        text = self.report.text(node, what)
        if len(text) > 200 or any(ord(character) < 32 for character in text):
            self.report.add(node.place, f"{what} is one line of at most 200 characters")
        return text
