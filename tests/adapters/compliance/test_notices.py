"""Notices: recorded with channel and reasons, due by the clocks, written from templates that may lack nothing."""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import Connection, Engine, select

from dealgate.adapters.compliance.notice_data import NoticeData, read_notice_data
from dealgate.adapters.compliance.notices import clocks_of, write_notice
from dealgate.adapters.compliance.reporting import read_page
from dealgate.adapters.compliance.reports import REPORTS
from dealgate.models import Notice, UnknownDealError
from dealgate.models.erasure import NoticeError, record_notice, redact
from dealgate.models.reading import find_decision
from tests.adapters.commands import invoke
from tests.models.ledgers import a_signer, seal_all, unguarded, verified
from tests.models.overriding import DAY, HOUR, decided, granted, requested
from tests.models.samples import CLEAN, MINIMAL, NOW, OVERRIDABLE, POLICY, a_deal, compiled, submit

COLLATERAL, PRODUCTS = (
    "Value or type of collateral not sufficient",
    "Price of products exceeds the amount that can be financed",
)
SAMPLES = files("dealgate.adapters.compliance")
TEMPLATE = (SAMPLES / "sample_notice.txt").read_text(encoding="utf-8")
GIVEN: Mapping[str, Any] = yaml.safe_load((SAMPLES / "sample_notice.yaml").read_text(encoding="utf-8"))
NO_REPORT = {
    "vehicle__values": [{"basis": "jdpower_clean_trade", "amount": "90000.00"}],
    "applicant__monthly_income": "19000.00",
}
"""Changes under which no rule that used a consumer report stands against the deal."""


@pytest.fixture
def connection(database: Engine) -> Iterator[Connection]:
    with database.begin() as connection:
        yield connection


def data(**changes: Any) -> NoticeData:
    return NoticeData.model_validate({**GIVEN, **changes})


def decide(connection: Connection, **changes: Any) -> str:
    return submit(connection, a_deal(**({"deal_id": "D"} | changes)), policy=compiled(OVERRIDABLE)).decision_id


# Recorded


def test_a_notice_is_recorded_with_channel_decision_and_reasons_and_verifies(database: Engine) -> None:
    decision = decided(database)
    with database.begin() as connection:
        at = NOW + HOUR
        record_notice(
            connection, "D", "adverse_action", at, at, actor="c", channel="mail", reasons=[COLLATERAL, PRODUCTS]
        )
        row = connection.execute(select(Notice.channel, Notice.decision_id, Notice.reasons)).one()
    assert (row.channel, row.decision_id, json.loads(row.reasons)) == ("mail", decision, [COLLATERAL, PRODUCTS])
    signer = a_signer()
    seal_all(database, signer)
    assert verified(database, signer.key).intact
    with database.begin() as connection:
        unguarded(connection, "dealgate_notice")
        connection.exec_driver_sql("UPDATE dealgate_notice SET channel = 'email'")
    assert "notice" in {flaw.what for flaw in verified(database, signer.key).flaws}


def test_a_notice_is_about_the_last_decision_before_it_was_sent(connection: Connection) -> None:
    first = decide(connection)
    submit(connection, a_deal(deal_id="D"), now=NOW + DAY)
    record_notice(connection, "D", "approval", NOW + HOUR, NOW + DAY, actor="c")
    record_notice(connection, "D", "approval", NOW - HOUR, NOW + DAY, actor="c")
    assert list(connection.execute(select(Notice.decision_id).order_by(Notice.entry)).scalars()) == [first, None]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"reasons": ["Bad luck"]}, "'Bad luck' is no reason of this decision; it has: Value or type"),
        ({"reasons": [COLLATERAL] * 2}, "at most 4 reasons, each once; got 2"),
        ({"kind": "approval", "reasons": [COLLATERAL]}, "a notice of the kind 'approval' gives no reasons"),
        ({"channel": "pigeon"}, "no channel is called 'pigeon': use mail"),
        ({"decision_id": "nobody"}, "no decision about the deal 'D' has the id 'nobody'"),
        ({"sent_at": NOW - DAY, "reasons": [COLLATERAL]}, "was made before the notice was sent"),
    ],
)
def test_a_notice_that_cannot_be_is_refused(connection: Connection, told: dict[str, Any], words: str) -> None:
    decide(connection)
    given: dict[str, Any] = {"kind": "adverse_action", "sent_at": NOW, "now": NOW, "actor": "c"} | told
    with pytest.raises(NoticeError, match=words):
        record_notice(connection, "D", **given)


