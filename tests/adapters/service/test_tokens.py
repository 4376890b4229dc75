"""Callers by a token: only one that the lender's identity provider signed for this service, and that still counts."""

import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dealgate.adapters.service import issuer_keys
from dealgate.adapters.service.oidc import LONGEST_TOKEN, OidcSettings, Tokens
from dealgate.adapters.service.principals import Principal, Role
from dealgate.adapters.service.problems import ProblemError
from tests.adapters.service.issuer import MAKERS, Issuer, public_jwk, running

ANN = Principal("ann", frozenset({Role.UNDERWRITER}), counted_as="token ann")


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running(Issuer()) as found:
        found.add("k1")
        yield found


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> "Clock":
    clock = Clock()
    monkeypatch.setattr(issuer_keys, "monotonic", clock)
    return clock


class Clock:
    """Of what waits between two look-ups; everything else goes by the real one."""

    ahead = 0.0

    def __call__(self) -> float:
        return monotonic() + self.ahead


def tokens(issuer: Issuer, **given: Any) -> Tokens:
    return Tokens(OidcSettings(**issuer.settings(**given)))


def unavailable(holder: Tokens, token: str) -> bool:
    with pytest.raises(ProblemError) as refusal:
        holder.principal(token)
    return refusal.value.status == 503 and int(refusal.value.headers["Retry-After"]) > 0


def part(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


# What opens


@pytest.mark.parametrize("algorithm", MAKERS)
def test_a_token_signed_with_a_key_of_each_kind_opens(issuer: Issuer, algorithm: str) -> None:
    issuer.add("k2", algorithm)
    assert tokens(issuer).principal(issuer.token("k2")) == ANN


def test_claims_say_who_in_which_roles_and_with_which_authorities(issuer: Issuer) -> None:
    holder = tokens(
        issuer,
        name_claim="preferred_username",
        roles_claim="realm_access.roles",
        roles={"desk": ["underwriter"], "both": ["policy_author", "compliance"]},
        authorities_claim='"https://lender.example/authorities"',
    )
    claims: dict[str, Any] = {
        "preferred_username": "ann@lender.example",
        "realm_access": {"roles": ["desk", "both", "root", 7]},
        "https://lender.example/authorities": ["branch_manager"],
    }
    assert holder.principal(issuer.token("k1", **claims)) == Principal(
        "ann@lender.example",
        frozenset({Role.UNDERWRITER, Role.POLICY_AUTHOR, Role.COMPLIANCE}),
        frozenset({"branch_manager"}),
        "token ann@lender.example",
    )


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ("desk other", {Role.UNDERWRITER}),
        (["underwriter"], set()),
        ({"desk": True}, set()),
        (None, set()),
        (7, set()),
        ([["desk"]], set()),
    ],
)
def test_only_values_that_the_table_names_give_roles(issuer: Issuer, roles: Any, expected: set[Role]) -> None:
    found = tokens(issuer).principal(issuer.token("k1", roles=roles))
    assert found is not None
    assert found.roles == expected


def test_clocks_may_differ_by_the_leeway(issuer: Issuer) -> None:
    now, holder = int(time()), tokens(issuer, leeway_seconds=60)
    assert holder.principal(issuer.token("k1", exp=now - 50)) == ANN
    assert holder.principal(issuer.token("k1", nbf=now + 50, iat=now + 50)) == ANN
    assert holder.principal(issuer.token("k1", exp=now - 70)) is None
    assert holder.principal(issuer.token("k1", nbf=now + 70)) is None


def test_an_issuer_that_tells_no_nbf_is_taken(issuer: Issuer) -> None:
    """Many do not; where it is told it counts."""
    assert tokens(issuer).principal(issuer.token("k1", nbf=None)) == ANN


# What does not


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another service"},
        {"aud": []},
        {"aud": None},
        {"iss": "https://issuer.example"},
        {"iss": None},
        {"exp": None},
        {"exp": 1_700_000_000},
        {"exp": "soon"},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"iat": None},
        {"iat": 9_000_000_000},
        {"nbf": 9_000_000_000},
        {"sub": None},
        {"sub": " "},
        {"sub": 7},
        {"sub": "a" * 201},
        {"sub": "ann\nroot"},
    ],
    ids=str,
)
def test_a_token_with_a_claim_that_is_wrong_opens_nothing(issuer: Issuer, claims: dict[str, Any]) -> None:
    assert tokens(issuer).principal(issuer.token("k1", **claims)) is None


def test_a_token_without_a_signature_opens_nothing(issuer: Issuer) -> None:
    for algorithm in ("none", "None", "", None):
        for signature in ("", "AAAA"):
            token = f"{part({'alg': algorithm, 'kid': 'k1'})}.{part(issuer.claims())}.{signature}"
            assert tokens(issuer).principal(token) is None


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_the_public_key_as_a_shared_secret_opens_nothing(issuer: Issuer, encoding: Encoding) -> None:
    public = issuer.add("k2", "RS256").public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    head = f"{part({'alg': 'HS256', 'kid': 'k2'})}.{part(issuer.claims())}"
    signature = base64.urlsafe_b64encode(hmac.digest(public, head.encode(), hashlib.sha256)).rstrip(b"=").decode()
    assert tokens(issuer).principal(f"{head}.{signature}") is None


