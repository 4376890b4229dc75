#!/usr/bin/env python3
"""Checks a case file of dealgate offline: needs Python 3.9 or newer and nothing else.

    python3 check.py [FOLDER or ZIP] [--key VERIFIER_KEY]

Says whether every file is as it was made, whether every entry of the deal lies in the ledger that the checkpoint signs, whether
they form one chain without a gap, and whether what is read in disclosed/ is what the entries say. cover.html, README.txt and
submissions.csv are held against the hash in the manifest alone: they are for reading, and what they say is not derived again.
Compare the verifier key that it prints with the one that the lender published, or give that one with --key, and the hash of the
manifest with the one that the lender told. Exit code 1 where anything fails.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

MANIFEST, SEAL = "manifest.json", "manifest.sha256"


class CheckError(ValueError):
    """Something that is not as it must be."""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def need(holds: bool, words: str) -> None:
    if not holds:
        raise CheckError(words)


# Ed25519, RFC 8032: points of the curve as (X, Y, Z, T) with x = X/Z, y = Y/Z, x*y = T/Z

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)


def add(a: Any, b: Any) -> Any:
    minus, plus = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    across, through = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = plus - minus, through - across, through + across, plus + minus
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(scalar: int, point: Any) -> Any:
    total = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def point_of(data: bytes) -> Any:
    y = int.from_bytes(data, "little")
    odd, y = y >> 255, y & (2**255 - 1)
    need(y < P, "a point that is none of the curve")
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_1 % P
    need((x * x - square) % P == 0 and not (x == 0 and odd), "a point that is none of the curve")
    x = P - x if x & 1 != odd else x
    return x, y, 1, x * y % P


BASE = point_of((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the owner of the public key signed the message."""
    try:
        key, commitment = point_of(public), point_of(signature[:32])
    except CheckError:
        return False
    scalar = int.from_bytes(signature[32:], "little")
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    if len(signature) != 64 or scalar >= ORDER:
        return False
    left, right = times(scalar, BASE), add(commitment, times(challenge, key))
    return all((left[axis] * right[2] - right[axis] * left[2]) % P == 0 for axis in (0, 1))


# Signed notes and checkpoints, c2sp.org/signed-note and c2sp.org/tlog-checkpoint


def decoded(text: str, what: str) -> bytes:
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except ValueError:
        raise CheckError(f"{what} is not base64") from None
    need(base64.b64encode(data).decode() == text, f"{what} is not base64 as it must be written")
    return data


def read_key(text: str) -> Any:
    """The name, the key ID and the 32 bytes of a verifier key."""
    parts = text.split("+", 2)
    need(len(parts) == 3, f"{text!r} is no verifier key")
    data = decoded(parts[2], "the verifier key")
    need(len(data) == 33 and data[0] == 1, f"{text!r} is no Ed25519 key")
    key_id = hashlib.sha256(parts[0].encode() + b"\n" + data).digest()[:4]
    need(key_id.hex() == parts[1], f"{text!r} has another key ID")
    return parts[0], key_id, data[1:]


def read_note(note: bytes, keys: list[str]) -> Any:
    """The origin, the size and the root that a note states, and the keys that signed it."""
    text, blank, lines = note.decode().rpartition("\n\n")
    need(bool(blank) and lines.endswith("\n"), "the checkpoint is no signed note")
    origin, size, root = [*text.split("\n"), "", "", ""][:3]
    found = []
    for line in lines[:-1].split("\n"):
        dash, name, value = [*line.split(" "), "", ""][:3]
        data = decoded(value, "a signature")
        for key in keys:
            key_name, key_id, public = read_key(key)
            if dash == "—" and (name, data[:4]) == (key_name, key_id) and f"{origin}/".startswith(f"{key_name}/"):
                need(
                    signed(public, f"{text}\n".encode(), data[4:]),
                    f"the signature by {name} is not one of this checkpoint",
                )
                found.append(key)
    need(bool(found), f"no key of this file signed the checkpoint of {origin}")
    return origin, int(size), decoded(root, "the root"), found