def test_a_decision_of_another_deal_is_refused(connection: Connection) -> None:
    decide(connection)
    other = decide(connection, deal_id="OTHER")
    with pytest.raises(NoticeError, match=f"no decision about the deal 'D' has the id '{other}'"):
        record_notice(connection, "D", "adverse_action", NOW, NOW, actor="c", decision_id=other)


def test_who_turned_a_passing_deal_down_gives_the_reason(database: Engine) -> None:
    with database.begin() as connection:
        decision = submit(connection, {**CLEAN, "deal_id": "D"}, policy=compiled(OVERRIDABLE)).decision_id
    with (
        database.begin() as connection,
        pytest.raises(NoticeError, match="has no reasons to give: its outcome is pass"),
    ):
        write_notice(connection, decision, TEMPLATE, data())
    granted(database, requested(database, decision, side="high", reason="COLLATERAL-DOUBT"))
    with database.begin() as connection:
        words = "The collateral is in doubt"
        assert f"1. {words}" in write_notice(connection, decision, TEMPLATE, data())
        record_notice(connection, "D", "adverse_action", NOW, NOW, actor="c", reasons=[words])


# Clocks


def test_the_clocks_of_a_deal_follow_from_what_is_recorded(connection: Connection) -> None:
    submit(connection, MINIMAL)
    assert [one.source for one in clocks_of(connection, "D-MINIMAL")] == ["12 CFR 1002.9(c)(1)"]
    decide(connection)
    (clock,) = clocks_of(connection, "D")
    assert (clock.due_on - clock.began_on, clock.met_on) == (timedelta(days=30), None)
    record_notice(connection, "D", "counteroffer", NOW + DAY, NOW + DAY, actor="c", reasons=[COLLATERAL])
    first, second = clocks_of(connection, "D")
    assert first.met_on == second.began_on == (NOW + DAY).date()
    with pytest.raises(UnknownDealError):
        clocks_of(connection, "NOBODY")


# Written


def test_a_notice_of_adverse_action_has_every_part(connection: Connection) -> None:
    text = write_notice(connection, decide(connection), TEMPLATE, data())
    for words in (
        "NOTICE OF ACTION TAKEN",
        f"1. {COLLATERAL}",
        "Example Auto Credit",
        "684 on 2026-11-20",
        "1-800-555-0100",
    ):
        assert words in text
    assert text.count("\n  ") >= 4


@pytest.mark.parametrize(
    ("changes", "rule", "result"),
    [
        ({"applicant__monthly_income": "5200.00"}, "PTI", "mitigated"),
        ({"applicant__monthly_income": None, "applicant__monthly_debt": None}, "PTI", "not_evaluable"),
    ],
)
def test_a_consumer_report_is_told_of_whatever_the_result_it_stands_against_the_deal_by(
    connection: Connection, changes: dict[str, Any], rule: str, result: str
) -> None:
    """As the report of reasons tells it."""
    rolled_in = '"rolled_in_negative_equity <= $5,000", otherwise: flag'
    strict = OVERRIDABLE.replace(rolled_in, '"rolled_in_negative_equity <= $1", otherwise: refer')
    decision = submit(connection, a_deal(**NO_REPORT | changes), policy=compiled(strict)).decision_id
    document = find_decision(connection, decision)
    assert document is not None
    findings = [one for one in document["findings"] if one["used_consumer_report"] and one["severity"] != "pass"]
    assert [(one["rule"], one["result"]) for one in findings] == [(rule, result)]
    (row,) = read_page(connection, REPORTS["reasons"], as_of=NOW + DAY).rows
    assert row["consumer_report"] is True
    assert "consumer reporting agency" in write_notice(connection, decision, TEMPLATE, data())
    with pytest.raises(NoticeError, match=f"consumer_report: {rule} used a consumer report, and the data have none"):
        write_notice(connection, decision, TEMPLATE, data(consumer_report=None))


def test_without_a_consumer_report_in_a_finding_nothing_is_told_of_one(connection: Connection) -> None:
    """PTI rests on the score, and is kept."""
    decision = decide(connection, **NO_REPORT)
    text = write_notice(connection, decision, TEMPLATE, data(consumer_report=None))
    assert "consumer reporting agency" not in text
    with pytest.raises(NoticeError, match="tells of a consumer report, and no finding against this deal used one"):
        write_notice(connection, decision, TEMPLATE + "\nA consumer reporting agency told us.", data())


