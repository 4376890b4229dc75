"""The key of a service that seals: as its text or as a file, and never told by an error."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy import Engine

from dealgate.adapters.service.service import Service
from dealgate.adapters.service.settings import read_settings
from dealgate.models.signing import NoteError, new_key
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
