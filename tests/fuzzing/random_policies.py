"""Random policies and deals from a seed: every operator, chaining, extreme amounts, unknowns, hundreds of rules."""

from random import Random
from typing import Any

MONEY = (
    "cash_price",
    "cash_down",
    "rebate",
    "doc_fee",
    "monthly_income",
    "monthly_debt",
    "amount_financed",
    "collateral_value",
    "trade_payoff",
    "contract_negative_equity",
    "hidden_negative_equity",
    "rolled_in_negative_equity",
    "monthly_payment",
    'book_value("msrp")',
    "sum(trade_ins, payoff)",
    "payoff_at_funding",
    "amount_financed_at_funding",
    "greatest(trade_ins, payoff - acv)",
    'sum(products, price, kind == "gap")',
    "max_money",
)
PERCENT = (
    "total_ltv",
    "front_end_ltv",
    "payment_to_income",
    "debt_to_income",
    "apr_percent",
    "negative_equity_to_value",
    "max_percent",
)
COUNT = (
    "term_months",
    "credit_score",
    "mileage",
    "model_year",
    "vehicle_age",
    "count(trade_ins)",
    "count(products, price > $500)",
    "days_past_good_through",
    "book_value_age",
    "credit_report_age",
    "days(submitted_on, expected_funding_on)",
    "greatest(trade_ins, days(submitted_on, payoff_good_through))",
    "count(trade_ins, payoff_good_through < expected_funding_on)",
    'days(book_value_as_of("msrp"), submitted_on)',
    "max_count",
)
AMOUNTS = (0, 1, 99, 100, 250_000, 1_549_999, 1_550_000, 2_700_000, 3_375_000, 3_375_001, 999_999_999, 1_000_000_000)


DAYS = ("2024-02-29", "2026-10-21", "2026-11-19", "2026-11-20", "2026-11-21", "2026-12-01", "2026-12-15", "2027-03-01")
SUBMITTED = "2026-11-20"


