"""A time-stamping authority of `openssl ts`, with a root certificate of its own."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.servers import Reply

# Only the signer's own certificate goes into a token: several of them, which openssl leaves unordered, are no valid DER.
CONFIGURATION = """
[tsa]
default_tsa = authority
[authority]
serial = {folder}/serial
signer_cert = {folder}/signer.pem
signer_key = {folder}/signer.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256
ess_cert_id_alg = sha256
"""


class TimeAuthority:
    """Call it as `serving` wants; `root` is where its root certificate lies, in PEM."""

    def __init__(self, openssl: str, folder: Path) -> None:
        self.openssl = openssl
        self.folder = folder
        self.root = folder / "root.pem"
        self.asked = 0
        (folder / "serial").write_text("01\n")
        (folder / "openssl.cnf").write_text(CONFIGURATION.format(folder=folder))
        root_key, signer_key = (generate_private_key(65537, 2048) for _ in range(2))
        root = certificate("root", root_key, "root", root_key, x509.BasicConstraints(ca=True, path_length=None))
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
        signer = certificate("signer", signer_key, "root", root_key, purpose)
        self.root.write_bytes(root.public_bytes(Encoding.PEM))
        (folder / "signer.pem").write_bytes(signer.public_bytes(Encoding.PEM))
        private = signer_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "signer.key").write_bytes(private)

    def __call__(self, path: str, body: bytes) -> Reply:
        self.asked += 1
        question, answer = self.folder / "question", self.folder / "answer"
        question.write_bytes(body)
        command: list[str | Path] = [
            self.openssl,
            "ts",
            "-reply",
            "-config",
            self.folder / "openssl.cnf",
            "-queryfile",
            question,
            "-out",
            answer,
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return Reply(200, answer.read_bytes(), (("Content-Type", "application/timestamp-reply"),))


def certificate(
    subject: str, key: RSAPrivateKey, issuer: str, issuer_key: RSAPrivateKey, extension: x509.ExtensionType
) -> x509.Certificate:
    now = datetime.now(UTC)
    subject_name, issuer_name = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]) for name in (subject, issuer)
    )
    days = now - timedelta(days=1), now + timedelta(days=9)
    builder = x509.CertificateBuilder(issuer_name, subject_name, key.public_key(), x509.random_serial_number(), *days)
    return builder.add_extension(extension, critical=True).sign(issuer_key, SHA256())
