"""What a service does beside its requests, each in a thread of its own. Several processes share the work, and none does it twice."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Protocol

from pydantic import SecretStr
from sqlalchemy import Engine

from dealgate.adapters.anchors.addresses import parse_anchor
from dealgate.adapters.outbox.dispatcher import Outbox
from dealgate.adapters.sealer import Sealer
from dealgate.adapters.service.settings import Settings
from dealgate.models.signing import PRIVATE_FORMS, Ed25519Signer


class Watches(Protocol):
    """Goes on, whatever fails, until it is told to stop; then finishes what it is at."""

    def watch(self, stop: Event) -> None: ...


def watches_of(settings: Settings, engine: Engine) -> list[Watches]:
    """Raises `NoteError` and `AnchorError` for a key or an anchor that cannot be used."""
    watches = list[Watches]()
    if settings.ledger_key is not None:
        watches.append(sealer_of(settings.ledger_key, settings, engine))
    if settings.webhooks:
        watches.append(Outbox(engine, settings.webhooks, settings.outbox))
    return watches


def sealer_of(key: SecretStr, settings: Settings, engine: Engine) -> Sealer:
    anchors = [parse_anchor(text) for text in settings.anchors]
    return Sealer(engine, _signer(key.get_secret_value()), anchors, anchor_every=settings.anchor_seconds)


@contextmanager
def watching(watches: Sequence[Watches]) -> Iterator[None]:
    stop = Event()
    threads = [Thread(target=one.watch, args=(stop,), name=type(one).__name__) for one in watches]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _signer(key: str) -> Ed25519Signer:
    """A key is never taken for the name of a file, which an error would tell."""
    is_key = key.strip().startswith(PRIVATE_FORMS)
    return Ed25519Signer.parse(key) if is_key else Ed25519Signer.from_file(key)
