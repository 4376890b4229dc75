"""The ledger over HTTP: who holds a receipt can check it."""

from collections.abc import Iterator

import pytest

from dealgate.adapters.ledger_proofs import InclusionProof
from dealgate.models.merkle import verify_inclusion
from dealgate.models.notes import read_checkpoint
from tests.adapters.service.hosting import Hosted, answered, fields_of, refused
from tests.models.ledgers import a_signer, seal_all, submit_deals
from tests.models.samples import a_deal


@pytest.fixture
def hosted(database_url: str) -> Iterator[Hosted]:
    service = Hosted(database_url, request_seconds=60)
    yield service
    service.close()


def test_who_holds_a_receipt_checks_it(hosted: Hosted) -> None:
    receipt = answered(hosted.post("sam", "/v1/submissions", a_deal()), 201)["receipt"]
    refused(hosted.get("sam", "/v1/ledger/checkpoint"), 409, "not-sealed")
    path = f"/v1/ledger/entries/{receipt['entry_id']}/proof"
    refused(hosted.get("sam", path), 409, "not-sealed")
    signer = a_signer()
    seal_all(hosted.service.engine, signer)
    for who in ("sam", "cole"):
        note, proof = hosted.get(who, "/v1/ledger/checkpoint"), hosted.get(who, path)
        assert note.headers["content-type"] == proof.headers["content-type"] == "text/plain; charset=utf-8"
        parsed = InclusionProof.parse(proof.content)
        assert parsed.note == note.content
        checkpoint = read_checkpoint(note.content, [signer.key])
        leaf = bytes.fromhex(receipt["leaf_hash"])
        verify_inclusion(leaf, parsed.index, checkpoint.size, parsed.hashes, checkpoint.root)


def test_an_entry_that_waits_is_not_sealed_yet(hosted: Hosted) -> None:
    submit_deals(hosted.service.engine, 1)
    seal_all(hosted.service.engine, a_signer())
    (waiting,) = submit_deals(hosted.service.engine, 1, first=1)
    refused(hosted.get("sam", f"/v1/ledger/entries/{waiting}/proof"), 409, "not-sealed")
    refused(hosted.get("sam", "/v1/ledger/entries/none/proof"), 404, "not-found")
    assert fields_of(hosted.get("sam", "/v1/ledger/entries/%00/proof")) == {"path.entry_id"}
    refused(hosted.get("ada", f"/v1/ledger/entries/{waiting}/proof"), 403, "role")
