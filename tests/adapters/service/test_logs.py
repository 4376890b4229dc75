"""The log of a service: a line a request, and nothing of a borrower's or a secret in it, whatever fails."""

import asyncio
import gc
import io
import json
import logging
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine

from dealgate.adapters.service.logs import JsonLines, TextLines, set_up_logging
from dealgate.adapters.service.principals import Principal, Role
from dealgate.adapters.service.service import Service
from tests.adapters.service.observed_services import DEAL, a_service, ask, lines, logged, of_requests, submit

MARKS = ("MARKED", "1HGMARKEDV1N12345", "987654.32", "7919", "Bäcker")
MARKED = DEAL | {
    "deal_id": "D-2",
    "dealer_id": "MARKED-DEALER",
    "applicant": {"tier": "B", "credit_score": 791, "monthly_income": "987654.32"},
    "vehicle": DEAL["vehicle"] | {"vin": "1HGMARKEDV1N12345"},  # type: ignore[operator]
    "metadata": {"name": "MARKED Bäcker"},
}


@pytest.fixture
def service(database_url: str) -> Iterator[Service]:
    with a_service(database_url) as service:
        yield service


def test_a_request_is_one_line_that_says_who_asked_and_what_came_of_it(service: Service) -> None:
    with logged() as log:
        answer = submit(service)
    (line,) = of_requests(log)
    assert line.pop("milliseconds") > 0
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "dealgate.service.requests",
        "message": "answered",
        "method": "POST",
        "route": "/v1/submissions",
        "status": 201,
        "request_id": answer.headers["x-request-id"],
        "actor": "tester",
        "decision_id": answer.json()["decision_id"],
        "outcome": answer.json()["outcome"],
    }


def test_a_line_names_the_route_and_never_the_path_or_the_query(service: Service) -> None:
    with logged() as log:
        ask(service, lambda client: client.get("/v1/deals/MARKED-PATH?before=7&x=MARKED"))
        ask(service, lambda client: client.get("/MARKED/elsewhere"))
        ask(service, lambda client: client.request("MARKED", "/v1/submissions"))
    assert [(one["route"], one["method"], one["status"]) for one in of_requests(log)] == [
        ("/v1/deals/{deal_id}", "GET", 422),
        ("none", "GET", 404),
        ("/v1/submissions", "other", 405),
    ]
    assert "MARKED" not in log.getvalue()


def test_a_probe_is_told_where_it_fails(service: Service, tmp_path: Any) -> None:
    with logged() as log:
        ask(service, lambda client: client.get("/readyz"))
    assert [one["level"] for one in of_requests(log)] == ["debug"]
    with a_service(f"sqlite:///{tmp_path / 'empty.db'}") as empty, logged() as log:
        ask(empty, lambda client: client.get("/readyz"))
    assert [(one["level"], one["status"]) for one in of_requests(log)] == [("warning", 503)]