# The tree of RFC 9162


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def climb(at: int, last: int, hashes: list[bytes], before: bytes, now: bytes) -> Any:
    """Up the tree from node `at` of a level whose last one is `last`: the older root and the newer one that the hashes lead to."""
    for sibling in hashes:
        need(last > 0, "a proof has hashes to spare")
        if at & 1 or at == last:
            before, now = node(sibling, before), node(sibling, now)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            now = node(now, sibling)
        at, last = at >> 1, last >> 1
    need(last == 0, "a proof lacks hashes")
    return before, now


def lies_in(leaf: bytes, index: int, size: int, hashes: list[bytes], root: bytes) -> bool:
    need(0 <= index < size, f"the ledger has no entry at {index}")
    return bool(climb(index, size - 1, hashes, leaf, leaf)[1] == root)


def continues(old: Any, new: Any, hashes: list[bytes]) -> bool:
    """Whether the tree of a newer checkpoint, (size, root), begins with that of an older one."""
    (old_size, old_root), (new_size, new_root) = old, new
    if old_size == new_size:
        return bool(old_root == new_root and not hashes)
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    path = hashes if at else [old_root, *hashes]
    need(bool(path), "a proof lacks hashes")
    return bool(climb(at, last, path[1:], path[0], path[0]) == (old_root, new_root))


def read_proof(data: bytes) -> Any:
    """The lines of a proof above its first note, and what follows them."""
    head, _, rest = data.partition(b"\n\n")
    return head.decode().split("\n"), rest


# The case file


def told_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object that says each thing once: of two values, one reader shows the first and another the last."""
    need(
        len(dict(pairs)) == len(pairs),
        "a name stands twice in one object: " + ", ".join(name for name, _ in pairs)[:200],
    )
    return dict(pairs)


def alike(one: Any, other: Any) -> bool:
    """As they are written: to Python, 1 and true are equal."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


