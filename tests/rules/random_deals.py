"""Whole random deals: unknowns of every kind, amounts up to the largest, lists of a few items."""

from datetime import date
from typing import Any

from hypothesis import strategies as st

from dealgate.rules.amounts import MAX_CENTS, hundredths
from dealgate.rules.deal import MODEL_YEARS_AHEAD

Strategy = st.SearchStrategy[Any]

LEFT_OUT = "(left out)"
EDGES = (0, 1, 99, 100, 2_500_00, 5_000_00, 15_500_00, 27_000_00, 33_750_00, 33_750_01, MAX_CENTS - 1, MAX_CENTS)

MONEY: Strategy = st.one_of(st.sampled_from(EDGES), st.integers(0, 60_000_00), st.integers(0, MAX_CENTS)).map(
    hundredths
)
PAYMENT: Strategy = MONEY.filter(lambda amount: amount != "0.00")
RATE: Strategy = st.one_of(
    st.sampled_from(["0.00", "0", "0.0001", "7.90", "999.9999"]),
    st.integers(0, 40_0000).map(lambda rate: f"{rate // 10_000}.{rate % 10_000:04d}"),
)
DAYS: Strategy = st.one_of(
    st.dates(date(2026, 10, 1), date(2027, 2, 1)),
    st.sampled_from([date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1), date(2026, 11, 20), date(2026, 12, 1)]),
    st.dates(),
)
"""Close together more often than not, so that some are stale and some are not."""
DAY: Strategy = DAYS.map(lambda day: day.isoformat())
KIND: Strategy = st.one_of(
    st.sampled_from(["gap", "service_contract"]), st.from_regex(r"[a-z][a-z0-9_]{0,11}", fullmatch=True)
)
WORD: Strategy = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
BASES = ("invoice", "msrp", "jdpower_clean_trade", "kbb_trade_in", "blackbook_average", "house value")


def _mostly(value: Strategy, *, null: bool = True) -> Strategy:
    """Stated three times in four, else left out or (where null means unknown) null."""
    return st.one_of(value, value, value, st.sampled_from([LEFT_OUT, None]) if null else st.just(LEFT_OUT))


def _object(**parts: Strategy) -> Strategy:
    drop = lambda found: {name: part for name, part in found.items() if part != LEFT_OUT}  # noqa: E731
    return st.fixed_dictionaries(parts).map(drop)


APPLICANT = _object(
    tier=_mostly(st.sampled_from("ABCD")),
    credit_score=_mostly(st.integers(250, 900)),
    monthly_income=_mostly(MONEY),
    monthly_debt=_mostly(MONEY),
    first_time_buyer=_mostly(st.booleans()),
    covered_borrower=_mostly(st.booleans()),
    credit_report_as_of=_mostly(DAY),
)
BOOK_VALUES = st.lists(
    _object(basis=st.sampled_from(BASES), amount=MONEY, as_of=_mostly(DAY)),
    max_size=4,
    unique_by=lambda value: value["basis"],
)
VEHICLE = _object(
    vin=_mostly(st.text("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", min_size=5, max_size=17)),
    condition=st.sampled_from(["new", "used"]),
    model_year=_mostly(st.integers(1900, 2100)),
    mileage=_mostly(st.one_of(st.sampled_from([0, 10_000_000]), st.integers(0, 200_000))),
    values=_mostly(BOOK_VALUES, null=False),
)
TRADE = _object(
    kind=st.sampled_from(["loan", "lease"]),
    allowance=_mostly(MONEY),
    acv=_mostly(MONEY),
    payoff=_mostly(MONEY),
    lienholder=_mostly(WORD),
    payoff_good_through=_mostly(DAY),
    per_diem=_mostly(MONEY),
)
OWNED = _object(
    kind=st.just("none"), allowance=_mostly(MONEY), acv=_mostly(MONEY), payoff=_mostly(st.sampled_from(["0.00", None]))
)
PRODUCT = _object(kind=KIND, price=MONEY)
CARRIED = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**53) + 1, 2**53 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        WORD,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORD, inner, max_size=3)),
    max_leaves=5,
)


def _in_its_time(deal: dict[str, Any]) -> dict[str, Any]:
    """No loan is funded before its deal is submitted, no report drawn after, no vehicle built long after."""
    submitted, applicant, vehicle = deal["submitted_on"], deal.get("applicant", {}), deal["vehicle"]
    if (vehicle.get("model_year") or 0) > (newest := int(submitted[:4]) + MODEL_YEARS_AHEAD):
        deal = {**deal, "vehicle": {**vehicle, "model_year": newest if newest >= 1900 else None}}
    if deal.get("expected_funding_on"):
        deal = {**deal, "expected_funding_on": max(submitted, deal["expected_funding_on"])}
    if applicant.get("credit_report_as_of"):
        report = min(submitted, applicant["credit_report_as_of"])
        deal = {**deal, "applicant": {**applicant, "credit_report_as_of": report}}
    return deal


DEALS = _object(
    deal_id=WORD,
    submitted_on=DAY,
    expected_funding_on=_mostly(DAY),
    channel=_mostly(st.sampled_from(["indirect", "direct"])),
    dealer_id=_mostly(WORD),
    state=_mostly(st.sampled_from(["TX", "CA", "NV"])),
    applicant=_mostly(APPLICANT, null=False),
    vehicle=VEHICLE,
    cash_price=MONEY,
    sales_tax=_mostly(MONEY, null=False),
    title_and_registration=_mostly(MONEY, null=False),
    doc_fee=_mostly(MONEY, null=False),
    products=_mostly(st.lists(PRODUCT, max_size=3), null=False),
    trade_ins=_mostly(st.lists(st.one_of(TRADE, TRADE, OWNED), max_size=3), null=False),
    cash_down=_mostly(MONEY, null=False),
    rebate=_mostly(MONEY, null=False),
    prepaid_finance_charge=_mostly(MONEY, null=False),
    term_months=st.one_of(st.sampled_from([1, 72, 600]), st.integers(1, 600)),
    apr_percent=_mostly(RATE),
    monthly_payment=_mostly(PAYMENT),
    metadata=_mostly(st.dictionaries(WORD, CARRIED, max_size=2), null=False),
).map(_in_its_time)
"""Deal documents as a host may send them."""