def test_counteroffers_and_notices_of_incompleteness_have_their_own_parts(connection: Connection) -> None:
    offer = write_notice(connection, decide(connection), TEMPLATE, data(), kind="counteroffer")
    assert "Amount financed: $33,750.00" in offer
    lacking = submit(connection, MINIMAL).decision_id
    text = write_notice(connection, lacking, TEMPLATE, data(), kind="incomplete")
    assert "applicant.monthly_income" in text
    assert "by 2026-12-20" in text
    assert "vehicle.values" not in text
    with pytest.raises(NoticeError, match="respond_by: a notice of the kind incomplete needs it"):
        write_notice(connection, lacking, TEMPLATE, data(respond_by=None), kind="incomplete")
    with pytest.raises(NoticeError, match="counteroffer: a notice of the kind counteroffer needs it"):
        write_notice(connection, decide(connection), TEMPLATE, data(counteroffer=[]), kind="counteroffer")


def test_no_applicant_is_asked_for_what_a_table_of_the_policy_leaves_open(connection: Connection) -> None:
    open_table = POLICY.replace("policy: sample", "policy: open").replace(
        "      - limit: 110%\n", "    on_no_hit: unknown\n"
    )
    decision = submit(connection, a_deal(applicant={"tier": "C"}), policy=compiled(open_table)).decision
    assert "max_total_ltv (no row holds)" in decision["unknown"]
    lacking = decision["decision_id"]
    text = write_notice(connection, lacking, TEMPLATE, data(), kind="incomplete")
    assert "applicant.monthly_income" in text
    assert "max_total_ltv" not in text


@pytest.mark.parametrize(
    ("taken_out", "words"),
    [
        ("{{ creditor.name }}", "the creditor"),
        ("NOTICE: {{ ecoa_notice | wordwrap(90) }}", "the ECOA notice"),
        ("{{ reason }}", "the principal reasons"),
        ("{{ consumer_report.agency.phone }}", "the consumer report"),
        ("{{ consumer_report.score }}", "the consumer report"),
        ("{{ factor }}", "the consumer report"),
        ("{{ consumer_report_statements[1] | wordwrap(90) }}", "the rights about it"),
    ],
)
def test_a_template_that_lacks_a_part_is_refused_by_its_name(
    connection: Connection, taken_out: str, words: str
) -> None:
    assert taken_out in TEMPLATE
    with pytest.raises(NoticeError, match=f"lacks {words}"):
        write_notice(connection, decide(connection), TEMPLATE.replace(taken_out, ""), data())


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ reazons }}", "'reazons' is undefined"),
        ("{% if %}", "template.txt, line 1"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ creditor.address.append('x') }}", "unsafe"),
        ("{{ 1 // 0 }}", "division"),
    ],
)
def test_a_bad_template_is_told_and_can_do_nothing(connection: Connection, template: str, words: str) -> None:
    with pytest.raises(NoticeError, match=words):
        write_notice(connection, decide(connection), template, data())


@pytest.mark.parametrize(
    "around",
    [
        "<!-- {} -->",
        "<!-- > {} -->",
        "<!-- {}",
        "<style>{}</style>",
        "<STYLE media='print'>{}</STYLE >",
        "<script>let a = '<p>'; {}</script>",
        "<script/>{}",
        "<template><p>{}</p></template>",
        "<head><title>{}</title></head>",
        "<img alt='{}'>",
    ],
)
def test_what_a_browser_does_not_show_is_not_said(connection: Connection, around: str) -> None:
    decision, phone = decide(connection), "{{ consumer_report.agency.phone }}"
    page = "<p>" + TEMPLATE.replace(phone, "") + "</p>"
    with pytest.raises(NoticeError, match="lacks the consumer report"):
        write_notice(connection, decision, page + around.format(phone), data(), name="letter.html")
    assert write_notice(connection, decision, f"{page}<b>{phone}</b>", data(), name="letter.html")


@pytest.mark.parametrize("around", ["<p>{}</p>", "<script>{}</script>"])
def test_a_page_that_tells_of_a_report_anywhere_is_refused_where_none_was_used(
    connection: Connection, around: str
) -> None:
    page = f"<p>{TEMPLATE}</p>{around.format('A consumer reporting agency told us.')}"
    with pytest.raises(NoticeError, match="tells of a consumer report"):
        write_notice(connection, decide(connection, **NO_REPORT), page, data(consumer_report=None), name="letter.html")