class Author:
    """Writes random policy documents and deals."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def policy(self, rules: int) -> str:
        pick = self.random
        lines = ["policy: random", 'version: "1"', "title: Random", "effective_from: 2026-01-01"]
        lines += ["collateral_value:", "  new: [invoice, msrp]", "  used: [jdpower_clean_trade, msrp]", "limits:"]
        for name, unit in (("max_money", "money"), ("max_percent", "percent"), ("max_count", "count")):
            lines += [f"  {name}:", f"    unit: {unit}", "    rows:"]
            for _ in range(pick.randrange(4)):
                lines += [
                    f"      - when: {self._quoted(self.truth(2, limits=False))}",
                    f"        limit: {self.literal(unit)}",
                ]
            lines += [f"      - limit: {self.literal(unit)}"]
        lines.append("rules:")
        for index in range(rules):
            earlier = [f"R{pick.randrange(index)}" for _ in range(2)] if index and pick.random() < 0.2 else []
            outcome = pick.choice(("flag", "refer", "decline"))
            lines += [f"  - id: R{index}", "    title: A rule", f"    require: {self._quoted(self.truth(3, earlier))}"]
            if pick.random() < 0.4:
                lines.append(f"    applies: {self._quoted(self.truth(2, earlier))}")
            if outcome != "flag" and pick.random() < 0.3:
                lines.append(f"    mitigated_by: {{when: {self._quoted(self.truth(2))}, to: flag}}")
            lines += [f"    otherwise: {outcome}", "    reason: Random"]
        return "\n".join(lines) + "\n"

    def _quoted(self, text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    def literal(self, unit: str) -> str:
        pick = self.random
        if unit == "money":
            return f"${pick.choice(AMOUNTS) / 100:.2f}"
        return (
            f"{pick.choice((0, 5, 15, 80, 100, 125, 250))}%"
            if unit == "percent"
            else str(pick.choice((0, 1, 3, 14, 30, 36, 72, 700, 2023, 90_000)))
        )

    def number(self, unit: str, depth: int, *, limits: bool = True) -> str:
        pick = self.random
        names = {"money": MONEY, "percent": PERCENT, "count": COUNT}[unit]
        name = pick.choice(names if limits else names[:-1])
        if depth <= 0 or pick.random() < 0.5:
            return name if pick.random() < 0.8 else self.literal(unit)
        other = self.number(unit, depth - 1, limits=limits)
        form = pick.randrange(4)
        if form == 0:
            return f"({name} {pick.choice('+-')} {other})"
        if form == 1:
            return f"{pick.choice(('min', 'max'))}({name}, {other})"
        if form == 2 and unit == "money":
            return f"({self.literal('percent')} * {name})"
        return f"first_known({name}, {other})" if form == 2 else f"({name} * {pick.choice((2, 3))})"

    def truth(self, depth: int, earlier: list[str] | None = None, *, limits: bool = True) -> str:
        pick = self.random
        if depth > 0 and pick.random() < 0.5:
            parts = [self.truth(depth - 1, earlier, limits=limits) for _ in range(pick.choice((2, 2, 3)))]
            joined = f" {pick.choice(('and', 'or'))} ".join(f"({part})" for part in parts)
            return f"not ({joined})" if pick.random() < 0.25 else joined
        if earlier and pick.random() < 0.5:
            return f'violated("{pick.choice(earlier)}")'
        form = pick.randrange(10)
        if form == 0:
            return f'tier {pick.choice(("in", "not in"))} ["A", "{pick.choice("BCD")}"]'
        if form == 1:
            return pick.choice(
                (
                    'condition == "new"',
                    'state != "TX"',
                    "first_time_buyer",
                    "not covered_borrower",
                    "mileage in [0, 31200]",
                )
            )
        if form == 2:
            return f"missing({pick.choice(('tier', 'credit_score', 'collateral_value', 'total_ltv'))})"
        unit = pick.choice(("money", "money", "percent", "count"))
        operator = pick.choice(("<", "<=", ">", ">=", "==", "!="))
        return f"{self.number(unit, 2, limits=limits)} {operator} {self.number(unit, 1, limits=limits)}"

    def value(self, basis: str, amount: str) -> dict[str, str]:
        """A book value, now and then without the day it is of, or of a day to come."""
        dated = {"as_of": self.random.choice(DAYS)} if self.random.random() < 0.8 else {}
        return {"basis": basis, "amount": amount, **dated}

    def deal(self) -> dict[str, Any]:
        pick = self.random

        def amount() -> str:
            cents = pick.choice(AMOUNTS) if pick.random() < 0.4 else pick.randrange(6_000_000)
            return f"{cents // 100}.{cents % 100:02d}"

        def perhaps(fields: dict[str, Any], share: float = 0.8) -> dict[str, Any]:
            return {name: value for name, value in fields.items() if pick.random() < share}

        condition = pick.choice(("new", "used"))
        bases = pick.sample(("invoice", "msrp", "jdpower_clean_trade", "kbb_trade_in"), pick.randrange(4))
        trades = [
            {"kind": pick.choice(("loan", "lease"))}
            | perhaps({"allowance": amount(), "acv": amount(), "payoff": amount()}, 0.9)
            | perhaps({"payoff_good_through": pick.choice(DAYS), "per_diem": f"{pick.randrange(9)}.50"})
            for _ in range(pick.choice((0, 0, 1, 1, 2)))
        ]
        return {
            "deal_id": "F-1",
            "submitted_on": SUBMITTED,
            "cash_price": amount(),
            "term_months": pick.choice((1, 36, 72, 84, 600)),
            "vehicle": {"condition": condition, "values": [self.value(basis, amount()) for basis in bases]}
            | perhaps({"model_year": pick.choice((2015, 2023, 2027)), "mileage": pick.choice((0, 31_200, 90_000))}),
            "applicant": perhaps(
                {
                    "tier": pick.choice("ABCD"),
                    "credit_score": pick.choice((507, 700, 760)),
                    "monthly_income": amount(),
                    "monthly_debt": amount(),
                    "first_time_buyer": pick.random() < 0.5,
                    "covered_borrower": pick.random() < 0.5,
                    "credit_report_as_of": pick.choice([day for day in DAYS if day <= SUBMITTED]),
                }
            ),
            "trade_ins": trades,
            "products": [
                {"kind": pick.choice(("gap", "service_contract")), "price": amount()} for _ in range(pick.randrange(3))
            ],
        } | perhaps(
            {
                "cash_down": amount(),
                "rebate": amount(),
                "doc_fee": amount(),
                "expected_funding_on": pick.choice([day for day in DAYS if day >= SUBMITTED]),
                "state": pick.choice(("TX", "CA")),
                "apr_percent": pick.choice(("0.00", "7.90", "29.9999")),
            },
            0.6,
        )