UUID = "0b6a3c52-7c0c-4d0e-9a53-0a4bb6cf3f0e"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("headers", "request_id", "trace_id"),
    [
        ({"X-Request-Id": UUID}, UUID, None),
        ({"X-Request-Id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}, "01ARZ3NDEKTSV4RRFFQ69G5FAV", None),
        ({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}, TRACE, TRACE),
        ({"X-Request-Id": UUID, "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}, UUID, TRACE),
        ({"X-Request-Id": "123-45-6789"}, None, None),
        ({"X-Request-Id": "1HGCV1F30NA000001"}, None, None),
        ({"X-Request-Id": "Jane Doe of 12 Long Street"}, None, None),
        ({"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"}, None, None),
        ({"traceparent": "MARKED"}, None, None),
    ],
)
def test_a_request_id_is_taken_from_its_caller_only_in_a_safe_form(
    headers: dict[str, str], request_id: str | None, trace_id: str | None, tmp_path: Any
) -> None:
    with a_service(f"sqlite:///{tmp_path / 'none.db'}") as service, logged() as log:
        answer = ask(service, lambda client: client.get("/healthz", headers=headers))
    (line,) = of_requests(log)
    told = answer.headers["x-request-id"]
    assert told == line["request_id"]
    assert len(told) == 36 if request_id is None else told == request_id
    assert line.get("trace_id") == trace_id


class Failing:
    """An authenticator that quotes what it was given."""

    def principal(self, credential: str) -> Principal:
        if credential == "tester":
            return Principal(credential, frozenset(Role))
        try:
            raise KeyError(credential)
        except KeyError as error:
            raise RuntimeError(f"no {credential}") from error


def provoke(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that can go wrong with a deal that is marked."""
    wrong = MARKED | {"cash_price": "MARKED", "applicant": {"monthly_income": "MARKED"}, "MARKED": 1}
    many = {"MARKED-HEADER": "MARKED", "X-Request-Id": "MARKED", "Idempotency-Key": "MARKED key"}

    async def asking(client: httpx.AsyncClient) -> None:
        for body in (wrong, [MARKED], MARKED):
            await client.post("/v1/evaluations?mapping=MARKED", json=body)
            await client.post("/v1/evaluations?mapping=routeone", json=body)
            await client.post("/v1/submissions", json=body, headers=many)
        await client.post("/v1/submissions", content=b'{"MARKED": ')
        await client.post("/v1/submissions", content=b"\xff MARKED")
        await client.post("/v1/submissions", content=b"MARKED" * 500_000)
        await client.post("/v1/submissions", json=MARKED, headers={"Authorization": "Bearer MARKED-SECRET"})
        for cash in ("1.00", "2.00"):
            await client.post(
                "/v1/submissions", json=MARKED | {"cash_down": cash}, headers={"Idempotency-Key": "same-key"}
            )

    ask(service, asking)

    def fail(*_: object, **__: object) -> None:
        raise ValueError(f"could not do anything with {MARKED}")

    with monkeypatch.context() as patched:
        patched.setattr(service.gate.compiled.engine, "evaluate", fail)
        assert submit(service, MARKED).json()["outcome"] == "refer"
    with monkeypatch.context() as patched:
        patched.setattr("dealgate.adapters.gate.record_new", fail)
        assert submit(service, MARKED).status_code == 500


def break_the_database(service: Service) -> None:
    engine = create_engine(service.engine.url)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE dealgate_submission RENAME TO elsewhere")
    engine.dispose()
    assert submit(service, MARKED).status_code == 503


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()], ids=["json", "text"])
def test_nothing_of_a_deal_and_no_secret_is_logged_whatever_fails(
    formatter: logging.Formatter, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_service(database_url, Failing()) as service, logged(formatter) as log:
        provoke(service, monkeypatch)
        break_the_database(service)
    written = log.getvalue()
    assert "incident" in written
    assert "referred for the engine" in written
    assert "the database fails" in written
    assert [mark for mark in MARKS if mark in written or json.dumps(mark)[1:-1] in written] == []


def test_an_exception_is_told_by_type_and_place(service: Service) -> None:
    service.authenticator = Failing()
    with logged() as log:
        answer = ask(service, lambda client: client.get("/v1/deals/D", headers={"Authorization": "Bearer MARKED"}))
    assert answer.status_code == 500
    (line,) = lines(log, "dealgate.service")[:1]
    assert answer.json()["incident"] in line["message"]
    assert [one["type"] for one in line["exceptions"]] == ["builtins.RuntimeError", "builtins.KeyError"]
    file, _, number = line["exceptions"][0]["frames"][-1].rpartition(":")
    assert file.endswith("service/test_logs.py")
    assert int(number) > 0
    assert "MARKED" not in log.getvalue()


def test_who_was_sent_away_for_the_time_finds_the_decision_in_the_log(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asking(client: httpx.AsyncClient) -> httpx.Response:
        answer = await client.post("/v1/submissions", json=DEAL)
        until = time.monotonic() + 20
        while time.monotonic() < until and not any("decided after" in line["message"] for line in lines(log)):
            await asyncio.sleep(0.02)
        return answer

    with a_service(database_url, request_seconds=1.0) as service, logged() as log:
        evaluate = service.gate.compiled.engine.evaluate

        def evaluate_late(*given: Any) -> Any:
            time.sleep(1.5)
            return evaluate(*given)

        monkeypatch.setattr(service.gate.compiled.engine, "evaluate", evaluate_late)
        answer = ask(service, asking)
    (late,) = (line for line in lines(log) if "decided after" in line["message"])
    assert answer.status_code == 503
    assert late["request_id"] == answer.headers["x-request-id"]
    assert len(late["decision_id"]) == 36


@pytest.mark.filterwarnings("always")
def test_what_nobody_caught_goes_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    error = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level, threading.excepthook, warnings.showwarning
    monkeypatch.setattr("sys.stderr", error)
    for hook in ("excepthook", "unraisablehook"):
        monkeypatch.setattr(f"sys.{hook}", None)
    try:
        set_up_logging("info", "json")
        thread = threading.Thread(target=lambda: int("MARKED"))
        thread.start()
        thread.join()
        warnings.warn("MARKED", stacklevel=1)
        asyncio.run(a_task_that_nobody_waits_for())
        logging.getLogger("sqlalchemy.pool").error("cannot close %r", "MARKED")
        logging.getLogger("dealgate").critical("deal %s referred: %s", "D-1", "it quotes MARKED")
    finally:
        logging.captureWarnings(False)
        root.handlers[:], root.level, threading.excepthook = before[:3]
        warnings.showwarning = before[3]
        for name in ("dealgate", "uvicorn"):
            logging.getLogger(name).setLevel(logging.NOTSET)
    told = [json.loads(line) for line in error.getvalue().splitlines()]
    assert [line["logger"] for line in told] == [
        "dealgate.service",
        "py.warnings",
        "asyncio",
        "sqlalchemy.pool",
        "dealgate",
    ]
    assert [line["exceptions"][0]["type"] for line in told if "exceptions" in line] == ["builtins.ValueError"] * 2
    assert "MARKED" not in error.getvalue()


async def a_task_that_nobody_waits_for() -> None:
    async def fail() -> None:
        raise ValueError("MARKED")

    task = asyncio.create_task(fail())
    await asyncio.sleep(0.01)
    del task
    gc.collect()
