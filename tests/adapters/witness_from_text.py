"""A witness written from the texts of c2sp.org/tlog-witness and tlog-cosignature. It shares no code with the project."""

import base64
import hashlib
from threading import Lock

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.models import c2sp
from tests.servers import Reply

NAME = "witness.example/w1"


class Witness:
    """Call it as `serving` wants. `logs` maps the origins it knows to their verifier keys."""

    def __init__(self, logs: dict[str, str], moment: int = 1_700_000_000) -> None:
        self.logs = logs
        self.moment = moment
        self.seen: dict[str, tuple[int, bytes]] = {}
        self.requests = list[bytes]()
        self._key = Ed25519PrivateKey.generate()
        self._lock = Lock()
        raw = b"\x04" + self._key.public_key().public_bytes_raw()
        self._id = hashlib.sha256(NAME.encode() + b"\n" + raw).digest()[:4]
        self.key = f"{NAME}+{self._id.hex()}+{base64.b64encode(raw).decode()}"

    def __call__(self, path: str, body: bytes) -> Reply:
        self.requests.append(body)
        if path != "/add-checkpoint":
            return Reply(405)
        with self._lock:
            return self._add(body)

    def _add(self, body: bytes) -> Reply:
        head, note = body.split(b"\n\n", 1)
        old_line, *lines = head.decode().split("\n")
        old, proof = int(old_line.removeprefix("old ")), [base64.b64decode(line) for line in lines]
        origin = note.split(b"\n", 1)[0].decode()
        if origin not in self.logs:
            return Reply(404)
        try:
            _, size, root = c2sp.checkpoint(note, self.logs[origin])
        except (AssertionError, InvalidSignature):
            return Reply(403)
        if old > size or len(lines) > 63:
            return Reply(400)
        last, last_root = self.seen.get(origin, (0, b""))
        if old != last or (old == size and last_root not in {root, b""}):
            return Reply(409, b"%d\n" % last, (("Content-Type", "text/x.tlog.size"),))
        if not self._continues(last, last_root, size, root, proof):
            return Reply(422)
        self.seen[origin] = size, root
        return Reply(200, self._line(note[: note.rindex(b"\n\n") + 1]))

    def _continues(self, old: int, old_root: bytes, size: int, root: bytes, proof: list[bytes]) -> bool:
        if old in {0, size}:
            return not proof
        return c2sp.consistent(old, old_root, size, root, proof)

    def _line(self, text: bytes) -> bytes:
        signature = self._key.sign(b"cosignature/v1\ntime %d\n" % self.moment + text)
        raw = self._id + self.moment.to_bytes(8, "big") + signature
        return f"— {NAME} {base64.b64encode(raw).decode()}\n".encode()
