"""Anchors by the text that names them on the command line and in settings."""

from pathlib import Path

from dealgate.adapters.anchors.anchor import Anchor, AnchorError
from dealgate.adapters.anchors.append_only_file import FileAnchor
from dealgate.adapters.anchors.timestamp import TimestampAnchor, read_roots
from dealgate.adapters.anchors.witness import WitnessAnchor
from dealgate.models.signing import NoteError, VerifierKey

FORMS = "file:/path, tsa:https://host/path#roots.pem or witness:https://host/path#name+id+key"


def parse_anchor(text: str) -> Anchor:
    """The anchor that a text such as `file:/var/anchors/ledger` names. Raises `AnchorError`."""
    kind, _, rest = text.partition(":")
    address, _, fragment = rest.partition("#")
    match kind:
        case "file" if Path(rest).is_absolute():
            return FileAnchor(rest)
        case "tsa":
            return TimestampAnchor(address, read_roots(Path(fragment)) if fragment else ())
        case "witness":
            return WitnessAnchor(address, _key(text, fragment))
    raise AnchorError(f"{text!r} names no anchor: expected {FORMS}")


def _key(text: str, fragment: str) -> VerifierKey:
    try:
        return VerifierKey.parse(fragment)
    except NoteError as error:
        raise AnchorError(f"{text.partition('#')[0]!r}: after # stands the witness's verifier key: {error}") from None
