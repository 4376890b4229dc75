"""An anchor that is a time-stamping authority (RFC 3161): it signs when a note existed, and keeps nothing itself."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.x509 import Certificate, load_pem_x509_certificates

from dealgate.adapters.anchors.anchor import AnchorConflictError, AnchorError
from dealgate.adapters.anchors.posting import check_address, post
from dealgate.models.merkle import Nodes

if TYPE_CHECKING:
    from rfc3161_client import TimeStampResponse


class TimestampAnchor:
    """An authority at an address. `roots` are the certificates that its tokens are held against."""

    def __init__(self, url: str, roots: Sequence[Certificate] = ()) -> None:
        self.url = check_address(url)
        self.roots = tuple(roots)
        self.name = f"tsa:{url}"

    def publish(self, note: bytes, nodes: Nodes | None = None, /) -> bytes:
        """Have the note's hash stamped. The receipt is the answer with its token, DER. Raises `AnchorError`."""
        library = _library()
        builder = library.TimestampRequestBuilder().data(note).hash_algorithm(library.HashAlgorithm.SHA256)
        request = builder.nonce(nonce=True).cert_request(cert_request=True).build()
        answer = post(self.url, request.as_bytes(), "application/timestamp-query")
        if answer.status != 200:
            raise AnchorError(f"{self.url} answered {answer.status} instead of 200: see whether its address is right")
        response = self._decoded(answer.body)
        if response.tst_info.nonce != request.nonce:
            raise AnchorError(f"{self.url}: expected an answer to nonce {request.nonce}, got {response.tst_info.nonce}")
        self._compare(response, note)
        if self.roots:
            self._verify(response, note)
        return answer.body

    def check(self, receipt: bytes, note: bytes, /) -> datetime:
        """When the authority saw the note, held against the roots without a network. Raises `AnchorError`."""
        if not self.roots:
            raise AnchorError(
                f"the tokens of {self.url} need the authority's root certificates: name it {self.name}#roots.pem"
            )
        response = self._decoded(receipt)
        self._compare(response, note)
        self._verify(response, note)
        moment: datetime = response.tst_info.gen_time
        return moment

    def _decoded(self, data: bytes) -> "TimeStampResponse":
        try:
            response: TimeStampResponse = _library().decode_timestamp_response(data)
            if response.status != 0:
                raise AnchorError(f"{self.url} gave no time stamp, status {response.status}: {response.status_string}")
            response.tst_info  # noqa: B018  (a token that cannot be read says so here)
        except ValueError as error:
            raise AnchorError(
                f"{self.url}: expected a time stamp of RFC 3161, got {len(data)} other bytes: {error}"
            ) from None
        return response

    def _compare(self, response: "TimeStampResponse", note: bytes) -> None:
        expected, got = sha256(note).digest(), response.tst_info.message_imprint.message
        if expected != got:
            raise AnchorConflictError(
                f"the time stamp of {self.url} is of other bytes: expected SHA-256 {expected.hex()}, got {got.hex()}"
            )

    def _verify(self, response: "TimeStampResponse", note: bytes) -> None:
        library = _library()
        verifier = library.VerifierBuilder(roots=list(self.roots)).build()
        try:
            verifier.verify_message(response, note)
        except (library.VerificationError, ValueError) as error:
            raise AnchorConflictError(
                f"the time stamp of {self.url} does not hold under the given roots: {error}"
            ) from None


def read_roots(path: Path) -> list[Certificate]:
    """Certificates in PEM. Raises `AnchorError`."""
    try:
        return load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise AnchorError(f"{path} cannot be read as certificates in PEM: {error}") from None


def _library() -> Any:
    try:
        return import_module("rfc3161_client")
    except ImportError as error:
        raise AnchorError(
            f"time stamps need rfc3161-client, which cannot be loaded ({error}). Run: pip install 'dealgate[anchors]'"
        ) from None
