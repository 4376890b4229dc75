"""Where a webhook goes: to the address that was checked and nowhere else, within its time, to whom the certificate names."""

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from time import monotonic, sleep

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from dealgate.adapters.outbox.addresses import objection
from dealgate.adapters.outbox.sending import Answer, Sender
from dealgate.adapters.outbox.subscribers import Subscriber
from dealgate.adapters.service.settings import read_settings
from tests.adapters.outbox.receivers import OTHER_SECRET, SECRET, receiving

BODY = b'{"id":"1"}'


def sent(subscriber: Subscriber, sender: Sender | None = None, seconds: float = 5.0) -> Answer:
    return (sender or Sender()).send(subscriber, "event-1", BODY, monotonic() + seconds)


class Names:
    """A resolver whose answer to each question is the next of its list."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd00::1"),
        *("::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "::ffff:0:10.0.0.1"),
    ],
)
def test_an_address_inside_the_house_is_for_who_allows_it(address: str) -> None:
    assert "private" in objection(ip_address(address), allow_private=False)
    assert objection(ip_address(address), allow_private=True) == ""


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "169.254.1.1", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254"),
        *("0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "192.88.99.1"),
        *("::", "fe80::1", "fe80::1%eth0", "fd00:ec2::254%eth0", "fec0::1", "ff02::1", "2001:db8::1", "3fff::1"),
        *("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:a00:1::1", "2001:0:a00:1::1"),
    ],
)
def test_no_webhook_ever_goes_to_metadata_links_groups_or_tunnels(address: str) -> None:
    for allow_private in (False, True):
        assert objection(ip_address(address), allow_private=allow_private)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_is_for_everybody(address: str) -> None:
    assert objection(ip_address(address), allow_private=False) == ""


def test_a_name_is_looked_up_once_and_the_checked_address_is_connected_to() -> None:
    """Whatever the name leads to the next time."""
    with receiving() as receiver:
        names = Names(["127.0.0.1"], ["169.254.169.254"])
        subscriber = receiver.subscriber(url=f"http://hooks.example:{receiver.port}/")
        assert sent(subscriber, Sender(names)).delivered
        assert names.asked == ["hooks.example"]


@pytest.mark.parametrize("found", [["169.254.169.254"], ["127.0.0.1", "169.254.169.254"], []])
def test_a_name_with_one_forbidden_address_is_not_trusted(found: list[str]) -> None:
    with receiving() as receiver:
        subscriber = receiver.subscriber(url=f"http://hooks.example:{receiver.port}/")
        answer = sent(subscriber, Sender(Names(found, ["127.0.0.1"])))
        assert receiver.told == []
    assert answer.status is None
    assert answer.error.startswith("not sent: ")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"])
def test_loopback_is_reached_under_no_name_by_who_may_not(host: str) -> None:
    subscriber = Subscriber.model_validate({"url": f"https://{host}/", "secret": SECRET})
    answer = sent(subscriber)
    assert answer.status is None
    assert "is private" in answer.error


def test_another_address_is_tried_where_one_does_not_answer() -> None:
    with receiving() as receiver:
        subscriber = receiver.subscriber(url=f"http://hooks.example:{receiver.port}/")
        assert sent(subscriber, Sender(Names(["127.0.0.2", "127.0.0.1"]))).delivered


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with receiving() as elsewhere, receiving(lambda _: (status, {"Location": elsewhere.url})) as receiver:
        answer = sent(receiver.subscriber())
        assert elsewhere.told == []
    assert answer.status == status
    assert not answer.delivered
    assert "redirects are not followed" in answer.error


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with receiving() as receiver:
        assert sent(receiver.subscriber()).delivered


# Time and size


@contextmanager
def dripping(*parts: bytes, pause: float) -> Iterator[str]:
    """A server that answers anything with these parts again and again, pausing between them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                try:
                    for number in range(10_000):
                        peer.sendall(parts[min(number, len(parts) - 1)])
                        sleep(pause)
                except OSError:
                    return

        thread = Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join()


def allowing(url: str) -> Subscriber:
    return Subscriber.model_validate({"url": url, "secret": SECRET, "allow_private": True})