class CaseFile:
    """What each check found out, as lines; a check that fails raises `CheckError`."""

    def __init__(self, files: dict[str, bytes], key: str = "") -> None:
        self.files = files
        self.key = key
        self.lines: list[str] = []

    def read(self, name: str) -> bytes:
        need(name in self.files, f"{name} is missing")
        return self.files[name]

    def document(self, name: str) -> Any:
        return json.loads(self.read(name), object_pairs_hook=told_once)

    def check(self) -> None:
        self.manifest()
        self.checkpoint()
        self.entries()
        self.taken_out()
        self.chain()
        self.personal_values()
        self.policies()
        self.named_keys()
        self.anchors()

    def manifest(self) -> None:
        data = self.read(MANIFEST)
        need(self.read(SEAL) == f"{sha256(data)}  {MANIFEST}\n".encode(), f"{SEAL} is not that of {MANIFEST}")
        self.about = self.document(MANIFEST)
        listed = self.about["files"]
        for name in sorted(listed.keys() | (self.files.keys() - {MANIFEST, SEAL})):
            need(name in listed, f"{name} is not in the manifest: it was added")
            need(name in self.files, f"{name} is missing")
            need(sha256(self.files[name]) == listed[name], f"{name} was changed since the file was made")
        self.lines.append(f"case file of deal {self.about['deal_id']}, made for the reader {self.about['reader']}")
        self.lines.append(f"{len(listed)} files are as they were made; SHA-256 of the manifest {sha256(data)}")

    def checkpoint(self) -> None:
        keys = self.read("ledger/keys.txt").decode().split()
        origin, self.size, self.root, signers = read_note(self.read("ledger/checkpoint.note"), keys)
        need(
            not self.key or self.key in signers,
            f"the checkpoint is not signed by {self.key}, but by {', '.join(signers)}",
        )
        self.keys = keys
        self.lines += [f"verifier key {key}" for key in signers]
        if not self.key:
            self.lines.append(
                "compare that key with the one that the lender published: all that follows is worth what it is"
            )
        self.lines.append(f"checkpoint of {origin}: {self.size} entries, root {self.root.hex()}")

    def entries(self) -> None:
        self.told = self.document("entries.json")
        self.envelopes: dict[str, Any] = {}
        waiting, seen = [], set()
        for one in self.told:
            need(one["entry_id"] not in seen, f"entries.json has the entry {one['entry_id']} twice")
            seen.add(one["entry_id"])
            leaf, what = bytes.fromhex(one["leaf_hash"]), one["file"] or f"entry {one['entry_id']}"
            if one["file"]:
                data = self.read(one["file"])
                need(hashlib.sha256(b"\0" + data).digest() == leaf, f"{what} is not the entry that was hashed")
                envelope = self.envelopes[one["entry_id"]] = json.loads(data)
                for name in ("entry_id", "kind", "deal_id", "deal_seq"):
                    need(alike(envelope[name], one[name]), f"{name} of {what} is not as entries.json says")
            if one["proof"]:
                head, note = read_proof(self.read(one["proof"]))
                hashes = [decoded(line, "a hash") for line in head[2:]]
                index = int(head[1].split(" ")[1])
                need(note == self.read("ledger/checkpoint.note"), f"{one['proof']} is for another checkpoint")
                need(lies_in(leaf, index, self.size, hashes, self.root), f"{what} does not lie in the ledger")
            else:
                waiting.append(what)
        self.lines.append(f"{len(self.told) - len(waiting)} entries lie in that ledger")
        if waiting:
            told = ", ".join(waiting)
            self.lines.append(f"NOT PROVED: {len(waiting)} entries were not sealed when this file was made: {told}")

    def proved(self, kind: str) -> list[Any]:
        """The envelopes of a kind that lie in the ledger: others give no leave for anything, for anybody may have written them."""
        return [
            self.envelopes[one["entry_id"]] for one in self.told if one["kind"] == kind and one["file"] and one["proof"]
        ]

    def taken_out(self) -> None:
        """What is no longer there was taken out by a purge that lies in the ledger, and that tells of this very leaf."""
        lists, taken = self.document("purges.json"), set()
        for purge in self.proved("retention_purge"):
            hashes = sorted(lists.get(purge["entry_id"], []))
            need(
                sha256("\n".join(hashes).encode()) == purge["retention_purge"]["entries_sha256"],
                f"purges.json does not name what the purge {purge['entry_id']} took out",
            )
            taken.update(hashes)
        gone = [one for one in self.told if not one["file"]]
        for one in gone:
            need(
                one["leaf_hash"] in taken,
                f"entry {one['entry_id']} was taken out, and no purge in the ledger gave leave",
            )
        if gone:
            self.lines.append(
                f"{len(gone)} entries were purged, as purges in that ledger say: nothing is left but their hashes"
            )

    def chain(self) -> None:
        """The deal's entries are numbered without a gap, and each names the hash of the one before."""
        before = None
        mine = [one for one in self.told if one["deal_id"] == self.about["deal_id"]]
        for number, one in enumerate(mine, 1):
            need(one["deal_seq"] == number, f"entry {number} of the deal is missing")
            if one["file"]:
                previous = self.envelopes[one["entry_id"]]["previous"]
                need(previous == before, f"{one['file']} does not follow the entry before it")
            before = one["leaf_hash"]
        need(bool(mine), "the file has no entry of the deal")
        self.lines.append(
            f"{len(mine)} of them are the deal's, from its first to its {len(mine)}., chained without a gap"
        )

    def personal_values(self) -> None:
        """Each that is shown is the one that its entry commits to; what is read beside the entry is the entry with these values."""
        redactions = [one["redaction"] for one in self.proved("redaction")]
        redacted = {(erased["entry_id"], path) for erased in redactions for path in erased["paths"]}
        counts = dict.fromkeys(("shown", "withheld", "erased"), 0)
        for one in self.told:
            if not one["file"]:
                continue
            envelope, private = self.envelopes[one["entry_id"]], self.document(one["private"])
            paths = [value["path"] for value in private["shown"]] + private["withheld"] + private["erased"]
            need(
                sorted(paths) == sorted(envelope["private"]),
                f"{one['private']} does not name what {one['file']} commits to",
            )
            for path in private["erased"]:
                need(
                    (one["entry_id"], path) in redacted,
                    f"{path} of {one['file']} was erased, and no entry in the ledger gave leave",
                )
            read = json.loads(json.dumps(envelope))
            for value in private["shown"]:
                above, name = self.place(read, value["path"])
                committed = sha256(bytes.fromhex(value["salt"]) + value["value"].encode())
                need(
                    above[name] == {"commit": committed},
                    f"{value['path']} in {one['private']} is not what was recorded",
                )
                above[name] = json.loads(value["value"])
            need(
                alike(self.document(one["disclosed"]), read), f"{one['disclosed']} does not say what {one['file']} says"
            )
            for what in counts:
                counts[what] += len(private[what])
        told = ", ".join(f"{number} {what}" for what, number in counts.items())
        self.lines.append(f"personal values: {told}; each one shown is as it was recorded")

    @staticmethod
    def place(document: Any, path: str) -> Any:
        *above, last = [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]
        for step in above:
            document = document[int(step)] if isinstance(document, list) else document[step]
        return document, int(last) if isinstance(document, list) else last

    def policies(self) -> None:
        """The version of every decision is in the file, with the name, the text and the content that its publication recorded."""
        stored = {one["sha256"]: one for one in self.document("policies.json")}
        published = {one["policy"]["sha256"]: one["policy"] for one in self.proved("policy_publication")}
        for envelope in self.envelopes.values():
            if envelope["kind"] == "decision":
                need(
                    envelope["policy_sha256"] in stored,
                    f"the policy of decision {envelope['entry_id']} is not in the file",
                )
        for digest, one in stored.items():
            need(digest in published, f"nothing in the ledger tells of {one['text']}")
            for name in ("name", "version"):
                need(one[name] == published[digest][name], f"the {name} of {one['text']} is not the one published")
            need(sha256(self.read(one["content"])) == digest, f"{one['content']} is not the content that decided")
            need(
                sha256(self.read(one["text"])) == published[digest]["document_sha256"],
                f"{one['text']} is not what was published",
            )
        self.lines.append(f"{len(stored)} policy versions, each as its publication in the ledger says")

    def named_keys(self) -> None:
        """Each key of the file is one that an entry of the ledger introduced."""
        # Whoever may submit can append one that names none.
        told = [one.get("key") for one in self.proved("key_rotation")]
        named = [one.get("new") for one in told if isinstance(one, dict)]
        need(all(key in named for key in self.keys), "ledger/keys.txt has a key that no entry of the ledger introduced")

    def anchors(self) -> None:
        """The ledger of this file continues every checkpoint that was kept elsewhere."""
        anchors = self.document("ledger/anchors.json")
        for one in anchors:
            note = self.read(one["note"])
            _, size, root, _ = read_note(note, self.keys)
            head, rest = read_proof(self.read(one["consistency"]))
            need(
                rest == note + b"\n" + self.read("ledger/checkpoint.note"),
                f"{one['consistency']} is for other checkpoints",
            )
            hashes = [decoded(line, "a hash") for line in head[1:]]
            need(continues((size, root), (self.size, self.root), hashes), f"the ledger does not continue {one['note']}")
        self.lines.append(
            f"the ledger continues {len(anchors)} checkpoints that were anchored elsewhere; ask whoever keeps them"
        )


