"""Case files that somebody changed and whose manifest they made again: the ledger's proofs tell."""

import fnmatch
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from dealgate.adapters.compliance import check
from dealgate.adapters.compliance.case_file import Files
from tests.adapters.compliance.cases import case_of, eventful_deal
from tests.models.ledgers import a_signer

TEXT = "policies/*.yaml"


@pytest.fixture
def case(database: Engine, tmp_path: Path) -> Files:
    eventful_deal(database, tmp_path)
    return case_of(database)


def remade(found: Files) -> Files:
    about = json.loads(found[check.MANIFEST])
    files = {name: data for name, data in found.items() if name not in {check.MANIFEST, check.SEAL}}
    about["files"] = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    manifest = json.dumps(about).encode()
    seal = f"{hashlib.sha256(manifest).hexdigest()}  {check.MANIFEST}\n".encode()
    return files | {check.MANIFEST: manifest, check.SEAL: seal}


def only(found: Files, pattern: str) -> str:
    (name,) = fnmatch.filter(found, pattern)
    return name


def replaced(pattern: str, old: bytes, new: bytes) -> Callable[[Files], Files]:
    def change(found: Files) -> Files:
        name = only(found, pattern)
        assert old in found[name], name
        return found | {name: found[name].replace(old, new)}

    return change


def without_last_entry_but_one(found: Files) -> Files:
    told = json.loads(found["entries.json"])
    return found | {"entries.json": json.dumps([one for one in told if one["deal_seq"] != 9]).encode()}


def signed_by_another(found: Files) -> Files:
    return found | {"ledger/keys.txt": f"{a_signer().key.text}\n".encode()}


def withheld_named_erased(found: Files) -> Files:
    name = "private/deal/0004-decision.json"
    private = json.loads(found[name])
    gone = private["shown"].pop()
    return found | {name: json.dumps(private | {"erased": [gone["path"]]}).encode()}


def taken_out_as_purged(found: Files) -> Files:
    told = json.loads(found["entries.json"])
    told[3] |= dict.fromkeys(("file", "private", "disclosed"))
    return found | {"entries.json": json.dumps(told).encode()}


def with_made_up(found: Files, envelope: dict[str, Any]) -> Files:
    """With an entry that stands in no ledger and that nothing proves, in the place of the one of that id if there is one."""
    told = json.loads(found["entries.json"])
    others = [one for one in told if one["entry_id"] != envelope["entry_id"]]
    data = json.dumps(envelope | {"private": []}).encode()
    entry = {
        **{name: envelope.get(name) for name in ("entry_id", "kind", "deal_id", "deal_seq")},
        "leaf_hash": hashlib.sha256(b"\0" + data).hexdigest(),
        **{name: f"{name}/made-up.json" for name in ("private", "disclosed")},
        "file": "entries/made-up.json",
        "proof": None,
    }
    files = {
        "entries/made-up.json": data,
        "disclosed/made-up.json": data,
        "private/made-up.json": json.dumps({"shown": [], "withheld": [], "erased": []}).encode(),
        "entries.json": json.dumps([*others, entry]).encode(),
    }
    return found | files


def of_no_deal(kind: str, name: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"entry_id": "made-up", "kind": kind, "deal_id": None, "deal_seq": None, name: content}


def erased_by_made_up(found: Files) -> Files:
    """In an unproved entry that says of another that a value was erased."""
    name, told = "private/deal/0004-decision.json", json.loads(found["entries.json"])
    (decision,) = [one["entry_id"] for one in told if one["private"] == name]
    path = json.loads(found[name])["shown"][-1]["path"]
    leave = of_no_deal("redaction", "redaction", {"entry_id": decision, "paths": [path]})
    return with_made_up(withheld_named_erased(found), leave)


