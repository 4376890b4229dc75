"""A ledger in which everything has happened that can: decisions, notices, holds, erasures, a new key, a restore, anchors."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, insert

from dealgate.adapters.anchors.append_only_file import FileAnchor
from dealgate.adapters.sealer import ANCHOR
from dealgate.models.api_keys import issue_key, revoke_key
from dealgate.models.erasure import hold, purge, record_notice, redact
from dealgate.models.overrides import deny_override, grant_override, request_override
from dealgate.models.policy_tables import ShadowDecision
from dealgate.models.sealing import rotate
from dealgate.models.signing import Ed25519Signer
from dealgate.models.versions import add_version, approve_version
from tests.models.ledgers import START, a_signer, seal_all, submit_deals
from tests.models.samples import OVERRIDABLE, a_deal, a_policy, compiled, submit

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
REASON = "Value or type of collateral not sufficient"


class Eventful(NamedTuple):
    """The key that signs now, the notes that were kept outside, the anchor that took some of them.

    Then the decisions by what became of them.
    """

    signer: Ed25519Signer
    notes: list[bytes]
    anchor: FileAnchor
    sealed: list[str]
    redacted: str
    purged: list[str]
    waiting: list[str]


def eventful(database: Engine, folder: Path) -> Eventful:
    """`folder` is where the anchor keeps its notes."""
    first, signer, anchor = a_signer(), a_signer(), FileAnchor(folder / "anchored")
    with database.begin() as connection:
        purged = [submit(connection, a_deal(deal_id="D-OLD"), now=LONG_AGO, key="K-OLD").decision_id]
        redact(connection, purged[0], ["/deal/vehicle/vin"], "asked by the applicant", LONG_AGO, actor="privacy")
        for placed in (True, False):
            hold(connection, "D-OLD", "a lawsuit", LONG_AGO, actor="counsel", placed=placed)
        record_notice(connection, "D-OLD", "approval", LONG_AGO, LONG_AGO, actor="los")
        sealed = [
            submit(connection, a_deal(deal_id=f"D-{number % 2}", applicant__monthly_debt=None), actor="los").decision_id
            for number in range(4)
        ]
        add_version(connection, a_policy(), a_policy().self_contained, START, actor="ann")
        approve_version(connection, a_policy(), START, actor="ben")
        shadow = {"decision_id": sealed[0], "sha256": a_policy().sha256, "recorded_at": START, "live_outcome": "refer"}
        connection.execute(insert(ShadowDecision), shadow | {"outcome": "flag", "flips": "{}"})
        _override(connection)
        for name in ("los", "desk"):
            key, _ = issue_key(connection, name, START, roles=["submitter"], authorities=["branch"], actor="ann")
        revoke_key(connection, key.key_id, START, actor="ben")
    notes = [_note(database, first)]
    with database.begin() as connection:
        told: dict[str, Any] = {"channel": "mail", "decision_id": sealed[0], "reasons": [REASON]}
        record_notice(connection, "D-0", "adverse_action", START, START + timedelta(hours=1), actor="los", **told)
        hold(connection, "D-1", "a lawsuit", START, actor="counsel")
        redact(connection, sealed[0], ["/deal/vehicle/vin"], "asked by the applicant", START, actor="privacy")
        assert purge(connection, START, actor="records") is not None
    with database.begin() as connection:
        notes.append(rotate(connection, first, signer, START).note)
        connection.execute(insert(ANCHOR), [_anchored(anchor, note) for note in notes])
    waiting = submit_deals(database, 1, first=2)
    notes.append(_note(database, signer))
    waiting = submit_deals(database, 2, first=3, deals=4)
    return Eventful(signer, notes, anchor, sealed, sealed[0], purged, waiting)


def _anchored(anchor: FileAnchor, note: bytes) -> dict[str, object]:
    size = int(note.split(b"\n")[1])
    return {"size": size, "sink": anchor.name, "receipt": anchor.publish(note), "anchored_at": START}


def _override(connection: Connection) -> None:
    decided = submit(connection, a_deal(deal_id="D-OVERRIDDEN"), policy=compiled(OVERRIDABLE), now=START).decision_id
    words = {"actor": "ann", "reason": "STRONG-INCOME", "note": "Long employed."}
    granted, denied = (
        request_override(connection, decided, ["LTV-TOTAL"], START, **words).override.override_id for _ in range(2)
    )
    grant_override(connection, granted, START, actor="ben", role="underwriter", note="Seen the pay slips.")
    deny_override(connection, denied, START, actor="ben", note="One is enough.")


def _note(database: Engine, signer: Ed25519Signer) -> bytes:
    sealed = seal_all(database, signer)
    assert sealed is not None
    return sealed.note
