"""The key of a service that seals: as its text or as a file, and never told by an error."""

from pathlib import Path

import pytest

from dealgate.adapters.service.service import Service
from dealgate.adapters.service.settings import read_settings
from dealgate.models.signing import NoteError, new_key
from tests.models.ledgers import NAME


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
