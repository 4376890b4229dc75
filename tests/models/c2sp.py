"""A verifier written against the C2SP texts and RFC 9162 alone. It shares no code with the project, on purpose."""

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def h(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def vkey(text: str) -> tuple[str, bytes, int, bytes]:
    """c2sp.org/signed-note, verifier keys: name, key ID, signature type, public key."""
    name, key_id, data = text.split("+", 2)
    raw = base64.b64decode(data)
    assert bytes.fromhex(key_id) == h(name.encode(), b"\n", raw)[:4]
    return name, bytes.fromhex(key_id), raw[0], raw[1:]


def signed_text(note: bytes, key: str) -> bytes:
    """c2sp.org/signed-note and c2sp.org/tlog-cosignature: the text that a key signed."""
    cut = note.rindex(b"\n\n") + 1
    text, lines = note[:cut], note[cut + 1 :].decode().splitlines()
    name, key_id, kind, public = vkey(key)
    for line in lines:
        dash, signer, data = line.split(" ")
        raw = base64.b64decode(data)
        if (dash, signer, raw[:4]) == ("—", name, key_id):
            time, signature = (raw[4:12], raw[12:]) if kind == 4 else (b"", raw[4:])
            message = b"cosignature/v1\ntime %d\n" % int.from_bytes(time, "big") + text if kind == 4 else text
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
            return text
    raise AssertionError(f"no signature by {name}")


def checkpoint(note: bytes, key: str) -> tuple[str, int, bytes]:
    """c2sp.org/tlog-checkpoint: origin, size, root."""
    origin, size, root = signed_text(note, key).decode().split("\n")[:3]
    return origin, int(size), base64.b64decode(root)


def included(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> bool:
    """RFC 9162, 2.1.3.2."""
    if index >= size:
        return False
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            return False
        if fn % 2 or fn == sn:
            r = h(b"\x01", p, r)
            while fn % 2 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = h(b"\x01", r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def consistent(old: int, old_root: bytes, new: int, new_root: bytes, proof: list[bytes]) -> bool:
    """RFC 9162, 2.1.4.2, for 0 < old < new."""
    if not proof:
        return False
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    fn, sn = old - 1, new - 1
    while fn % 2:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn % 2 or fn == sn:
            fr, sr = h(b"\x01", c, fr), h(b"\x01", c, sr)
            while fn % 2 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = h(b"\x01", sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == old_root and sr == new_root


def logged(proof: bytes, entry: bytes, key: str) -> bool:
    """c2sp.org/tlog-proof: whether the entry is in the log whose key this is."""
    head, note = proof.split(b"\n\n", 1)
    lines = head.decode().split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    if lines[1].startswith("extra "):
        del lines[1]
    word, index = lines[1].split(" ")
    assert word == "index"
    _, size, root = checkpoint(note, key)
    return included(h(b"\x00", entry), int(index), size, [base64.b64decode(line) for line in lines[2:]], root)