def published_by_made_up(found: Files) -> Files:
    """A text that was never published, and an unproved entry that publishes it in the place of the true one."""
    forged = replaced(TEXT, b"125%", b"150%")(found)
    envelope = json.loads(found[only(found, "entries/*policy_publication.json")])
    envelope["policy"]["document_sha256"] = hashlib.sha256(forged[only(found, TEXT)]).hexdigest()
    return with_made_up(forged, envelope)


def keys_by_made_up(found: Files) -> Files:
    key = a_signer("another.example/ledger").key.text
    forged = found | {"ledger/keys.txt": found["ledger/keys.txt"] + f"{key}\n".encode()}
    return with_made_up(forged, of_no_deal("key_rotation", "key", {"old": None, "new": key}))


def an_entry_twice(found: Files) -> Files:
    told = json.loads(found["entries.json"])
    return found | {"entries.json": json.dumps([*told, told[-1] | {"proof": None}]).encode()}


FORGERIES: dict[str, tuple[Callable[[Files], Files], str]] = {
    "an entry": (replaced("entries/deal/0007-notice.json", b'"mail"', b'"note"'), "is not the entry that was hashed"),
    "a proof": (replaced("proofs/deal/0001-decision.proof", b"index 1\n", b"index 2\n"), "does not lie in the ledger"),
    "what is read": (replaced("disclosed/deal/0001-decision.json", b'"refer"', b'"pass"'), "does not say what"),
    "a personal value": (
        replaced("private/deal/0001-decision.json", b"5200.00", b"9200.00"),
        "is not what was recorded",
    ),
    "a policy's text": (replaced(TEXT, b"125%", b"150%"), "is not what was published"),
    "a policy's content": (
        replaced("policies/*.content.json", b"LTV-TOTAL", b"LTV-OTHER"),
        "is not the content that decided",
    ),
    "a policy's name": (
        replaced("policies.json", b'"overridable"', b'"other"'),
        "the name of .* is not the one published",
    ),
    "a policy's version": (
        replaced("policies.json", b'"version": "1"', b'"version": "2"'),
        "the version of .* is not the one published",
    ),
    "the size": (replaced("ledger/checkpoint.note", b"\n13\n", b"\n14\n"), "is not one of this checkpoint"),
    "the key": (signed_by_another, "no key of this file signed"),
    "an entry left out": (without_last_entry_but_one, "entry 9 of the deal is missing"),
    "an anchored note": (replaced("ledger/anchors/0001.note", b"\n5\n", b"\n4\n"), "is not one of this checkpoint"),
    "a decision taken out": (taken_out_as_purged, "was taken out, and no purge in the ledger gave leave"),
    "an erasure": (withheld_named_erased, "was erased, and no entry in the ledger gave leave"),
    "an erasure, with leave": (erased_by_made_up, "was erased, and no entry in the ledger gave leave"),
    "a policy's text, published": (published_by_made_up, r"nothing in the ledger tells of policies/\S+\.yaml"),
    "a key, introduced": (keys_by_made_up, r"ledger/keys\.txt has a key that no entry of the ledger introduced"),
    "an entry twice": (an_entry_twice, r"entries\.json has the entry \S+ twice"),
    "what is read, told twice": (
        replaced("disclosed/deal/0001-decision.json", b'"outcome": "refer"', b'"outcome": "pass", "outcome": "refer"'),
        "a name stands twice in one object: .*outcome",
    ),
    "a number as a truth": (
        replaced("disclosed/deal/0001-decision.json", b'"deal_seq": 1', b'"deal_seq": true'),
        "does not say what",
    ),
    "a number as a truth in the list": (
        replaced("entries.json", b'"deal_seq": 1,', b'"deal_seq": true,'),
        r"deal_seq of entries/deal/0001-decision\.json is not as entries\.json says",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_file_fails_by_its_proofs_where_the_manifest_was_made_again(case: Files, forgery: str) -> None:
    forge, words = FORGERIES[forgery]
    with pytest.raises(check.CheckError, match=words):
        check.CaseFile(remade(forge(case))).check()