def test_a_receiver_that_drips_gets_one_time_for_all() -> None:
    started = monotonic()
    with dripping(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n", pause=0.1) as url:
        assert sent(allowing(url), seconds=0.5) == Answer(None, "no answer in time")
    assert monotonic() - started < 10


def test_of_an_answer_without_end_nothing_is_read_but_the_status() -> None:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    with dripping(head, b"10000\r\n" + b"x" * 0x10000 + b"\r\n", pause=0) as url:
        assert sent(allowing(url)).delivered


def test_headers_without_end_are_no_answer() -> None:
    with dripping(b"HTTP/1.1 200 OK\r\n", b"x: " + b"y" * 60_000 + b"\r\n", pause=0) as url:
        answer = sent(allowing(url))
    assert answer.status is None
    assert answer.error.startswith("no answer")


def test_nothing_is_sent_once_the_time_is_over() -> None:
    with receiving() as receiver:
        assert sent(receiver.subscriber(), seconds=0) == Answer(None, "no answer in time")
        assert receiver.told == []


# Certificates


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of hooks.example, vouched for by itself; with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.example")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = tmp_path_factory.mktemp("certificate") / "receiver.pem"
    file.write_bytes(built.public_bytes(pem) + private)
    return file


@pytest.mark.parametrize(
    ("host", "vouched_for", "error"),
    [
        ("hooks.example", True, ""),
        ("other.example", True, "the certificate does not hold"),
        ("127.0.0.1", True, "the certificate does not hold"),
        ("hooks.example", False, "the certificate does not hold"),
    ],
)
def test_the_certificate_must_be_of_the_name_not_of_the_address(
    certificate: Path, host: str, vouched_for: bool, error: str
) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    trusted = ssl.create_default_context(cafile=str(certificate)) if vouched_for else None
    with receiving(context=server) as receiver:
        subscriber = receiver.subscriber(url=f"https://{host}:{receiver.port}/")
        answer = sent(subscriber, Sender(Names(["127.0.0.1"]), trusted))
    assert answer.status == (None if error else 204)
    assert error in answer.error


# Configuration


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "http://hooks.example/"}, "give https://host/"),
        ({"url": "ftp://hooks.example/", "allow_private": True}, "give http or https://host/"),
        ({"url": "https:///hooks"}, "no address of a receiver"),
        ({"url": "https://user:word@hooks.example/"}, "has a user, a password or a fragment"),
        ({"url": "https://hooks.example:99999/"}, "Port out of range"),
        ({"secret": "whsec_c2hvcnQ="}, "the secret has 5 bytes, at least 24"),
        ({"secret": "not base64 at all!"}, "the secret is not base64"),
        ({"previous_secret": "whsec_c2hvcnQ="}, "the secret has 5 bytes"),
        ({"events": ["decision.unmade"]}, "decision.made"),
        ({"retries": 3}, "Extra inputs"),
    ],
)
def test_a_subscriber_that_makes_no_sense_is_refused_without_telling_its_secret(
    changes: dict[str, object], words: str
) -> None:
    given = {"url": "https://hooks.example/", "secret": SECRET} | changes
    for read in (
        lambda: Subscriber.model_validate(given),
        lambda: read_settings(webhooks={"crm": given}),
    ):
        with pytest.raises(ValidationError) as refused:
            read()
        assert words in str(refused.value)
        for secret in (SECRET, "c2hvcnQ", "not base64 at all!", "user:word"):
            assert secret not in str(refused.value)


def test_a_secret_stands_in_the_environment_and_the_rest_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "dealgate.toml"
    file.write_text(
        '[webhooks.crm]\nurl = "https://hooks.example/"\nevents = ["decision.made"]\n[outbox]\nseconds = 3\n'
    )
    monkeypatch.setenv("DEALGATE_WEBHOOKS__CRM__SECRET", SECRET)
    monkeypatch.setenv("DEALGATE_WEBHOOKS__CRM__PREVIOUS_SECRET", OTHER_SECRET)
    settings = read_settings(file)
    assert settings.webhooks["crm"].events == {"decision.made"}
    assert len(settings.webhooks["crm"].keys) == 2
    assert settings.outbox.seconds == 3
    assert SECRET not in repr(settings)
