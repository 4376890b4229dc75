"""The anchor that is a time-stamping authority, against a real one of `openssl ts`."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dealgate.adapters.anchors.addresses import parse_anchor
from dealgate.adapters.anchors.anchor import AnchorConflictError, AnchorError
from dealgate.adapters.anchors.timestamp import TimestampAnchor, read_roots
from tests.adapters.sealed import Sealed
from tests.adapters.time_authority import TimeAuthority
from tests.programs import program
from tests.servers import Reply, serving

LEDGER = Sealed()
NOTE = LEDGER.note(10)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TimeAuthority:
    openssl = program("openssl", "no time-stamping authority can be run, and the anchor is not tested against one")
    return TimeAuthority(openssl, tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def url(authority: TimeAuthority) -> Iterator[str]:
    with serving(authority) as address:
        yield address


@pytest.fixture(scope="module")
def receipt(url: str) -> bytes:
    return TimestampAnchor(url).publish(NOTE)


def test_a_note_is_stamped_and_the_stamp_holds_without_the_network(authority: TimeAuthority, url: str) -> None:
    anchor = parse_anchor(f"tsa:{url}#{authority.root}")
    receipt = anchor.publish(NOTE, LEDGER.nodes)
    asked = authority.asked
    moment = TimestampAnchor("https://nowhere.invalid", read_roots(authority.root)).check(receipt, NOTE)
    assert abs(moment - datetime.now(UTC)) < timedelta(minutes=5)
    assert authority.asked == asked


def test_openssl_accepts_what_is_stored(authority: TimeAuthority, receipt: bytes, tmp_path: Path) -> None:
    (tmp_path / "note").write_bytes(NOTE)
    (tmp_path / "receipt").write_bytes(receipt)
    command = [authority.openssl, "ts", "-verify", "-data", "note", "-in", "receipt", "-CAfile", str(authority.root)]
    verified = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60)
    assert verified.stdout == "Verification: OK\n"


def test_a_stamp_of_another_note_is_refused(authority: TimeAuthority, url: str, receipt: bytes) -> None:
    anchor = TimestampAnchor(url, read_roots(authority.root))
    with pytest.raises(
        AnchorConflictError, match=r"is of other bytes: expected SHA-256 [0-9a-f]{64}, got [0-9a-f]{64}"
    ):
        anchor.check(receipt, LEDGER.note(11))


def test_no_stamp_with_one_changed_byte_says_anything_else(authority: TimeAuthority, url: str, receipt: bytes) -> None:
    """A few bytes around what the authority signed, such as version numbers, belong to nobody; they change no claim."""
    anchor = TimestampAnchor(url, read_roots(authority.root))
    moment, accepted = anchor.check(receipt, NOTE), 0
    for at in range(len(receipt)):
        try:
            assert anchor.check(receipt[:at] + bytes([receipt[at] ^ 1]) + receipt[at + 1 :], NOTE) == moment
        except AnchorError:
            continue
        accepted += 1
    assert accepted < len(receipt) / 50


def test_a_stamp_under_another_root_is_refused(url: str, receipt: bytes, tmp_path: Path) -> None:
    other = TimeAuthority("openssl", tmp_path)
    with pytest.raises(AnchorConflictError, match="does not hold under the given roots"):
        TimestampAnchor(url, read_roots(other.root)).check(receipt, NOTE)
    with pytest.raises(AnchorConflictError, match="does not hold under the given roots"):
        TimestampAnchor(url, read_roots(other.root)).publish(NOTE)


def test_without_roots_a_stamp_is_kept_and_cannot_be_checked_yet(url: str, receipt: bytes) -> None:
    with pytest.raises(AnchorError, match=f"need the authority's root certificates: name it tsa:{url}#roots.pem"):
        TimestampAnchor(url).check(receipt, NOTE)


def test_a_stamp_that_answers_another_question_is_refused(receipt: bytes) -> None:
    with (
        serving(lambda path, body: Reply(200, receipt)) as url,
        pytest.raises(AnchorError, match="expected an answer to nonce"),
    ):
        TimestampAnchor(url).publish(NOTE)


def test_a_refusal_is_told(authority: TimeAuthority, url: str) -> None:
    """The authority stamps SHA-256 only and is asked for something that it cannot read."""
    refusal = authority("/", b"no question").body
    with (
        serving(lambda path, body: Reply(200, refusal)) as address,
        pytest.raises(AnchorError, match="gave no time stamp, status 2"),
    ):
        TimestampAnchor(address).publish(NOTE)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(503, b"closed"), "answered 503 instead of 200: see whether its address is right"),
        (Reply(302, b"", (("Location", "http://127.0.0.1:9/"),)), "answered 302 instead of 200"),
        (Reply(200, b"<html>"), "expected a time stamp of RFC 3161, got 6 other bytes"),
        (Reply(200, b""), "expected a time stamp of RFC 3161, got 0 other bytes"),
        (Reply(200, bytes(300_000)), "answers with more than 200000 bytes"),
    ],
)
def test_answers_that_are_no_stamp_are_told(reply: Reply, message: str) -> None:
    with serving(lambda path, body: reply) as url, pytest.raises(AnchorError, match=message):
        TimestampAnchor(url).publish(NOTE)


def test_an_authority_that_does_not_answer_is_told() -> None:
    with serving(lambda path, body: Reply(200)) as url:
        pass
    with pytest.raises(
        AnchorError, match=rf"{url} does not answer \(.*refused.*\): see that it runs, and anchor again"
    ):
        TimestampAnchor(url).publish(NOTE)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rfc3161_client", None)
    with pytest.raises(AnchorError, match=r"Run: pip install 'dealgate\[anchors\]'"):
        TimestampAnchor("https://nowhere.invalid").publish(NOTE)


def test_roots_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "roots.pem").write_text("no certificate")
    for name in ("roots.pem", "none.pem"):
        with pytest.raises(AnchorError, match=f"{name} cannot be read as certificates in PEM"):
            parse_anchor(f"tsa:https://tsa.example#{tmp_path / name}")
