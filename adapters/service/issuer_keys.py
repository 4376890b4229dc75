"""The public keys of an identity provider, read from where its discovery document says, and kept while it does not answer."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from threading import Lock
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import jwt

from dealgate.adapters.service.problems import unavailable

log = logging.getLogger("dealgate.service")

FRESH_SECONDS = 600.0
"""After these the keys are read again: so long at the most a key goes on opening that its issuer has withdrawn."""
PAUSE_SECONDS = 5.0
"""Between two look-ups, whatever tokens come."""
LONGEST_SECONDS = 86_400.0
"""After these without an answer of the issuer, its keys count no more."""
ANSWER_SECONDS = 3.0
MOST_BYTES = 500_000

DISCOVERY = "/.well-known/openid-configuration"

ALGORITHMS: Mapping[tuple[str, str | None], tuple[str, ...]] = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
"""By kind and curve of a key. None of them has a secret that both sides know."""


class IssuerKey(NamedTuple):
    key: Any
    algorithms: tuple[str, ...]


class AddressError(ValueError):
    """An address under which no identity provider is asked; the message says why."""


def check_address(url: str, loopback_http: bool) -> str:
    """Raises `AddressError` for anything but https; http is for an issuer on this very machine, where that is allowed."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname and not parts.username:
        return url
    if loopback_http and parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}:
        return url
    raise AddressError(f"{url!r} is no https address without user and password")


class IssuerKeys:
    """The keys of one issuer by their ids. Blocking; opens no connection before a token comes."""

    def __init__(self, issuer: str, loopback_http: bool = False) -> None:
        self.issuer = issuer
        self.loopback_http = loopback_http
        self._keys: dict[str, IssuerKey] = {}
        self._read_at = self._tried_at = float("-inf")
        self._failed = False
        self._looking_up = Lock()

    def key(self, kid: str) -> IssuerKey | None:
        """None for an id that the issuer does not have. Raises 503 where that cannot be known now."""
        busy = False
        if kid not in self._keys or monotonic() - self._read_at > FRESH_SECONDS:
            busy = not self._look_up()
        found = self._keys.get(kid)
        if found is None and (busy or self._failed):
            raise _no_answer()
        if found is not None and monotonic() - self._read_at > LONGEST_SECONDS:
            raise _no_answer()
        return found

    def _look_up(self) -> bool:
        """False where another request is at it. Only those that come before there is any key wait for that."""
        if not self._looking_up.acquire(blocking=not self._keys):
            return False
        try:
            if monotonic() - self._tried_at >= PAUSE_SECONDS:
                self._read()
        finally:
            self._looking_up.release()
        return True

    def _read(self) -> None:
        try:
            self._keys = dict(_usable(self._fetch_keys()))
            self._failed, self._read_at = False, monotonic()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            log.warning("the identity provider %s gives no keys: %s", self.issuer, type(error).__name__)
            self._failed = True
        self._tried_at = monotonic()

    def _fetch_keys(self) -> Iterable[Any]:
        discovery = check_address(self.issuer.rstrip("/") + DISCOVERY, self.loopback_http)
        with httpx.Client(timeout=ANSWER_SECONDS) as client:
            discovered = _fetch(client, discovery)
            if discovered.get("issuer") != self.issuer:
                raise ValueError("the discovery document is another issuer's")
            keys = _fetch(client, check_address(str(discovered.get("jwks_uri")), self.loopback_http)).get("keys")
        if not isinstance(keys, list):
            raise ValueError("the key set has no keys")
        return keys


def _usable(keys: Iterable[Any]) -> Iterator[tuple[str, IssuerKey]]:
    """Those that sign, of a kind that is trusted, each with an id."""
    for jwk in keys:
        algorithms = _algorithms(jwk) if isinstance(jwk, dict) else ()
        if not algorithms:
            continue
        try:
            yield jwk["kid"], IssuerKey(jwt.PyJWK(jwk, algorithms[0]).key, algorithms)
        except jwt.PyJWTError:
            log.warning("a key of the identity provider cannot be read")


def _algorithms(jwk: Mapping[str, Any]) -> tuple[str, ...]:
    kind, curve, kid = jwk.get("kty"), jwk.get("crv"), jwk.get("kid")
    private = "d" in jwk
    if not all(isinstance(one, str) for one in (kind, curve or "", kid)) or private or jwk.get("use", "sig") != "sig":
        return ()
    known = ALGORITHMS.get((str(kind), curve), ())
    return tuple(name for name in known if jwk.get("alg", name) == name)


def _fetch(client: httpx.Client, url: str) -> Mapping[str, Any]:
    """A JSON object. No redirect is followed; an answer that takes too long or is too large is none."""
    ends_at, data = monotonic() + ANSWER_SECONDS, b""
    with client.stream("GET", url) as response:
        if response.status_code != httpx.codes.OK:
            raise ValueError(f"status {response.status_code}")
        for part in response.iter_bytes():
            data += part
            if len(data) > MOST_BYTES or monotonic() > ends_at:
                raise ValueError("the answer is too large or too slow")
    found = json.loads(data)
    if not isinstance(found, dict):
        raise ValueError("the answer is no JSON object")
    return found


def _no_answer() -> Exception:
    return unavailable("The identity provider does not answer, and the token cannot be verified without it.")
