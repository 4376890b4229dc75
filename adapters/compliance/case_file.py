"""The case file of a deal: everything that is stored about it, with the proofs, and the script that checks them offline."""

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from dealgate.adapters.compliance.check import MANIFEST, SEAL, CaseFile
from dealgate.adapters.compliance.cover import Case, cover_page, read_me
from dealgate.adapters.compliance.deal_record import DealRecord, Kept
from dealgate.adapters.compliance.side_by_side import Disclosed, as_csv, side_by_side
from dealgate.adapters.compliance.withholding import NOT_SHOWN, OUTSIDE, Shows, may_read

Files = dict[str, bytes]

EPOCH = (1980, 1, 1, 0, 0, 0)
"""When everything in a ZIP was written, so that the same record gives the same bytes."""


def case_file(connection: Connection, deal_id: str, reader: str = OUTSIDE) -> Files:
    """The files by name, the same for the same record and reader. They have passed the check that they carry.

    Raises `UnknownDealError`, `UnknownReaderError`, `NotSealedError` where nothing, or an entry that others rest on, is sealed yet: a
    policy's, a key's, an erasure's or a purge's; and `ProofError` where the record was altered.
    """
    shows, record = may_read(reader), DealRecord(connection, deal_id)
    parts = [_Part(one, "deal", one.deal_seq or 0, shows) for one in record.entries]
    parts += [_Part(one, "related", number, shows) for number, one in enumerate(record.related, 1)]
    found: Files = {}
    for part in parts:
        found |= part.files(record)
    found["entries.json"] = _json([part.told(record) for part in parts])
    found["purges.json"] = _json(record.purges)
    found |= _policies(record) | _ledger(record)
    case = _case(record, reader, parts)
    found["submissions.csv"] = as_csv(
        case.lines, [f"submission {number}" for number in range(1, len(case.decisions) + 1)]
    )
    found["cover.html"], found["README.txt"] = cover_page(case).encode(), read_me(case).encode()
    found["check.py"] = (files("dealgate.adapters.compliance") / "check.py").read_bytes()
    found |= _manifest(found, deal_id, reader)
    CaseFile(found).check()
    return found


def write_folder(found: Mapping[str, bytes], folder: Path) -> None:
    """All of it or nothing. Raises `FileExistsError` for a folder with something in it."""
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is there already, with something in it")
    written: list[Path] = []
    try:
        for name, data in found.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                written.append(path)
                file.write(data)
    except BaseException:
        _take_away(written, folder)
        raise


def _take_away(written: Sequence[Path], folder: Path) -> None:
    """What was written, and the folders that are empty without it."""
    for path in written:
        path.unlink()
    inside = {parent for path in written for parent in path.parents if parent.is_relative_to(folder)}
    for one in sorted(inside, reverse=True):
        with suppress(OSError):  # somebody else's files are in it
            one.rmdir()


def write_zip(found: Mapping[str, bytes], path: Path) -> None:
    """The same files give the same bytes, all of them or none. Raises `FileExistsError`."""
    with path.open("xb") as file:
        try:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for name in sorted(found):
                    info = zipfile.ZipInfo(name, EPOCH)
                    info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                    archive.writestr(info, found[name])
            file.flush()
        except BaseException:
            path.unlink()
            raise


def manifest_hash(found: Mapping[str, bytes]) -> str:
    """What the lender tells beside the file, so that a whole exchanged file is noticed."""
    return hashlib.sha256(found[MANIFEST]).hexdigest()


