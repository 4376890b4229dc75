"""Personal values as salted commitments: the envelope keeps a hash, the value stands apart and can be erased.

The salt has 128 bits, so a value that can be guessed cannot be confirmed once its salt is gone.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from dealgate.models.canonical import canonical

SALT_BYTES = 16
COMMIT = "commit"


class PrivateValue(NamedTuple):
    """One personal value of an envelope: its JSON pointer, its salt, and itself as canonical JSON."""

    path: str
    salt: bytes
    value: bytes

    @property
    def commitment(self) -> str:
        return hashlib.sha256(self.salt + self.value).hexdigest()


def commit(
    document: Mapping[str, Any], paths: Sequence[str], salts: bytes
) -> tuple[dict[str, Any], list[PrivateValue]]:
    """Replace the values at the pointers by commitments. Takes `SALT_BYTES` of `salts` for each."""
    committed = dict(document)
    values = []
    for index, path in enumerate(paths):
        parent, name = _copied_parent(committed, path)
        salt = salts[index * SALT_BYTES : (index + 1) * SALT_BYTES]
        value = PrivateValue(path, salt, canonical(parent[name]))
        parent[name] = {COMMIT: value.commitment}
        values.append(value)
    return committed, values


def disclose(document: Mapping[str, Any], values: Iterable[PrivateValue], paths: Iterable[str]) -> dict[str, Any]:
    """The document with these values back in their places, and without what stood at the other pointers: it was erased.

    Nothing but the way to each pointer is copied: the rest is shared with the document.
    """
    disclosed = dict(document)
    known = {value.path: value.value for value in values}
    for path in paths:
        parent, name = _copied_parent(disclosed, path)
        if path in known:
            parent[name] = json.loads(known[path])
        else:
            del parent[name]
    return disclosed


def commitment_at(document: Mapping[str, Any], path: str) -> str | None:
    """The commitment at a pointer; None where none stands."""
    try:
        parent, name = _parent(document, path)
        found = parent[name]
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    return found.get(COMMIT) if isinstance(found, dict) else None


def _steps(path: str) -> list[str]:
    return [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]


def _parent(document: Any, path: str) -> tuple[Any, Any]:
    *above, last = _steps(path)
    for step in above:
        document = document[int(step) if isinstance(document, list) else step]
    return document, int(last) if isinstance(document, list) else last


def _copied_parent(document: dict[str, Any], path: str) -> tuple[Any, Any]:
    """The container a pointer leads into. Every container on the way is copied: the document handed in stays as it is."""
    container: Any = document
    *above, last = _steps(path)
    for step in above:
        name = int(step) if isinstance(container, list) else step
        inner = container[name]
        container[name] = inner = list(inner) if isinstance(inner, list) else dict(inner)
        container = inner
    return container, int(last) if isinstance(container, list) else last
