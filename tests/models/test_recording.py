"""What one submission leaves in the tables, to the cent."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from math import gcd
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from dealgate import CompiledPolicy, Deal, Policy
from dealgate.models import (
    BookValue,
    Decision,
    Finding,
    PolicyConflictError,
    PolicyVersion,
    Product,
    Recorded,
    Submission,
    TradeIn,
    find_decision,
    find_submission,
    record_policy,
)
from dealgate.models import Deal as DealRow
from dealgate.rules.privacy import personal_parts
from tests.databases import NOTHING, count_rows
from tests.models.samples import CLEAN, MINIMAL, NOW, POLICY, a_deal, a_policy, compiled, submit


def stored(database: Engine, entity: type[Any], *order: str) -> Sequence[Any]:
    with Session(database) as session:
        return session.scalars(select(entity).order_by(*order)).all()


def only(database: Engine, entity: type[Any]) -> Any:
    (row,) = stored(database, entity)
    return row


def find(database: Engine, recorded: Recorded) -> Mapping[str, Any] | None:
    with database.connect() as connection:
        return find_decision(connection, recorded.decision_id)


def shown(row: object, *names: str) -> dict[str, object]:
    return {name: getattr(row, name) for name in names}


def test_every_field_of_a_deal_that_is_not_personal_is_stored_as_a_column_of_its_own(database: Engine) -> None:
    with Session(database) as session:
        submit(session, a_deal(), actor="los")
        session.commit()

    row = only(database, Submission)
    columns = {column.name: getattr(row, column.name) for column in Submission.__table__.columns}

    assert columns == {
        "id": row.id,
        "deal_id": "D-2026-001847",
        "submission": 1,
        "received_at": NOW,
        "actor": "los",
        "idempotency_key": None,
        "submitted_on": date(2026, 11, 20),
        "expected_funding_on": date(2026, 12, 15),
        "channel": "indirect",
        "dealer_id": "DLR-0042",
        "state": "TX",
        "tier": "B",
        "first_time_buyer": False,
        "covered_borrower": True,
        "credit_report_as_of": date(2026, 11, 10),
        "condition": "used",
        "model_year": 2023,
        "mileage": 31200,
        "cash_price_cents": 2999500,
        "sales_tax_cents": 187469,
        "title_and_registration_cents": 38000,
        "doc_fee_cents": 22500,
        "cash_down_cents": 140000,
        "rebate_cents": 10000,
        "prepaid_finance_charge_cents": 1,
        "term_months": 72,
        "apr_ten_thousandths": 79025,
        "monthly_payment_cents": None,
    }


def test_what_a_deal_leaves_out_is_zero_for_parts_of_the_structure_and_null_for_everything_else(
    database: Engine,
) -> None:
    with Session(database) as session:
        submit(session, MINIMAL)
        session.commit()

    row = only(database, Submission)
    parts = ("sales_tax", "title_and_registration", "doc_fee", "cash_down", "rebate", "prepaid_finance_charge")
    assert [getattr(row, f"{part}_cents") for part in parts] == [0] * len(parts)
    unknown = [
        *("channel", "dealer_id", "state", "model_year", "mileage", "apr_ten_thousandths", "monthly_payment_cents"),
        *("tier", "first_time_buyer", "covered_borrower"),
    ]
    assert shown(row, *unknown) == dict.fromkeys(unknown)


def test_trade_ins_are_stored_in_their_order_with_amounts_in_cents(database: Engine) -> None:
    with Session(database) as session:
        submit(session, a_deal())
        session.commit()

    first, second = stored(database, TradeIn, "position")
    assert shown(first, "position", "kind", "allowance_cents", "acv_cents", "payoff_cents", "per_diem_cents") == {
        "position": 0,
        "kind": "loan",
        "allowance_cents": 1550000,
        "acv_cents": 1550000,
        "payoff_cents": 1900000,
        "per_diem_cents": 312,
    }
    assert first.payoff_good_through == date(2026, 12, 1)
    assert shown(second, "position", "kind", "allowance_cents", "payoff_cents", "per_diem_cents") == {
        "position": 1,
        "kind": "none",
        "allowance_cents": 1,
        "payoff_cents": None,
        "per_diem_cents": None,
    }


def test_products_and_book_values_are_stored_in_their_order_with_amounts_in_cents(database: Engine) -> None:
    with Session(database) as session:
        submit(session, a_deal())
        session.commit()

    products = [(row.position, row.kind, row.price_cents) for row in stored(database, Product, "position")]
    values = [(row.position, row.basis, row.amount_cents, row.as_of) for row in stored(database, BookValue, "position")]
    assert products == [(0, "gap", 89500), (1, "service_contract", 240000)]
    assert values == [
        (0, "jdpower_clean_trade", 2700000, date(2026, 11, 18)),
        (1, "jdpower_clean_retail", 2995000, None),
    ]


def test_the_largest_amounts_are_stored_to_the_cent(database: Engine) -> None:
    largest = "10000000.00"
    with Session(database) as session:
        submit(session, a_deal(cash_price=largest, products=[{"kind": "gap", "price": largest}] * 100))
        session.commit()

    assert only(database, Submission).cash_price_cents == 1_000_000_000
    assert only(database, Decision).products_total_cents == 100_000_000_000


def test_the_stored_decision_is_the_one_that_was_returned(database: Engine) -> None:
    with Session(database) as session:
        recorded = submit(session, a_deal())
        session.commit()

    row = only(database, Decision)
    assert find(database, recorded) == recorded.decision == json.loads(recorded.text)
    assert shown(row, "decision_id", "deal_id", "submission", "policy_sha256", "decided_at", "outcome") == {
        "decision_id": recorded.decision_id,
        "deal_id": "D-2026-001847",
        "submission": 1,
        "policy_sha256": compiled().policy.sha256,
        "decided_at": NOW,
        "outcome": "refer",
    }
    assert row.engine_agreed is True
    assert UUID(recorded.decision["decision_id"]) == UUID(recorded.decision_id)
    assert recorded.decision["decided_at"] == "2026-11-20T15:04:05.123456Z"


def test_a_decision_counts_a_finding_for_every_rule_and_the_table_only_those_somebody_may_ask_about(
    database: Engine,
) -> None:
    with Session(database) as session:
        recorded = submit(session, a_deal(applicant__monthly_debt=None))
        session.commit()

    assert {finding["rule"]: finding["result"] for finding in recorded.decision["findings"]} == {
        "LTV-TOTAL": "violated",
        "PRODUCTS": "violated",
        "AGE": "violated",
        "PTI": "mitigated",
        "DTI": "not_evaluable",
        "NE-ROLLED": "pass",
        "NEW-TERM": "not_applicable",
    }
    assert {row.rule: (row.result, row.severity) for row in stored(database, Finding)} == {
        "LTV-TOTAL": ("violated", "refer"),
        "PRODUCTS": ("violated", "flag"),
        "AGE": ("violated", "flag"),
        "PTI": ("mitigated", "flag"),
        "DTI": ("not_evaluable", "refer"),
    }


def test_a_deal_that_passes_stores_no_finding(database: Engine) -> None:
    with Session(database) as session:
        recorded = submit(session, CLEAN)
        session.commit()

    assert recorded.decision["outcome"] == "pass"
    assert stored(database, Finding) == []


def test_findings_hold_what_was_measured_its_limit_and_the_room_unless_that_would_tell_a_personal_value(
    database: Engine,
) -> None:
    with Session(database) as session:
        submit(session, a_deal(applicant__monthly_debt=None))
        session.commit()

    names = ("measure", "unit", "measured_value", "limit_value", "margin_value")
    values = {row.rule: tuple(getattr(row, name) for name in names) for row in stored(database, Finding)}
    assert values == {
        "LTV-TOTAL": ("total_ltv", "percent", 13989, 12500, -401967),
        "PRODUCTS": ("products_total", "money", 329500, 300000, -29500),
        "AGE": ("vehicle_age", "count", 3, 2, -1),
        "PTI": (None,) * 5,
        "DTI": (None,) * 5,
    }


def test_findings_hold_the_reason_that_the_decision_shows(database: Engine) -> None:
    with Session(database) as session:
        recorded = submit(session, a_deal(applicant__monthly_debt=None))
        session.commit()

    told = {finding["rule"]: finding for finding in recorded.decision["findings"]}
    rows = stored(database, Finding)
    assert rows
    for row in rows:
        assert row.reason == told[row.rule]["reason"]
        assert row.used_consumer_report is told[row.rule]["used_consumer_report"]


def test_measure_columns_hold_exact_integers(database: Engine) -> None:
    with Session(database) as session:
        submit(session, a_deal())
        session.commit()

    row = only(database, Decision)
    money = {
        "products_total": 329500,
        "trade_allowance": 1550001,
        "trade_acv": 1550001,
        "trade_payoff": 1900000,
        "over_allowance": 0,
        "contract_negative_equity": 349999,
        "economic_negative_equity": 349999,
        "hidden_negative_equity": 0,
        "rolled_in_negative_equity": 199999,
        "amount_financed": 3776967,
        "front_end_amount": 3447467,
        "collateral_value": 2700000,
        "monthly_payment": 66043,
        "per_diem_past_good_through": 4368,
        "payoff_at_funding": 1904368,
        "amount_financed_at_funding": 3781335,
        "negative_equity_at_funding": 354367,
    }
    percents = {
        "total_ltv": (3776967, 2700000),
        "front_end_ltv": (3447467, 2700000),
        "negative_equity_to_value": (199999, 2700000),
    }
    assert {name: getattr(row, f"{name}_cents") for name in money} == money
    assert {
        name: (getattr(row, f"{name}_numerator"), getattr(row, f"{name}_denominator")) for name in percents
    } == percents
    assert row.vehicle_age == 3
    days = {"days_past_good_through": 14, "book_value_age": 2, "credit_report_age": 10}
    assert shown(row, *days) == days


def test_every_shipped_measure_has_its_columns_but_those_that_tell_an_income() -> None:
    columns = {column.name for column in Decision.__table__.columns}
    personal = personal_parts(compiled().policy).measures
    assert personal == {"payment_to_income", "debt_to_income"}
    for name, measure in compiled().policy.measures.items():
        wanted = {
            "money": {f"{name}_cents"},
            "count": {name},
            "percent": {f"{name}_numerator", f"{name}_denominator"},
        }[measure.unit.value]
        assert wanted & columns == (set() if name in personal else wanted), name


def test_a_policys_own_measures_fill_no_column_whatever_they_are_called(database: Engine) -> None:
    columns = [name for name in Decision.__table__.columns.keys() if name not in compiled().policy.measures]  # noqa: SIM118
    assert {"outcome", "submission", "engine_agreed", "total_ltv_numerator", "trade_acv_cents"} <= {*columns}
    own = "".join(f"\n  {name}: {{unit: money, formula: cash_price}}" for name in columns)
    with Session(database) as session:
        submit(session, a_deal())
        recorded = submit(session, a_deal(), policy=compiled(f"{POLICY.replace('sample', 'own')}\nmeasures:{own}\n"))
        session.commit()

    assert recorded.decision["measures"]["outcome"]["value"] == "29995.00"
    plain, named = stored(database, Decision, "submission")
    given = {"id", "decision_id", "submission_id", "submission", "policy_sha256"}
    assert (named.decision_id, named.submission) == (recorded.decision_id, 2)
    assert [name for name in columns if getattr(plain, name) != getattr(named, name) and name not in given] == []


def test_an_unknown_measure_is_null(database: Engine) -> None:
    with Session(database) as session:
        submit(session, a_deal(vehicle__values=[], vehicle__model_year=None))
        session.commit()

    row = only(database, Decision)
    unknown = ("collateral_value_cents", "total_ltv_numerator", "total_ltv_denominator", "vehicle_age")
    assert shown(row, *unknown) == dict.fromkeys(unknown)
    assert row.amount_financed_cents == 3776967


def policy_with_ltv(formula: str) -> CompiledPolicy:
    return compiled(POLICY + f"\nmeasures:\n  front_end_ltv: {{unit: percent, formula: {formula}}}\n")


def test_a_ratio_of_more_than_64_bits_is_stored_in_lowest_terms(database: Engine) -> None:
    numerator, denominator = 3776967**3, 2700000**3
    common = gcd(numerator, denominator)
    assert numerator >= 2**63 > numerator // common

    with Session(database) as session:
        submit(session, a_deal(), policy=policy_with_ltv("total_ltv * total_ltv * total_ltv"))
        session.commit()

    row = only(database, Decision)
    stored_ratio = (row.front_end_ltv_numerator, row.front_end_ltv_denominator)
    assert stored_ratio == (numerator // common, denominator // common)


def test_a_ratio_that_fits_no_column_is_left_to_the_document(database: Engine) -> None:
    with Session(database) as session:
        recorded = submit(session, a_deal(), policy=policy_with_ltv("total_ltv * total_ltv * total_ltv * total_ltv"))
        session.commit()

    row = only(database, Decision)
    assert (row.front_end_ltv_numerator, row.front_end_ltv_denominator) == (None, None)
    assert recorded.decision["measures"]["front_end_ltv"]["value"] == "382.93"


def test_resubmissions_of_a_deal_are_numbered_from_one_and_leave_earlier_ones_as_they_were(database: Engine) -> None:
    with Session(database) as session:
        first = submit(session, a_deal())
        session.commit()
        second = submit(session, a_deal(cash_down="9000.00"))
        other = submit(session, a_deal(deal_id="D-OTHER"))
        third = submit(session, a_deal(cash_down="9500.00"))
        session.commit()

    numbers = [recorded.decision["submission"] for recorded in (first, second, third, other)]
    assert numbers == [1, 2, 3, 1]
    assert find(database, first) == first.decision
    downs = [(row.deal_id, row.submission, row.cash_down_cents) for row in stored(database, Submission, "id")]
    assert downs == [
        ("D-2026-001847", 1, 140000),
        ("D-2026-001847", 2, 900000),
        ("D-OTHER", 1, 140000),
        ("D-2026-001847", 3, 950000),
    ]


def test_the_head_of_a_deal_shows_its_latest_submission(database: Engine) -> None:
    with Session(database) as session:
        submit(session, a_deal())
        last = submit(session, CLEAN | {"deal_id": "D-2026-001847"})
        session.commit()

    head = only(database, DealRow)
    assert shown(head, "deal_id", "submissions", "outcome", "decision_id") == {
        "deal_id": "D-2026-001847",
        "submissions": 2,
        "outcome": "pass",
        "decision_id": last.decision_id,
    }


def test_a_moment_without_a_zone_is_refused_and_nothing_is_stored(database: Engine) -> None:
    naive = datetime(2026, 11, 20, 15, 4, 5)  # noqa: DTZ001
    with Session(database) as session, pytest.raises((ValueError, StatementError), match="zone"):
        submit(session, a_deal(), now=naive)

    with (
        Session(database) as session,
        pytest.raises(StatementError, match="has no time zone; give a moment such as datetime"),
    ):
        record_policy(session, a_policy(), POLICY, naive)
    assert count_rows(database) == NOTHING


def test_a_moment_of_any_zone_is_read_back_in_utc_to_the_microsecond(database: Engine) -> None:
    eastern = NOW.astimezone(timezone(timedelta(hours=-5)))
    with Session(database) as session:
        recorded = submit(session, a_deal(), now=eastern)
        session.commit()

    received_at = only(database, Submission).received_at
    assert (received_at, received_at.tzinfo) == (NOW, UTC)
    assert only(database, PolicyVersion).recorded_at.tzinfo is UTC
    assert recorded.decision["decided_at"] == "2026-11-20T15:04:05.123456Z"


def test_moments_of_other_zones_are_compared_as_moments(database: Engine) -> None:
    with Session(database) as session:
        submit(session, a_deal(), now=NOW)
        submit(session, a_deal(), now=NOW + timedelta(hours=1))
        session.commit()

    with Session(database) as session:
        after = (NOW + timedelta(minutes=30)).astimezone(timezone(timedelta(hours=9)))
        later = session.scalars(select(Submission.submission).where(Submission.received_at > after)).all()
    assert later == [2]


def test_a_policy_version_is_recorded_once_with_its_text_and_the_content_that_decides(database: Engine) -> None:
    policy = a_policy()
    with Session(database) as session:
        record_policy(session, policy, POLICY, NOW)
        record_policy(session, policy, "# a comment\n" + POLICY, NOW + timedelta(days=1))
        session.commit()

    row = only(database, PolicyVersion)
    assert shown(row, "sha256", "name", "version", "title", "effective_from", "effective_to") == {
        "sha256": policy.sha256,
        "name": "sample",
        "version": "1",
        "title": "A policy with every kind of result",
        "effective_from": date(2026, 11, 1),
        "effective_to": date(2027, 11, 1),
    }
    assert (row.document, row.recorded_at) == (POLICY, NOW)
    assert hashlib.sha256(row.content.encode()).hexdigest() == row.sha256


def test_a_recorded_policy_can_be_read_again_and_decides_the_same(database: Engine) -> None:
    with Session(database) as session:
        recorded = submit(session, a_deal())
        session.commit()

    again = Policy.from_text(only(database, PolicyVersion).content)
    assert again.sha256 == recorded.decision["policy"]["sha256"]
    with database.connect() as connection:
        document = find_submission(connection, recorded.decision_id)
    assert document is not None
    evaluation = CompiledPolicy(again).evaluate(Deal.read(document))
    decided = {name: recorded.decision[name] for name in ("outcome", "measures", "reasons", "unknown", "policy")}
    assert {name: evaluation.document()[name] for name in decided} == decided


def test_a_policy_version_that_comes_again_with_other_content_is_refused(database: Engine) -> None:
    with Session(database) as session:
        record_policy(session, a_policy(), POLICY, NOW)
        session.commit()
    before = count_rows(database)

    changed = a_policy(title="Another title")
    with (
        Session(database) as session,
        pytest.raises(PolicyConflictError, match="policy sample 1 is already recorded with other content") as refusal,
    ):
        record_policy(session, changed, POLICY, NOW)
    assert "give the changed document a new version" in str(refusal.value)
    assert changed.sha256[:12] in str(refusal.value)
    assert count_rows(database) == before


def test_a_new_version_of_a_policy_stands_beside_the_old_one(database: Engine) -> None:
    second = CompiledPolicy(a_policy(version='"2"'))
    with Session(database) as session:
        submit(session, a_deal())
        submit(session, a_deal(), policy=second)
        session.commit()

    versions = {row.version: row.sha256 for row in stored(database, PolicyVersion)}
    assert [row.policy_sha256 for row in stored(database, Decision, "id")] == [versions["1"], versions["2"]]
    assert versions["1"] != versions["2"]
