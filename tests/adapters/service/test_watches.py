"""What a service does beside its requests: it seals with a key that no error tells, and tells subscribers."""

import threading
from pathlib import Path
from time import sleep

import pytest
from pydantic import ValidationError
from sqlalchemy import Engine, event

from dealgate.adapters.service.service import Service
from dealgate.adapters.service.settings import read_settings
from dealgate.adapters.service.watches import watching
from dealgate.models.signing import NoteError, new_key
from tests.adapters.outbox.receivers import SECRET
from tests.adapters.service.asking import EXAMPLE, a_key, ask, hosted
from tests.models.ledgers import NAME, a_signer, scalar, seal_all


def test_a_key_is_given_as_its_text_or_in_a_file(tmp_path: Path) -> None:
    key = new_key(NAME).private
    (tmp_path / "key").write_text(key)
    for given in (key, str(tmp_path / "key")):
        service = Service(read_settings(db="sqlite:///none.db", policy="prime-auto", ledger_key=given))
        assert len(service.watches) == 1
        service.close()


@pytest.mark.parametrize("broken", ["PRIVATE+KEY+" + "SECRET" * 60, "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END"])
def test_a_key_that_cannot_be_read_is_not_told(broken: str) -> None:
    with pytest.raises(NoteError) as refused:
        Service(read_settings(db="sqlite:///none.db", policy="prime-auto", ledger_key=broken))
    assert "SECRET" not in str(refused.value)


def test_a_service_that_seals_at_once_answers_a_submission_when_it_is_sealed(
    database: Engine, database_url: str
) -> None:
    credential, deal = a_key(database), EXAMPLE.read_bytes()
    with hosted(database_url, ledger_key=new_key(NAME).private, seal_at_once=True) as service:
        answer = ask(service, credential, "/v1/submissions", "POST", content=deal)
    assert answer.status_code == 201
    with database.connect() as connection:
        sealed = "SELECT 1 FROM dealgate_ledger_leaf JOIN dealgate_ledger_entry e ON e.id = entry WHERE entry_id = :id"
        assert scalar(connection, sealed, id=answer.json()["decision_id"])


def test_a_submission_that_cannot_be_sealed_is_answered_as_not_passed(database: Engine, database_url: str) -> None:
    credential, deal = a_key(database), EXAMPLE.read_bytes()
    seal_all(database, a_signer())  # with a key that the service does not have
    with hosted(database_url, ledger_key=new_key(NAME).private, seal_at_once=True) as service:
        headers = {"Idempotency-Key": "K"}
        answers = [ask(service, credential, "/v1/submissions", "POST", content=deal, headers=headers) for _ in range(2)]
    for answer in answers:
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert "is recorded and its entry is not sealed yet. Take nothing for passed." in answer.json()["detail"]
    with database.connect() as connection:
        assert scalar(connection, "SELECT count(*) FROM dealgate_decision") == 1


def test_to_seal_at_once_a_key_is_needed() -> None:
    with pytest.raises(ValidationError, match=r"seal_at_once\n.*set ledger_key"):
        read_settings(db="sqlite:///none.db", seal_at_once=True)


def test_a_service_is_ready_once_what_it_decides_is_told(database_url: str) -> None:
    """A database that is away when the process starts comes back for submissions and for what enters the subscribers, in any order."""
    away = threading.Event()

    def shut(_: object) -> None:
        if away.is_set():
            raise OSError("the database is out of reach")

    with hosted(database_url, webhooks={"crm": {"url": "https://crm.test/", "secret": SECRET}}) as service:
        event.listen(service.beside, "begin", shut)
        away.set()
        with watching(service.watches):
            answer = ask(service, None, "/readyz")
            assert answer.status_code == 503
            assert "webhooks are not entered yet" in answer.json()["detail"]
            away.clear()
            while ask(service, None, "/readyz").status_code != 200:
                sleep(0.01)
        with service.reading() as connection:
            assert scalar(connection, "SELECT count(*) FROM dealgate_subscription WHERE subscriber = 'crm'") == 3
