"""What an envelope says of a decision: all of it, and nothing personal but commitments."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dealgate import CompiledPolicy, Deal, Policy
from dealgate.adapters.policies import SHIPPED, check_policy, load_policy
from dealgate.models.canonical import canonical
from dealgate.models.commitments import SALT_BYTES, PrivateValue, commit
from dealgate.models.envelope import (
    ERASED,
    PERSONAL_FIELDS,
    Draft,
    Place,
    decision_content,
    envelope,
    read_deal,
    read_decision,
)
from dealgate.models.projections import decision_columns, finding_columns, part_columns, submission_columns
from dealgate.rules.decision import Decision
from tests.models.samples import DEAL, NOW, a_deal, compiled
from tests.rules.random_deals import DEALS
from tests.shared import shared_file

ID = "5f6c1a8e-0d0a-4c53-9b62-1f4a3a7d9c10"

Told = tuple[dict[str, Any], dict[str, Any], dict[str, Any], list[PrivateValue]]
"""A decision and its deal as documents, the envelope of the two as it is read again, and the values set apart."""


@cache
def shipped(name: str) -> CompiledPolicy:
    return check_policy(load_policy(name))


@cache
def worked() -> CompiledPolicy:
    return CompiledPolicy(Policy.from_text(shared_file("cases", "policy.yaml").read_text(encoding="utf-8")))


def tell(document: dict[str, Any], policy: CompiledPolicy) -> Told:
    deal = Deal.read(document)
    evaluation = policy.evaluate(deal)
    decision = Decision(ID, deal.deal_id, 1, NOW, evaluation).document()
    content, personal = decision_content(deal.document(), decision, evaluation.personal)
    committed, values = commit(content, personal, bytes(range(256)) * len(personal))
    draft = Draft(ID, "decision", content, personal, deal_id=deal.deal_id, policy_sha256=policy.policy.sha256)
    read = json.loads(canonical(envelope(draft, Place(1, None), committed, NOW)))
    return decision, deal.document(), read, values


def assert_told_in_full(told: Told) -> None:
    decision, deal, read, values = told
    assert read_decision(read, values) == decision
    assert read_deal(read, values) == deal


def documents() -> Iterator[Any]:
    yield a_deal()
    yield a_deal(applicant__monthly_debt=None)
    yield a_deal(metadata={"commit": "0" * 64})
    yield a_deal(trade_ins=[], metadata=None, applicant={}, vehicle__vin=None)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_decision_under_a_shipped_policy_is_read_from_its_envelope_as_it_was_made(name: str) -> None:
    for document in documents():
        assert_told_in_full(tell(document, shipped(name)))


def test_every_worked_case_is_read_from_its_envelope_as_it_was_decided() -> None:
    cases = json.loads(shared_file("cases", "cases.json").read_text(encoding="utf-8"))
    assert len(cases) == 24
    for case in cases:
        for policy in (worked(), *map(shipped, SHIPPED)):
            assert_told_in_full(tell(case["deal"], policy))


@settings(max_examples=40, deadline=None)
@given(DEALS, st.sampled_from(SHIPPED))
def test_any_decision_is_read_from_its_envelope_as_it_was_made(document: dict[str, Any], name: str) -> None:
    document["metadata"] = {}  # what metadata may hold, `canonical` says
    assert_told_in_full(tell(document, shipped(name)))


INCOME, DEBT, SCORE, VIN = "6173.91", "1357.23", 777, "5YJSA1E26MF168123"
TELLING = re.compile(r"6173\.?91|6,173\.91|1357\.?23|1,357\.23|(?<![\w.])777(?![\w.])|5YJSA1E26MF168123|Zzyzx|notebook")
"""The personal values below in every way that dealgate writes numbers."""


@settings(max_examples=40, deadline=None)
@given(DEALS, st.sampled_from([*SHIPPED, "sample"]))
def test_no_envelope_tells_a_personal_value(document: dict[str, Any], name: str) -> None:
    applicant = {"credit_score": SCORE, "monthly_income": INCOME, "monthly_debt": DEBT}
    document["applicant"] = document.get("applicant", {}) | applicant
    document["vehicle"]["vin"] = VIN
    document["metadata"] = {"Zzyzx": ["notebook", SCORE]}
    for trade in document.get("trade_ins", ()):
        if trade["kind"] != "none":
            trade["lienholder"] = "Zzyzx Bank"
    decision, deal, read, values = tell(document, compiled() if name == "sample" else shipped(name))
    assert_told_in_full((decision, deal, read, values))
    assert TELLING.search(json.dumps(deal))
    assert TELLING.findall(without_hashes(read)) == []


def without_hashes(document: Any) -> str:
    """A document's text without what is random: any three digits stand somewhere in a hash."""
    return re.sub(r"\b[0-9a-f]{64}\b", "", json.dumps(document))


def test_what_is_set_apart_is_exactly_what_is_personal() -> None:
    decision, _, read, values = tell(a_deal(applicant__monthly_income="4000.00"), compiled())
    assert read["private"] == [value.path for value in values]
    of_deal = {path for path in read["private"] if path.startswith("/deal/")}
    assert of_deal == {f"/deal/{field}" for field in PERSONAL_FIELDS} | {"/deal/trade_ins/0/lienholder"}
    apart = {finding["rule"] for finding in read["decision"]["findings"] if "evidence" in finding}
    assert apart == {"PTI", "DTI"}
    measured = {name for name, measure in read["decision"]["measures"].items() if "evidence" in measure}
    assert measured == {"payment_to_income", "debt_to_income"}
    advice = {path for path in ("cures", "unfixable") if decision[path]}
    assert advice
    assert {f"/decision/{name}" for name in advice} <= set(read["private"])
    assert all(len(value.salt) == SALT_BYTES for value in values)