class _Part:
    """An entry's files: its bytes, its personal values, what it says to this reader, and its proof."""

    def __init__(self, kept: Kept, of: str, number: int, shows: Shows) -> None:
        self.kept = kept
        self.name = f"{of}/{number:04}-{kept.kind}"
        self.shown = [value for value in kept.values if shows(value.path, value.value.decode())]
        self.disclosed = kept.shown(self.shown)

    @property
    def closed(self) -> frozenset[str]:
        """Where a commitment is all that this reader is shown."""
        return frozenset(self.kept.document["private"]) - {value.path for value in self.shown}

    def files(self, record: DealRecord) -> Files:
        found: Files = {}
        proof = record.proof(self.kept)
        if proof is not None:
            found[f"proofs/{self.name}.proof"] = proof
        if self.kept.envelope is not None:
            found[f"entries/{self.name}.json"] = self.kept.envelope
            found[f"private/{self.name}.json"] = _json(self.private())
            found[f"disclosed/{self.name}.json"] = _json(self.disclosed)
        return found

    def private(self) -> dict[str, Any]:
        shown, stored = {value.path for value in self.shown}, {value.path for value in self.kept.values}
        return {
            "shown": [{"path": one.path, "salt": one.salt.hex(), "value": one.value.decode()} for one in self.shown],
            "withheld": sorted(stored - shown),
            "erased": sorted(set(self.kept.document["private"]) - stored),
        }

    def told(self, record: DealRecord) -> dict[str, Any]:
        kept = self.kept
        there = kept.envelope is not None
        return {
            "entry_id": kept.entry_id,
            "kind": kept.kind,
            "deal_id": kept.deal_id,
            "deal_seq": kept.deal_seq,
            "leaf_hash": kept.leaf_hash.hex(),
            "file": f"entries/{self.name}.json" if there else None,
            "private": f"private/{self.name}.json" if there else None,
            "disclosed": f"disclosed/{self.name}.json" if there else None,
            "proof": None if record.proof(kept) is None else f"proofs/{self.name}.proof",
        }


def _policies(record: DealRecord) -> Files:
    """Each version's text as it was given, and the content whose hash the decisions name."""
    found: Files = {}
    told = []
    for row in record.policies:
        stem = f"policies/{_plain(row.name)}-{_plain(row.version)}-{row.sha256[:12]}"
        found[f"{stem}.yaml"], found[f"{stem}.content.json"] = row.document.encode(), row.content.encode()
        told.append(
            {
                "sha256": row.sha256,
                "name": row.name,
                "version": row.version,
                "title": row.title,
                "text": f"{stem}.yaml",
                "content": f"{stem}.content.json",
            }
        )
    return found | {"policies.json": _json(told)}


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "_", name)[:60]


def _ledger(record: DealRecord) -> Files:
    keys = "".join(f"{key}\n" for key in record.keys)
    found: Files = {"ledger/checkpoint.note": record.note, "ledger/keys.txt": keys.encode()}
    told = []
    for number, one in enumerate(record.anchors, 1):
        stem = f"ledger/anchors/{number:04}"
        found |= {f"{stem}.note": one.note, f"{stem}.receipt": one.receipt, f"{stem}.consistency": one.consistency}
        names = {name: f"{stem}.{name}" for name in ("note", "receipt", "consistency")}
        told.append({"sink": one.sink, "size": one.size, **names})
    return found | {"ledger/anchors.json": _json(told)}


def _case(record: DealRecord, reader: str, parts: Sequence[_Part]) -> Case:
    """What the cover page and the README tell."""
    mine = [part for part in parts if part.kept.deal_id == record.deal_id]
    decided = [
        Disclosed(part.disclosed, part.closed) for part in mine if part.disclosed and part.kept.kind == "decision"
    ]
    private = [part.private() for part in parts if part.disclosed]
    return Case(
        deal_id=record.deal_id,
        reader=reader,
        decisions=[one.envelope for one in decided],
        lines=side_by_side(decided, NOT_SHOWN),
        events=[part.disclosed for part in mine if part.disclosed and part.kept.kind != "decision"],
        policies=record.policies,
        policy_steps=[part.disclosed for part in parts if part.kept.kind in {"policy_publication", "policy_step"}],
        entries=len(mine),
        purged=sum(not part.disclosed for part in mine),
        unsealed=sum(record.proof(part.kept) is None for part in mine),
        withheld=sum(len(one["withheld"]) for one in private),
        erased=sum(len(one["erased"]) for one in private),
        checkpoint=record.checkpoint,
        keys=record.keys,
        anchors=record.anchors,
    )


def _manifest(found: Mapping[str, bytes], deal_id: str, reader: str) -> Files:
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(found.items())}
    about = {"deal_id": deal_id, "reader": reader, "dealgate": version("dealgate"), "files": hashes}
    data = _json(about)
    return {MANIFEST: data, SEAL: f"{hashlib.sha256(data).hexdigest()}  {MANIFEST}\n".encode()}


def _json(document: Any) -> bytes:
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