def test_a_key_set_with_a_shared_secret_in_it_makes_none_of_it(issuer: Issuer) -> None:
    secret = b"s" * 32
    issuer.published.append({"kty": "oct", "kid": "k2", "k": base64.urlsafe_b64encode(secret).decode().rstrip("=")})
    token = jwt.encode(issuer.claims(), secret, "HS256", headers={"kid": "k2"})
    assert tokens(issuer).principal(token) is None


def test_a_token_signed_by_one_key_under_the_id_of_another_opens_nothing(issuer: Issuer) -> None:
    for kid, algorithm in (("k2", "ES256"), ("k3", "RS256"), ("k4", "PS384"), ("k5", "EdDSA")):
        issuer.add(kid, algorithm)
    holder = tokens(issuer)
    for signer in ("k1", "k2", "k3", "k4", "k5"):
        for named in ("k1", "k2", "k3", "k4", "k5"):
            opens = holder.principal(issuer.token(signer, {"kid": named})) is not None
            assert opens is (signer == named)


def test_a_token_of_another_issuer_with_a_key_of_the_same_id_opens_nothing(issuer: Issuer) -> None:
    with running(Issuer()) as other:
        other.add("k1")
        token = other.token("k1", iss=issuer.url)
        carrying = other.token("k1", {"jku": f"{other.url}/keys", "jwk": other.published[0]}, iss=issuer.url)
        assert tokens(issuer).principal(token) is None
        assert tokens(issuer).principal(carrying) is None
        assert other.asked == []


@pytest.mark.parametrize(
    "header", [{"kid": None}, {"kid": 7}, {"kid": ["k1"]}, {"kid": ""}, {"crit": ["exp"]}], ids=str
)
def test_a_header_that_is_wrong_opens_nothing(issuer: Issuer, header: dict[str, Any]) -> None:
    private = issuer.keys["k1"][1]
    head = f"{part({'alg': 'ES256', 'kid': 'k1'} | header)}.{part(issuer.claims())}"
    signature = jwt.get_algorithm_by_name("ES256").sign(head.encode(), private)
    token = f"{head}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert tokens(issuer).principal(token) is None


@pytest.mark.parametrize("told", [{"use": "enc"}, {"alg": "ES384"}, {"kid": None}, {"crv": "P-192"}, {"kty": ["EC"]}])
def test_a_published_key_that_is_for_something_else_opens_nothing(issuer: Issuer, told: dict[str, Any]) -> None:
    issuer.add("k2")
    issuer.published[-1] |= told
    holder = tokens(issuer)
    assert holder.principal(issuer.token("k2")) is None
    assert holder.principal(issuer.token("k1")) == ANN


def test_a_short_rsa_key_opens_nothing(issuer: Issuer) -> None:
    private = rsa.generate_private_key(65537, 1024)
    issuer.published.append(public_jwk(private, "RS256") | {"kid": "k2"})
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = jwt.encode(issuer.claims(), private, "RS256", headers={"kid": "k2"})
    assert tokens(issuer).principal(token) is None


def test_a_token_that_is_too_long_is_not_looked_at(issuer: Issuer) -> None:
    assert tokens(issuer).principal(issuer.token("k1", padding="a" * LONGEST_TOKEN)) is None
    assert issuer.asked == []


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["alg", "kid", "b64", "crit"]), inner),
)
GARBLED = st.lists(JSON.map(part) | st.text(max_size=9), min_size=1, max_size=5).map(".".join)


@pytest.fixture
def holder(issuer: Issuer) -> Tokens:
    holder = tokens(issuer)
    assert holder.principal(issuer.token("k1")) == ANN
    return holder


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(garbled=GARBLED, place=st.integers(0, 10_000))
def test_whatever_is_sent_instead_of_a_token_opens_nothing_and_breaks_nothing(
    issuer: Issuer, holder: Tokens, garbled: str, place: int
) -> None:
    """Text, parts that are no JSON or other JSON than they should be, and a token in which one character is another."""
    token = issuer.token("k1")
    at = place % len(token)
    assert holder.principal(garbled) is None
    assert holder.principal(token[:at] + chr(ord(token[at]) ^ 1) + token[at + 1 :]) is None