def test_the_lienholder_of_a_stale_quote_is_set_apart_with_the_sentence_that_names_it() -> None:
    policy = check_policy(load_policy(str(Path(__file__).parents[2] / "examples" / "stale_inputs.yaml")))
    decision, deal, read, values = tell(a_deal(), policy)
    (stale,) = (finding for finding in decision["findings"] if finding["rule"] == "PAYOFF-STALE")
    assert "The payoff quote of First Bank" in stale["explanation"]
    assert b"First Bank" not in canonical(read)
    assert_told_in_full((decision, deal, read, values))
    apart = {finding["rule"] for finding in read["decision"]["findings"] if "evidence" in finding}
    assert apart == {"PAYOFF-STALE"}
    assert read["decision"]["measures"]["days_past_good_through"]["value"] == 14


def test_a_field_that_is_not_stated_is_not_committed_to() -> None:
    _, _, read, _ = tell(a_deal(applicant={}, vehicle__vin=None, metadata=None, trade_ins=[]), compiled())
    assert [path for path in read["private"] if path.startswith("/deal/")] == []


def test_a_decision_whose_personal_values_are_all_erased_keeps_everything_else() -> None:
    decision, deal, read, _ = tell(a_deal(applicant__monthly_income="4000.00"), compiled())
    told, document = read_decision(read, []), read_deal(read, [])

    for name in ("outcome", "reasons", "unknown", "policy", "engine", "decided_at", "deal_id", "submission"):
        assert told[name] == decision[name], name
    assert told["measures"]["total_ltv"] == decision["measures"]["total_ltv"]
    assert told["measures"]["payment_to_income"] == {"unit": "percent", "value": None, "erased": True}
    findings = {finding["rule"]: finding for finding in told["findings"]}
    made = {finding["rule"]: finding for finding in decision["findings"]}
    assert findings["LTV-TOTAL"] == made["LTV-TOTAL"]
    kept = ("rule", "title", "result", "severity", "reason", "used_consumer_report")
    assert findings["PTI"] == {name: made["PTI"][name] for name in kept} | {"explanation": ERASED, "erased": True}
    assert (told["cures"], told["unfixable"]) == ([], [])
    assert set(document["applicant"]) == {"tier", "first_time_buyer", "covered_borrower", "credit_report_as_of"}
    assert "metadata" not in document
    assert "lienholder" not in document["trade_ins"][0]
    assert document["trade_ins"][0] == {
        name: value for name, value in deal["trade_ins"][0].items() if name != "lienholder"
    }


def test_one_erased_value_leaves_the_others() -> None:
    decision, deal, read, values = tell(a_deal(), compiled())
    kept = [value for value in values if value.path != "/deal/applicant/monthly_income"]
    assert read_decision(read, kept) == decision
    applicant = {name: value for name, value in deal["applicant"].items() if name != "monthly_income"}
    assert read_deal(read, kept) == deal | {"applicant": applicant}


def test_the_columns_of_the_tables_tell_nothing_personal() -> None:
    document = a_deal(applicant__credit_score=SCORE, applicant__monthly_income=INCOME, applicant__monthly_debt=DEBT)
    document["vehicle"]["vin"], document["metadata"] = VIN, {"Zzyzx": "notebook"}
    document["trade_ins"][0]["lienholder"] = "Zzyzx Bank"
    decision, _, read, _ = tell(document, compiled())
    deal = Deal.read(document)
    columns: list[Any] = [submission_columns(deal), *part_columns(deal).values(), decision_columns(read["decision"])]
    columns += [finding_columns(finding) for finding in read["decision"]["findings"]]
    assert TELLING.findall(without_hashes(json.loads(json.dumps(columns, default=str)))) == []
    told = {finding["rule"]: finding for finding in map(finding_columns, read["decision"]["findings"])}
    numbers = ("measure", "unit", "measured_value", "limit_value", "margin_value")
    assert {told["PTI"][name] for name in numbers} == {None}
    assert all(told["LTV-TOTAL"][name] is not None for name in numbers)
    assert {finding["rule"] for finding in decision["findings"]} == set(told)


def test_an_envelope_says_which_form_it_has_and_where_it_stands() -> None:
    previous = bytes(range(32))
    draft = Draft(
        ID, "decision", {"deal": DEAL}, deal_id="D-1", idempotency_key="K-1", actor="los", policy_sha256="f" * 64
    )
    assert envelope(draft, Place(7, previous), draft.content, NOW) == {
        "v": 1,
        "kind": "decision",
        "entry_id": ID,
        "deal_id": "D-1",
        "deal_seq": 7,
        "previous": previous.hex(),
        "idempotency_key": "K-1",
        "actor": "los",
        "recorded_at": "2026-11-20T15:04:05.123456Z",
        "effective_at": "2026-11-20T15:04:05.123456Z",
        "policy_sha256": "f" * 64,
        "private": [],
        "deal": DEAL,
    }
    alone = envelope(Draft(ID, "policy_publication", {}), None, {}, NOW)
    assert (alone["deal_id"], alone["deal_seq"], alone["previous"]) == (None, None, None)
