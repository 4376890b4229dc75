"""The application: what the desk, the underwriters and the funding department do over HTTP."""

import logging
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from dealgate import DealError, DeclinedError
from dealgate.models import (
    IdempotencyConflictError,
    Override,
    OverrideError,
    find_decision,
    grant_override,
    request_override,
)
from origination.gate import gate, work_of
from origination.tables import LoanApplication, TradeIn

app = FastAPI(title="Origination")
log = logging.getLogger("uvicorn.error")

STAFF = {"dana": "desk", "ann": "underwriter", "ben": "credit-manager"}
"""Who works here, in which role. Your own authentication goes in its place: dealgate knows no users, the host answers for them."""

Amount = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=2)]


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TradeInForm(Form):
    allowance: Amount
    appraised: Amount
    payoff: Amount


class Change(Form):
    """What may be changed of an application; what is left out stays."""

    price: Amount | None = None
    cash_down: Amount | None = None
    term_months: int | None = None
    trade_ins: list[TradeInForm] | None = None


class ApplicationForm(Form):
    number: Annotated[str, Field(pattern="^[A-Z0-9-]{1,40}$")]
    received_on: date
    tier: str
    monthly_income: Amount
    book_value: Amount
    price: Amount
    sales_tax: Amount
    cash_down: Amount
    term_months: int
    apr_percent: Amount
    trade_ins: list[TradeInForm] = []


class OverrideForm(Form):
    """`decision_id` is the decision that was read: nobody asks for a structure that they have not seen."""

    decision_id: str
    rules: list[str]
    reason: str
    note: str


def person(x_user: Annotated[str, Header()]) -> str:
    if x_user not in STAFF:
        raise HTTPException(401, f"nobody here is called {x_user!r}")
    return x_user


Person = Annotated[str, Depends(person)]


@app.post("/applications", status_code=201)
def take(form: ApplicationForm, person: Person) -> dict[str, Any]:
    with work_of(person) as session:
        if session.get(LoanApplication, form.number):
            raise HTTPException(409, f"application {form.number} is here already")
        application = LoanApplication(**form.model_dump(exclude={"trade_ins"}), trade_ins=trade_ins(form.trade_ins))
        session.add(application)
        return shown(session, application)


@app.get("/applications/{number}")
def show(number: str, person: Person) -> dict[str, Any]:
    with work_of(person) as session:
        return shown(session, held(session, number))


@app.patch("/applications/{number}")
def change(number: str, form: Change, person: Person) -> dict[str, Any]:
    """Nothing here calls the gate: the flush does."""
    with work_of(person) as session:
        application = open_application(session, number)
        for name, value in form.model_dump(exclude={"trade_ins"}, exclude_none=True).items():
            setattr(application, name, value)
        if form.trade_ins is not None:
            application.trade_ins = trade_ins(form.trade_ins)
        return shown(session, application)


@app.post("/applications/{number}/submit")
def submit(number: str, person: Person, idempotency_key: Annotated[str, Header()]) -> dict[str, Any]:
    """To credit, by name: a submission of its own even where nothing changed. The same key again is the same submission."""
    with work_of(person) as session:
        application = open_application(session, number)
        deal = gate.deal(application, session)
        verdict = gate.submit(deal, session=session, actor=person, idempotency_key=idempotency_key)
        answer = shown(session, application)
    # Kept outside the database: shows later that the ledger still has this very entry.
    log.info("submitted %s: entry %s, leaf %s", number, verdict.receipt.entry_id, verdict.receipt.leaf_hash.hex())
    return answer | {"submission": verdict.decision["submission"], "replayed": verdict.replayed}


@app.post("/applications/{number}/overrides", status_code=201)
def ask(number: str, form: OverrideForm, person: Person) -> dict[str, Any]:
    with work_of(person) as session:
        if gate.check(open_application(session, number), session).decision_id != form.decision_id:
            raise HTTPException(409, "the application was decided again since: read it first")
        words = form.model_dump(exclude={"decision_id", "rules"})
        taken = request_override(session, form.decision_id, form.rules, now(), actor=person, **words)
        return told(taken.override)


@app.post("/applications/{number}/overrides/{override_id}/grant")
def grant(number: str, override_id: str, person: Person) -> dict[str, Any]:
    with work_of(person) as session:
        open_application(session, number)
        return told(grant_override(session, override_id, now(), actor=person, role=STAFF[person]).override)


@app.post("/applications/{number}/fund")
def fund(number: str, person: Person) -> dict[str, Any]:
    """Only what is stored, if that is what was decided and it is cleared: by the policy, or by overrides in force."""
    with work_of(person) as session:
        application = open_application(session, number)
        standing = gate.check(application, session)
        if not standing.cleared:
            raise HTTPException(409, list(standing.missing))
        application.status, application.funded_on = "funded", standing.decision_id
        return shown(session, application)


# What the routes share


def held(session: Session, number: str) -> LoanApplication:
    """Nobody else changes it until the transaction ends."""
    application = session.get(LoanApplication, number, with_for_update=True)
    if application is None:
        raise HTTPException(404, f"there is no application {number}")
    return application


def open_application(session: Session, number: str) -> LoanApplication:
    application = held(session, number)
    if application.status != "open":
        raise HTTPException(409, f"application {number} is {application.status}")
    return application


def trade_ins(forms: list[TradeInForm]) -> list[TradeIn]:
    return [TradeIn(**form.model_dump()) for form in forms]


def shown(session: Session, application: LoanApplication) -> dict[str, Any]:
    """An application, the decision by which it stands, in words, and what stands against funding it."""
    standing = gate.check(application, session)
    decision = find_decision(session, standing.decision_id) if standing.decision_id else None
    findings = decision["findings"] if decision else []
    return {
        "number": application.number,
        "status": application.status,
        "outcome": standing.outcome,
        "findings": [one["explanation"] for one in findings if one["result"] not in {"pass", "not_applicable"}],
        "cures": [one["explanation"] for one in decision["cures"]] if decision else [],
        "against_funding": standing.missing,
        "decision_id": standing.decision_id,
    }


def told(override: Override) -> dict[str, Any]:
    return {"override_id": override.override_id, "state": override.state(now()), "ends_at": override.ends_at}


def now() -> datetime:
    return datetime.now(UTC)


# What is refused


@app.exception_handler(DeclinedError)
def declined(_: Request, error: DeclinedError) -> JSONResponse:
    """Nothing of the change is written, and the attempt is on record. The cures are for whoever asks, not for the log."""
    cures = [f"Cure: {cure['explanation']}" for cure in error.decision["cures"]]
    return refused(409, [*str(error).splitlines(), *cures])


@app.exception_handler(DealError)
def no_deal(_: Request, error: DealError) -> JSONResponse:
    return refused(422, [str(problem) for problem in error.problems])


@app.exception_handler(OverrideError)
@app.exception_handler(IdempotencyConflictError)
def not_taken(_: Request, error: Exception) -> JSONResponse:
    return refused(409, str(error))


def refused(status: int, detail: str | list[str]) -> JSONResponse:
    return JSONResponse({"detail": detail}, status)