def test_in_html_what_comes_from_outside_is_escaped_and_the_parts_are_found(connection: Connection) -> None:
    template = "<p>{{ applicant.name }}</p><pre>" + TEMPLATE + "</pre>"
    applicant = {"name": "A <b>& C", "address": ["1 Elm"]}
    text = write_notice(connection, decide(connection), template, data(applicant=applicant), name="letter.html")
    assert "A &lt;b&gt;&amp; C" in text
    assert "applicant&#39;s income" in text


def test_the_score_must_be_the_one_that_was_decided_with_unless_it_was_erased(connection: Connection) -> None:
    decision, other = decide(connection), data(consumer_report={**GIVEN["consumer_report"], "score": 700})
    with pytest.raises(NoticeError, match=r"consumer_report.score: the deal was decided with another one") as told:
        write_notice(connection, decision, TEMPLATE, other)
    assert not {"684", "700"} & set(str(told.value).split())
    with pytest.raises(
        NoticeError, match="consumer_report: LTV-TOTAL, PTI used a consumer report, and the data have none"
    ):
        write_notice(connection, decision, TEMPLATE, data(consumer_report=None))
    redact(connection, decision, ["/deal/applicant/credit_score"], "asked", NOW, actor="privacy")
    assert "700" in write_notice(connection, decision, TEMPLATE, other)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{date: 2026-12-01, creditor: {nam: X}}", "creditor.nam: Extra inputs are not permitted"),
        ("[", "is neither YAML nor JSON, at line 1, column 2"),
        ("12", "(document): Input should be a valid dictionary"),
    ],
)
def test_bad_data_are_told_field_by_field(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "data.yaml"
    file.write_text(text)
    with pytest.raises(NoticeError) as refused:
        read_notice_data(file)
    assert words in str(refused.value)


def test_from_the_sample_to_the_recorded_notice_by_command(database: Engine, database_url: str, tmp_path: Path) -> None:
    decision = decided(database)
    sample = tmp_path / "sample"
    assert "No legal advice" in invoke("audit", "notice-sample", "-o", sample).stdout
    assert invoke("audit", "notice-sample", "-o", sample).exit_code == 2
    output = tmp_path / "notice.txt"
    using: list[str | Path] = ["--template", sample / "sample_notice.txt", "--data", sample / "sample_notice.yaml"]
    written = invoke("audit", "notice", decision, *using, "-o", output, "--db", database_url)
    assert written.exit_code == 0, written.output
    assert f"1. {COLLATERAL}" in output.read_text()
    assert "No legal advice" in written.stdout
    told = ["--kind", "adverse_action", "--actor", "c", "--channel", "mail", "--reason", COLLATERAL]
    recorded = invoke("ledger", "notice", "D", *told, "--db", database_url)
    assert recorded.exit_code == 0, recorded.output
    clocks = json.loads(invoke("audit", "clocks", "D", "--json", "--db", database_url).stdout)
    assert [one["source"] for one in clocks] == ["12 CFR 1002.9(a)(1)(i)"]
    assert clocks[0]["state"] in {"met", "met late"}
    shown = invoke("audit", "clocks", "D", "--time-zone", "America/Chicago", "--db", database_url)
    assert "tell of approval, counteroffer or adverse action: met" in shown.stdout


def test_bad_input_of_the_commands_is_refused_by_name(database: Engine, database_url: str, tmp_path: Path) -> None:
    decided(database)
    invoke("audit", "notice-sample", "-o", tmp_path)
    gone = tmp_path / "gone"
    sample: list[str | Path] = ["--data", tmp_path / "sample_notice.yaml", "-o", tmp_path / "x"]
    refusals: list[tuple[list[str | Path], str]] = [
        (
            ["notice", "nobody", "--template", tmp_path / "sample_notice.txt", *sample],
            "no decision has the id 'nobody'",
        ),
        (["notice", "nobody", "--template", gone, *sample], "gone: cannot be read"),
        (["clocks", "NOBODY"], "no decision about a deal 'NOBODY'"),
        (["clocks", "D", "--time-zone", "Mars"], "'Mars' is no time zone"),
    ]
    for arguments, words in refusals:
        result = invoke("audit", *arguments, "--db", database_url)
        assert (result.exit_code, words in result.stderr) == (2, True), result.output