def test_why_a_token_is_refused_is_in_the_log_and_nothing_of_it_is(
    issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = issuer.token("k1", aud="another")
    assert tokens(issuer).principal(token) is None
    assert "a token is refused: InvalidAudienceError" in caplog.messages
    assert not any(piece in caplog.text for piece in token.split("."))


# Keys come, go, and cannot be had


def test_a_new_key_is_looked_up_and_one_that_is_withdrawn_opens_no_more(issuer: Issuer, clock: Clock) -> None:
    holder = tokens(issuer)
    assert holder.principal(issuer.token("k1")) == ANN
    clock.ahead += issuer_keys.PAUSE_SECONDS
    issuer.add("k2")
    assert holder.principal(issuer.token("k2")) == ANN
    issuer.withdraw("k1")
    assert holder.principal(issuer.token("k1")) == ANN
    clock.ahead += issuer_keys.FRESH_SECONDS
    assert holder.principal(issuer.token("k1")) is None
    assert holder.principal(issuer.token("k2")) == ANN


def test_tokens_with_invented_keys_do_not_hammer_the_issuer(issuer: Issuer, clock: Clock) -> None:
    holder = tokens(issuer)
    for number in range(50):
        assert holder.principal(issuer.token("k1", {"kid": f"invented {number}"})) is None
    assert len(issuer.asked) == 2  # the discovery document, and the keys
    clock.ahead += issuer_keys.PAUSE_SECONDS
    assert holder.principal(issuer.token("k1", {"kid": "invented"})) is None
    assert len(issuer.asked) == 4


def test_many_who_come_first_at_once_wait_for_one_look_up(issuer: Issuer) -> None:
    issuer.delay = 0.1
    holder, token = tokens(issuer), issuer.token("k1")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(holder.principal, [token] * 8)) == [ANN] * 8
    assert len(issuer.asked) == 2


def test_while_a_key_is_looked_up_known_ones_open_and_unknown_ones_are_told_to_come_again(
    issuer: Issuer, clock: Clock
) -> None:
    holder = tokens(issuer)
    known, unknown = issuer.token("k1"), issuer.token("k1", {"kid": "k2"})
    assert holder.principal(known) == ANN
    clock.ahead += issuer_keys.PAUSE_SECONDS
    issuer.delay = 0.5
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(holder.principal, unknown)
        while len(issuer.asked) < 3:
            pass
        assert holder.principal(known) == ANN
        assert unavailable(holder, unknown)
        assert first.result() is None


def test_with_the_issuer_gone_known_keys_go_on_and_others_are_told_to_come_again(clock: Clock) -> None:
    issuer = Issuer()
    with running(issuer):
        issuer.add("k1")
        holder = tokens(issuer)
        assert holder.principal(issuer.token("k1")) == ANN
    issuer.add("k2")
    clock.ahead += issuer_keys.FRESH_SECONDS + 1
    assert holder.principal(issuer.token("k1")) == ANN
    assert unavailable(holder, issuer.token("k2"))
    assert unavailable(tokens(issuer), issuer.token("k1"))
    port = int(issuer.url.rpartition(":")[2])
    with running(issuer, port):
        clock.ahead += issuer_keys.PAUSE_SECONDS
        assert holder.principal(issuer.token("k2")) == ANN
    clock.ahead += issuer_keys.LONGEST_SECONDS + 1
    assert unavailable(holder, issuer.token("k1"))


@pytest.mark.parametrize(
    "broken",
    [
        {"discovery": {"issuer": "https://issuer.example"}},
        {"discovery": {"jwks_uri": "http://192.0.2.1/keys"}},
        {"discovery": {"jwks_uri": "file:///etc/keys"}},
        {"discovery": {"jwks_uri": None}},
        {"status": 500},
        {"status": 302},
        {"published": "none"},
        {"delay": 1.2},
    ],
    ids=str,
)
def test_an_issuer_that_answers_otherwise_than_it_should_gives_no_keys(
    issuer: Issuer, broken: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuer_keys, "ANSWER_SECONDS", 1.0)
    token = issuer.token("k1")
    vars(issuer).update(broken)
    assert unavailable(tokens(issuer), token)


def test_an_answer_that_is_too_large_gives_no_keys(issuer: Issuer) -> None:
    issuer.published[0]["x5c"] = ["a" * issuer_keys.MOST_BYTES]
    assert unavailable(tokens(issuer), issuer.token("k1"))


# Settings


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"issuer": "http://issuer.example"}, "is no https address"),
        ({"issuer": "http://127.0.0.1:80", "loopback_http": False}, "is no https address"),
        ({"issuer": "http://127.0.0.1.issuer.example"}, "is no https address"),
        ({"issuer": "https://user:password@issuer.example"}, "is no https address"),
        ({"roles": {}}, "roles"),
        ({"roles": {"desk": ["boss"]}}, "boss"),
        ({"roles_claim": "https://lender.example/roles"}, "double quotes"),
        ({"leeway_seconds": 301}, "leeway_seconds"),
        ({"audience": ""}, "audience"),
        ({"secret": "s"}, "secret"),
    ],
)
def test_settings_that_would_let_others_in_are_refused(given: dict[str, Any], words: str) -> None:
    told: dict[str, Any] = {
        "issuer": "https://issuer.example",
        "audience": "dealgate",
        "roles": {"desk": ["underwriter"]},
        "loopback_http": True,
    }
    assert OidcSettings(**told)
    with pytest.raises(ValidationError, match=words):
        OidcSettings(**told | given)
