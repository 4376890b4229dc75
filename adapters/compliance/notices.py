"""Notices of adverse action, counteroffers and incompleteness: when they are due, and their text from a template that the lender owns.

A tool for whoever writes notices, and no legal advice: the lender answers for its templates.
"""

import html
import re
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from typing import Any, NamedTuple

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from sqlalchemy import Connection, select

from dealgate.adapters.compliance.known import rests_on_report
from dealgate.adapters.compliance.notice_data import ConsumerReport, NoticeData, Party
from dealgate.models.adverse_reasons import reasons_to_give
from dealgate.models.erasure import FINDING, NOTICE, NoticeError
from dealgate.models.ledger import UnknownDealError
from dealgate.models.reading import find_decision, find_decisions, find_submission
from dealgate.models.recording import DECISION, SUBMISSION
from dealgate.rules.finding import MOST_REASONS
from dealgate.rules.notice_clocks import Clock, Sent, Submitted, asked_of_applicant, complete, notice_clocks

ACTIONS = {
    "adverse_action": "We are unable to approve your application for vehicle financing on the terms that you requested.",
    "counteroffer": "We are unable to offer you credit on the terms that you requested, but can offer it on these terms:",
    "incomplete": "Your application for vehicle financing is incomplete. We need further information to decide about it:",
}
"""What was done, by the kind of notice; a template may say it in words of its own."""

ECOA = (
    "The Federal Equal Credit Opportunity Act prohibits creditors from discriminating against credit applicants on the basis of race, "
    "color, religion, national origin, sex, marital status, age (provided the applicant has the capacity to enter into a binding "
    "contract); because all or part of the applicant's income derives from any public assistance program; or because the applicant "
    "has in good faith exercised any right under the Consumer Credit Protection Act. The Federal agency that administers compliance "
    "with this law concerning this creditor is {name}, {address}."
)
"""12 CFR 1002.9(b)(1)."""

FCRA = (
    "Our decision was based in whole or in part on information in a report from the consumer reporting agency named below. The agency "
    "did not make the decision and cannot tell you the specific reasons for it.",
    "You have a right to a free copy of your report from the agency, if you ask for it within 60 days after you receive this notice, and "
    "a right to dispute with the agency the accuracy or completeness of any information in the report.",
)
"""15 USC 1681m(a)(3) and (4)."""


TAG = re.compile(r"<[^>]*>")
COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
SILENT = frozenset({"script", "style", "template", "title", "noscript", "head"})
"""Elements whose text is not shown."""


class Required(NamedTuple):
    """A part that a notice must have, and words without which it does not."""

    part: str
    words: tuple[str, ...]


def clocks_of(connection: Connection, deal_id: str, time_zone: str = "UTC") -> list[Clock]:
    """The clocks of a deal's latest request. Raises `UnknownDealError`, for a purged deal too."""
    columns = (DECISION.c.decision_id, DECISION.c.outcome, SUBMISSION.c.received_at, SUBMISSION.c.submitted_on)
    made = select(*columns).join(SUBMISSION, SUBMISSION.c.id == DECISION.c.submission_id)
    rows = connection.execute(made.where(DECISION.c.deal_id == deal_id).order_by(DECISION.c.submission)).all()
    documents = find_decisions(connection, [row.decision_id for row in rows])
    lacking = {one["decision_id"] for one in documents if not complete(one["unknown"])}
    submissions = [
        Submitted(row.received_at, row.decision_id not in lacking, row.outcome == "decline", row.submitted_on)
        for row in rows
    ]
    if not submissions:
        raise UnknownDealError(f"no decision about a deal {deal_id!r} is stored; check the id")
    sent = select(NOTICE.c.sent_at, NOTICE.c.kind).where(NOTICE.c.deal_id == deal_id)
    notices = [Sent(*row) for row in connection.execute(sent.order_by(NOTICE.c.sent_at, NOTICE.c.entry))]
    return notice_clocks(submissions, notices, time_zone)


def write_notice(
    connection: Connection,
    decision_id: str,
    template: str,
    data: NoticeData,
    *,
    kind: str = "adverse_action",
    name: str = "template.txt",
) -> str:
    """The text of a notice about a decision; in HTML, where the template's name ends so, everything from outside is escaped.

    Raises `NoticeError` where the decision gives no ground for such a notice, the data lack something, or the text lacks a part that
    such a notice must have.
    """
    decision = find_decision(connection, decision_id)
    if decision is None:
        raise NoticeError(
            f"no decision has the id {decision_id!r}, or it was purged; dealgate decision list names them"
        )
    parts = _parts(connection, decision, data, kind)
    text = _rendered(template, name, parts)
    lacking = [
        f"{one.part}: {word!r}" for one in _required(parts, kind) for word in one.words if not _says(text, word, name)
    ]
    if lacking:
        raise NoticeError("\n".join(f"{name}: the notice lacks {one}" for one in lacking))
    if parts["consumer_report"] is None and _mentions(text, "consumer reporting agency", name):
        raise NoticeError(
            f"{name}: tells of a consumer report, and no finding against this deal used one: "
            "put that part between {% if consumer_report %} and {% endif %}"
        )
    return text


