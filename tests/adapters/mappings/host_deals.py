"""For each host, random deals as far as its form can state them."""

from collections.abc import Callable
from datetime import date
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.adapters.mappings.hosts import (
    PRICING,
    SOURCES,
    VALUE_TYPES,
    Document,
    absee,
    dealertrack,
    flat,
    meridianlink,
    routeone,
)
from tests.rules.random_deals import KIND, MONEY, PAYMENT, RATE

WORD = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp", "Co", "Cn"]), min_size=1, max_size=12
)
DAY = st.dates(date(2098, 1, 1)).map(lambda day: day.isoformat())
SCORE = st.integers(250, 900)


def _some(**parts: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=parts)


def _products(*kinds: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    priced = {kind: st.fixed_dictionaries({"kind": st.just(kind), "price": MONEY}) for kind in kinds}
    return st.lists(st.sampled_from(kinds), unique=True).flatmap(
        lambda chosen: st.tuples(*(priced[kind] for kind in kinds if kind in chosen)).map(list)
    )


def _values(*bases: str, most: int = 6) -> st.SearchStrategy[list[dict[str, Any]]]:
    one = st.fixed_dictionaries({"basis": st.sampled_from(bases), "amount": MONEY})
    return st.lists(one, max_size=most, unique_by=lambda value: value["basis"])


def _trades(**parts: Any) -> st.SearchStrategy[list[dict[str, Any]]]:
    required = {"kind": st.just("loan"), "allowance": MONEY} | {
        name: part for name, part in parts.items() if name == "kind"
    }
    one = st.fixed_dictionaries(required, optional={name: part for name, part in parts.items() if name != "kind"})
    return st.lists(one, max_size=3)


def _deals(applicant: Any, vehicle: Any, required: Any, optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    car = st.fixed_dictionaries({"condition": st.sampled_from(["new", "used"])}, optional=vehicle)
    whole = {
        "deal_id": WORD,
        "submitted_on": DAY,
        "vehicle": car,
        "cash_price": MONEY,
        "term_months": st.integers(1, 600),
    }
    rest = {
        "state": st.sampled_from(["TX", "NV"]),
        "applicant": _some(**applicant),
        "apr_percent": RATE,
        "monthly_payment": PAYMENT,
    }
    return st.fixed_dictionaries(whole | required, optional=rest | optional)


CAR = {
    "vin": st.text("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", min_size=5, max_size=17),
    "model_year": st.integers(1900, 2100),
    "mileage": st.integers(0, 200_000),
}
INCOME = {"credit_score": SCORE, "monthly_income": MONEY}
DEBT = INCOME | {"monthly_debt": MONEY}
DEALER = {"dealer_id": WORD, "sales_tax": MONEY, "title_and_registration": MONEY, "rebate": MONEY}
LIEN = {"payoff": MONEY, "lienholder": WORD, "payoff_good_through": DAY, "per_diem": MONEY}
INDIRECT = {"cash_down": MONEY, "channel": st.just("indirect")}


class Host(NamedTuple):
    """A host's way to write a deal, and which deals it can write."""

    mapping: str
    write: Callable[..., bytes]
    deals: st.SearchStrategy[dict[str, Any]]


def _monthly(deal: dict[str, Any]) -> dict[str, Any]:
    """As a filing can state it: the first of a month, the row in the id."""
    return deal | {"deal_id": f"{deal['deal_id']}/1", "submitted_on": f"{deal['submitted_on'][:8]}01"}


HOSTS = (
    Host(
        "routeone",
        routeone,
        _deals(
            INCOME,
            CAR | {"values": _values(*PRICING.values())},
            INDIRECT,
            DEALER
            | {
                "doc_fee": MONEY,
                "products": _products("service_contract", "credit_life", "credit_disability"),
                "trade_ins": _trades(payoff=MONEY, lienholder=WORD),
            },
        ),
    ),
    Host(
        "meridianlink",
        meridianlink,
        _deals(
            DEBT | {"tier": WORD},
            CAR | {"values": _values(*VALUE_TYPES.values(), most=1)},
            {"cash_down": MONEY},
            DEALER
            | {
                "channel": st.sampled_from(["indirect", "direct"]),
                "products": _products("gap", "credit_life", "credit_disability", "back_end_items"),
                "trade_ins": _trades(**LIEN),
            },
        ),
    ),
    Host(
        "dealertrack",
        dealertrack,
        _deals(
            DEBT,
            CAR
            | {
                "values": _values("jdpower_clean_trade", "invoice", "msrp").map(
                    lambda found: sorted(found, key=_dealertrack_order)
                )
            },
            INDIRECT,
            DEALER
            | {
                "doc_fee": MONEY,
                "products": _products("gap", "service_contract", "credit_life", "credit_disability"),
                "trade_ins": _trades(acv=MONEY, **LIEN),
            },
        ),
    ),
    Host(
        "csv",
        flat,
        _deals(
            DEBT | {"tier": WORD, "first_time_buyer": st.booleans(), "covered_borrower": st.booleans()},
            CAR
            | {
                "values": _values("invoice", "msrp", "jdpower_clean_trade").map(
                    lambda found: sorted(found, key=_csv_order)
                )
            },
            {"cash_down": MONEY},
            DEALER
            | {
                "doc_fee": MONEY,
                "prepaid_finance_charge": MONEY,
                "channel": st.sampled_from(["indirect", "direct"]),
                "products": st.lists(st.fixed_dictionaries({"kind": KIND, "price": MONEY}), max_size=3),
                "trade_ins": _trades(kind=st.sampled_from(["loan", "lease"]), acv=MONEY, **LIEN),
            },
        ),
    ),
    Host(
        "absee",
        absee,
        _deals(
            {"credit_score": SCORE},
            {"model_year": st.integers(1900, 2100), "values": _values(*SOURCES, most=1)},
            {},
            {},
        ).map(_monthly),
    ),
)


def _dealertrack_order(value: Document) -> int:
    return ("jdpower_clean_trade", "invoice", "msrp").index(value["basis"])


def _csv_order(value: Document) -> int:
    return ("invoice", "msrp", "jdpower_clean_trade").index(value["basis"])
