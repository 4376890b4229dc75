"""An identity provider on this machine: keys of every kind, a discovery document, and tokens."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep, time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

AUDIENCE = "dealgate"

MAKERS: Mapping[str, Any] = {
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
    "PS384": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


class Issuer:
    """`keys` are those that it signs with, by their ids, `published` the key set as it tells it."""

    def __init__(self) -> None:
        self.keys: dict[str, tuple[str, Any]] = {}
        self.published: list[dict[str, Any]] = []
        self.discovery: dict[str, Any] = {}
        self.asked: list[str] = []
        self.delay = 0.0
        self.status = 200
        self.url = ""

    def add(self, kid: str, algorithm: str = "ES256") -> Any:
        """A new key, published."""
        private = MAKERS[algorithm]()
        self.keys[kid] = (algorithm, private)
        self.published.append(public_jwk(private, algorithm) | {"kid": kid, "use": "sig"})
        return private

    def withdraw(self, kid: str) -> None:
        self.published = [one for one in self.published if one["kid"] != kid]

    def token(self, kid: str, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """A token as it should be, but for the claims that are given; None leaves one out."""
        algorithm, private = self.keys[kid]
        told = {name: value for name, value in (self.claims() | claims).items() if value is not None}
        return jwt.encode(told, private, algorithm, headers={"kid": kid, **(header or {})})

    def claims(self) -> dict[str, Any]:
        now = int(time())
        times = {"iat": now, "nbf": now, "exp": now + 300}
        return {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "roles": ["desk"], **times}

    def settings(self, **given: Any) -> dict[str, Any]:
        told = {"issuer": self.url, "audience": AUDIENCE, "roles": {"desk": ["underwriter"]}, "loopback_http": True}
        return told | given

    def document(self, path: str) -> Any:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"} | self.discovery
        return {"keys": self.published}


def public_jwk(private: Any, algorithm: str) -> dict[str, Any]:
    told = get_default_algorithms()[algorithm].to_jwk(private.public_key(), as_dict=True)
    return {name: value for name, value in told.items() if name not in {"key_ops", "alg"}}


@contextmanager
def running(issuer: Issuer, port: int = 0) -> Iterator[Issuer]:
    """It answers while this lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            sleep(issuer.delay)
            data = json.dumps(issuer.document(self.path)).encode()
            with suppress(ConnectionError):  # who asked may have gone
                self.send_response(issuer.status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_port}"
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