def _parts(connection: Connection, decision: Mapping[str, Any], data: NoticeData, kind: str) -> dict[str, Any]:
    """What a template may use."""
    if kind not in ACTIONS:
        raise NoticeError(f"no notice of the kind {kind!r} is written here: use {', '.join(ACTIONS)}")
    agency = data.ecoa_agency
    return {
        "kind": kind,
        "deal_id": decision["deal_id"],
        "decision_id": decision["decision_id"],
        "date": data.date,
        "applicant": data.applicant,
        "creditor": data.creditor,
        "action_taken": ACTIONS[kind],
        "ecoa_notice": ECOA.format(name=agency.name, address=", ".join(agency.address)),
        "ecoa_agency": agency,
        "reasons": [] if kind == "incomplete" else _reasons(connection, decision),
        "missing": _missing(decision) if kind == "incomplete" else [],
        "respond_by": _given(data.respond_by, "respond_by", kind) if kind == "incomplete" else None,
        "counteroffer": _given(data.counteroffer, "counteroffer", kind) if kind == "counteroffer" else [],
        "consumer_report": None if kind == "incomplete" else _consumer_report(connection, decision, data),
        "consumer_report_statements": FCRA,
    }


def _reasons(connection: Connection, decision: Mapping[str, Any]) -> list[str]:
    reasons = reasons_to_give(connection, decision)[:MOST_REASONS]
    if not reasons:
        raise NoticeError(
            f"the decision {decision['decision_id']} has no reasons to give: its outcome is {decision['outcome']}. Who turns such a deal "
            "down needs an override on the high side, whose reason is then told"
        )
    return reasons


def _missing(decision: Mapping[str, Any]) -> list[str]:
    missing = asked_of_applicant(decision["unknown"])
    if not missing:
        raise NoticeError(f"the decision {decision['decision_id']} lacks nothing that the applicant would supply")
    return missing


def _given(value: Any, field: str, kind: str) -> Any:
    if not value:
        raise NoticeError(f"{field}: a notice of the kind {kind} needs it, and the data have none")
    return value


def _consumer_report(connection: Connection, decision: Mapping[str, Any], data: NoticeData) -> ConsumerReport | None:
    """Where a finding against the deal rests on one: its score must be the one that was decided about."""
    used = select(FINDING.c.rule).join(DECISION, DECISION.c.id == FINDING.c.decision)
    mine = used.where(DECISION.c.decision_id == decision["decision_id"], rests_on_report())
    rules = connection.execute(mine.order_by(FINDING.c.rule)).scalars().all()
    if not rules:
        return None
    if data.consumer_report is None:
        raise NoticeError(f"consumer_report: {', '.join(rules)} used a consumer report, and the data have none")
    deal = find_submission(connection, decision["decision_id"]) or {}
    score = deal.get("applicant", {}).get("credit_score")
    if score is not None and score != data.consumer_report.score:
        raise NoticeError(
            "consumer_report.score: the deal was decided with another one: give the score of that submission's report"
        )
    return data.consumer_report


def _rendered(template: str, name: str, parts: Mapping[str, Any]) -> str:
    environment = ImmutableSandboxedEnvironment(
        autoescape=_is_html(name),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    try:
        return environment.from_string(template).render(parts)
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        raise NoticeError(f"{name}{f', line {line}' if line else ''}: {error.message}") from None
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise NoticeError(f"{name}: {error}") from None


def _required(parts: Mapping[str, Any], kind: str) -> Iterator[Required]:
    """12 CFR 1002.9(a)(2), (b) and (c)(2); 15 USC 1681m(a)."""
    yield Required("the creditor (12 CFR 1002.9(a)(2))", _party(parts["creditor"]))
    if kind == "incomplete":
        yield Required("what is missing (12 CFR 1002.9(c)(2))", tuple(parts["missing"]))
        yield Required("until when it can be supplied (12 CFR 1002.9(c)(2))", (str(parts["respond_by"]),))
        return
    yield Required("the ECOA notice (12 CFR 1002.9(b)(1))", (*ECOA_WORDS, *_party(parts["ecoa_agency"])))
    yield Required("the principal reasons (12 CFR 1002.9(a)(2)(i))", tuple(parts["reasons"]))
    if kind == "counteroffer":
        yield Required("the terms of the counteroffer", tuple(parts["counteroffer"]))
    report = parts["consumer_report"]
    if report is not None:
        told = (
            *_party(report.agency),
            report.agency.phone,
            str(report.score),
            str(report.score_date),
            *report.key_factors,
        )
        yield Required("the consumer report (15 USC 1681m(a))", told)
        yield Required("the rights about it (15 USC 1681m(a))", ("did not make", "60 days", "dispute"))


ECOA_WORDS = (
    "Equal Credit Opportunity Act",
    "race, color, religion, national origin, sex, marital status, age",
    "public assistance program",
    "Consumer Credit Protection Act",
)


def _party(party: Party) -> tuple[str, ...]:
    return (party.name, *party.address)


def _says(text: str, words: str, name: str) -> bool:
    """Whether whoever reads the notice can read the words."""
    return _has(_read_by_eye(text) if _is_html(name) else text, words)


def _mentions(text: str, words: str, name: str) -> bool:
    """Whether the words stand there, be it in a script or a style."""
    return _says(text, words, name) or _has(html.unescape(TAG.sub(" ", text)) if _is_html(name) else text, words)


def _has(text: str, words: str) -> bool:
    return bool(re.search(rf"(?<!\w){re.escape(_plain(words))}(?!\w)", _plain(text)))


def _read_by_eye(text: str) -> str:
    """Without comments, one that is never closed included: parsers differ about it."""
    shown = _Shown()
    shown.feed(COMMENT.sub(" ", text))
    shown.close()
    return " ".join(shown.pieces)


class _Shown(HTMLParser):
    """The text of a page that a browser shows, as far as its elements tell; styles that hide something are not read."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in SILENT:
            self.silent.append(tag)

    handle_startendtag = handle_starttag
    """A browser takes `<style/>` for one that begins."""

    def handle_endtag(self, tag: str) -> None:
        if tag in self.silent:
            self.silent.remove(tag)

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.pieces.append(data)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _is_html(name: str) -> bool:
    return name.lower().endswith((".html", ".htm"))