def read_files(path: Path) -> dict[str, bytes]:
    if path.is_dir():
        return {each.relative_to(path).as_posix(): each.read_bytes() for each in path.rglob("*") if each.is_file()}
    with zipfile.ZipFile(path) as archive:
        found: dict[str, bytes] = {}
        for each in (one for one in archive.infolist() if not one.is_dir()):
            need(each.filename not in found, f"the archive has {each.filename} twice: which one is read differs")
            found[each.filename] = archive.read(each)
        return found


def read_arguments(arguments: list[str]) -> tuple[Path, str]:
    """The case file and the key. What is not looked at must not pass for checked, and a private key is not told."""
    key = ""
    if "--key" in arguments:
        at = arguments.index("--key")
        key = "".join(arguments[at + 1 : at + 2])
        arguments = arguments[:at] + arguments[at + 2 :]
        need(
            key.count("+") >= 2 and not key.startswith("PRIVATE+KEY+"),
            "after --key comes the verifier key itself that the lender published, <name>+<8 hex digits>+<base64>",
        )
    need(len(arguments) < 2, f"give one case file, a folder or a ZIP, got {len(arguments)}")
    return Path(arguments[0]) if arguments else Path(__file__).resolve().parent, key


def main(arguments: list[str]) -> int:
    case, failure = CaseFile({}, ""), ""
    try:
        place, case.key = read_arguments(arguments)
        case.files = read_files(place)
        case.check()
    except Exception as error:  # whatever a changed byte leads to is a failure
        failure = f"FAILS: {error if isinstance(error, CheckError) else f'{type(error).__name__}: {error}'}"
    print("\n".join([*case.lines, failure or "HOLDS"]))
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
