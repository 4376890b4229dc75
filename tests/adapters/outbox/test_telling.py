"""What is told: exactly what was committed, to whom it is of interest, signed, and without a personal value."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from sqlalchemy import Engine, select, text
from standardwebhooks import Webhook, WebhookVerificationError

from dealgate import Deal
from dealgate.adapters.outbox.dispatcher import Outbox
from dealgate.adapters.outbox.subscribers import OutboxSettings
from dealgate.adapters.outbox.work import OUTBOX, end
from dealgate.models import Entry, record_policy, record_submissions
from dealgate.models.versions import add_version, approve_version, retire_version
from tests.adapters.outbox.receivers import OTHER_SECRET, QUICK, SECRET, Receiver, Told, receiving
from tests.databases import count_rows
from tests.models.overriding import LARGE, decided, granted, requested
from tests.models.samples import a_deal, a_policy, compiled, submit

EARLIER = timedelta(seconds=10)


def outbox_of(database: Engine, receiver: Receiver, settings: OutboxSettings = QUICK, **given: Any) -> Outbox:
    outbox = Outbox(database, {"crm": receiver.subscriber(**given)}, settings)
    outbox.register()
    return outbox


def states(database: Engine) -> list[str]:
    with database.connect() as connection:
        return list(connection.execute(select(OUTBOX.c.state).order_by(OUTBOX.c.id)).scalars())


def test_what_is_committed_is_told_once_and_what_is_rolled_back_is_not(database: Engine) -> None:
    with receiving() as receiver:
        outbox = outbox_of(database, receiver)
        with database.begin() as connection:
            committed = [submit(connection, a_deal(deal_id=f"D-{number % 2}")).decision_id for number in range(4)]
            with connection.begin_nested() as savepoint:
                submit(connection, a_deal(deal_id="D-0"))
                savepoint.rollback()
        with database.connect() as connection:
            submit(connection, a_deal(deal_id="D-3"))
            connection.rollback()
        assert receiver.told == []
        for _ in range(2):
            outbox.deliver()
            assert sorted(receiver.ids()) == sorted(committed)
    assert states(database) == ["delivered"] * 4


def test_entries_that_are_recorded_together_are_each_told(database: Engine) -> None:
    with receiving() as receiver:
        outbox = outbox_of(database, receiver)
        deals = [Deal.read(a_deal(deal_id=f"D-{number}")) for number in range(20)]
        policy = compiled()
        with database.begin() as connection:
            record_policy(connection, policy.policy, policy.policy.self_contained, datetime.now(UTC))
            entries = [Entry(deal, policy.evaluate(deal), str(uuid4())) for deal in deals]
            record_submissions(connection, entries, now=datetime.now(UTC))
        outbox.deliver()
    assert sorted(receiver.ids()) == sorted(entry.decision_id for entry in entries)


def test_nothing_is_written_down_for_whom_it_is_of_no_interest(database: Engine) -> None:
    with receiving() as receiver:
        outbox = outbox_of(database, receiver, events=["override.granted"])
        override = requested(database, decided(database), "LTV-TOTAL")
        assert count_rows(database)["dealgate_outbox"] == 0
        granted(database, override, role="underwriter")
        outbox.deliver()
    assert [one.event["type"] for one in receiver.told] == ["override.granted"]


def test_a_decision_is_told_as_a_cloud_event_with_nothing_personal(database: Engine) -> None:
    with receiving() as receiver:
        outbox = outbox_of(database, receiver)
        with database.begin() as connection:
            decision = submit(connection, a_deal(), actor="somebody@lender.example").decision
        outbox.deliver()
    (told,) = receiver.told
    assert told.headers["content-type"] == "application/cloudevents+json"
    read = JSONFormat().read(CloudEvent, told.body)
    assert (read.get_id(), read.get_type(), read.get_source()) == (told.id, "decision.made", "/dealgate")
    assert (read.get_subject(), read.get_specversion()) == (decision["deal_id"], "1.0")
    assert told.event["data"] == {
        **{name: decision[name] for name in ("decision_id", "deal_id", "submission", "outcome", "policy", "reasons")},
        "decided_at": decision["decided_at"],
        "rules": {
            result: [one["rule"] for one in decision["findings"] if one["result"] == result]
            for result in ("violated", "mitigated", "not_evaluable")
        },
    }
    assert told.event["data"]["rules"]["violated"]
    for personal in ("684", "5200", "1150", "1HGCV1F30NA000001", "First Bank", "screens", "somebody"):
        assert personal not in told.body.decode()


def test_a_grant_says_whether_the_override_has_all_that_it_needs(database: Engine) -> None:
    with receiving() as receiver:
        outbox = outbox_of(database, receiver, events=["override.granted"])
        override = requested(database, decided(database, **LARGE), "LTV-TOTAL")
        granted(database, override, actor="ben")
        granted(database, override, actor="cyd")
        outbox.deliver()
    data = [one.event["data"] for one in receiver.told]
    assert [(one["granted"], one["persons"], one["complete"]) for one in data] == [(1, 2, False), (2, 2, True)]
    assert {one["override_id"] for one in data} == {override.override_id}
    assert data[0]["rules"] == ["LTV-TOTAL"]
    assert "county" not in "".join(one.body.decode() for one in receiver.told)


def approve(database: Engine, at: datetime, **changes: str) -> str:
    policy = a_policy(**changes)
    with database.begin() as connection:
        add_version(connection, policy, policy.self_contained, at, actor="author")
        approve_version(connection, policy, at, actor="approver")
    return policy.sha256


def test_a_version_is_told_of_once_its_time_has_begun_in_the_order_of_the_times(database: Engine) -> None:
    now = datetime.now(UTC)
    with receiving() as receiver:
        outbox = outbox_of(database, receiver)
        approve(database, now - EARLIER, version='"2"')
        approve(database, now - 2 * EARLIER, version='"1"')
        approve(database, now, version='"3"', effective_from="2100-01-01", effective_to="2101-01-01")
        outbox.deliver()
    data = [one.event["data"] for one in receiver.told]
    assert [one["policy"]["version"] for one in data] == ["1", "2"]
    assert data[0]["ends_at"] == data[1]["starts_at"]
    assert [one.event["subject"] for one in receiver.told] == ["sample", "sample"]
    assert states(database) == ["delivered", "delivered", "waiting"]


def test_a_version_that_was_retired_before_its_time_is_not_told_of(database: Engine) -> None:
    at = datetime.now(UTC) - EARLIER
    with receiving() as receiver:
        outbox = outbox_of(database, receiver)
        sha256 = approve(database, at)
        with database.begin() as connection:
            retire_version(connection, sha256, at, actor="approver")
        outbox.deliver()
    assert receiver.told == []
    assert states(database) == ["withdrawn"]


# Signatures


def sent(database: Engine, **given: Any) -> Told:
    with receiving() as receiver:
        outbox = outbox_of(database, receiver, **given)
        with database.begin() as connection:
            submit(connection, a_deal())
        outbox.deliver()
    (told,) = receiver.told
    return told


def test_a_webhook_that_was_tampered_with_does_not_verify(database: Engine) -> None:
    told = sent(database)
    headers = dict(told.headers)
    assert Webhook(SECRET).verify(told.body, headers)["id"] == told.id
    tampered: list[tuple[bytes, Mapping[str, str], str]] = [
        (told.body.replace(b"refer", b"pass"), headers, SECRET),
        (told.body, headers | {"webhook-id": "another"}, SECRET),
        (told.body, headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}, SECRET),
        (told.body, headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 600)}, SECRET),
        (told.body, headers, OTHER_SECRET),
    ]
    for body, with_headers, secret in tampered:
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, dict(with_headers))


def test_while_a_secret_is_changed_the_old_and_the_new_one_verify(database: Engine) -> None:
    told = sent(database, secret=OTHER_SECRET, previous_secret=SECRET)
    for secret in (SECRET, OTHER_SECRET):
        assert Webhook(secret).verify(told.body, dict(told.headers))["id"] == told.id


def test_no_secret_stands_in_the_database_the_log_or_an_error(
    database: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with receiving(lambda _: 500) as receiver:
        outbox = outbox_of(database, receiver, QUICK.model_copy(update={"attempts": 1}), previous_secret=OTHER_SECRET)
        with database.begin() as connection:
            submit(connection, a_deal())
        outbox.deliver()
        outbox.subscribers = {"crm": receiver.subscriber(url="http://127.0.0.1:1/secret-path")}
        with database.begin() as connection:
            submit(connection, a_deal())
        outbox.deliver()
    with database.connect() as connection:
        rows = [repr(connection.execute(text(f"SELECT * FROM {name}")).all()) for name in count_rows(connection)]
    everywhere = "".join([*rows, caplog.text, repr(outbox.subscribers), json.dumps(states(database))])
    assert "is dead after attempt" in everywhere
    for secret in (SECRET, OTHER_SECRET):
        for part in (secret, secret.removeprefix("whsec_"), secret[10:30]):
            assert part not in everywhere


# Who is told


def test_who_comes_later_is_told_of_what_happens_from_then_on(database: Engine) -> None:
    with database.begin() as connection:
        submit(connection, a_deal())
    with receiving() as receiver:
        outbox = outbox_of(database, receiver)
        with database.begin() as connection:
            later = submit(connection, a_deal()).decision_id
        outbox.deliver()
    assert receiver.ids() == [later]


def test_who_is_not_configured_any_more_has_its_events_kept_until_it_is_ended(
    database: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with receiving() as receiver:
        outbox_of(database, receiver)
        other = Outbox(database, {}, QUICK)
        other.register()
        assert "dealgate outbox end crm" in caplog.text
        with database.begin() as connection:
            submit(connection, a_deal())
        other.deliver()
        assert states(database) == ["waiting"]
        with database.begin() as connection:
            assert end(connection, "nobody") is None
            assert end(connection, "crm") == 1
            submit(connection, a_deal())
        assert states(database) == ["withdrawn"]
        outbox = outbox_of(database, receiver)
        with database.begin() as connection:
            told = submit(connection, a_deal()).decision_id
        outbox.deliver()
    assert receiver.ids() == [told]


def test_an_event_that_is_not_asked_for_any_more_is_not_written_down(database: Engine) -> None:
    with receiving() as receiver:
        outbox_of(database, receiver)
        outbox_of(database, receiver, events=["policy.in_force"])
        with database.begin() as connection:
            submit(connection, a_deal())
    assert states(database) == []
