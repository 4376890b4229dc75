"""A deal about which everything was recorded that can be, and its case file."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine

from dealgate.adapters.anchors.append_only_file import FileAnchor
from dealgate.adapters.compliance.case_file import Files, case_file, write_folder
from dealgate.adapters.sealer import Sealer
from dealgate.models.erasure import hold, record_notice, redact
from dealgate.models.signing import Ed25519Signer
from tests.models.ledgers import a_signer
from tests.models.overriding import DAY, HOUR, decided, denied, granted, requested
from tests.models.samples import NOW

REASON = "Value or type of collateral not sufficient"
DISGUISED = {
    "kind": "loan",
    "allowance": "19000.00",
    "acv": "15500.00",
    "payoff": "19000.00",
    "lienholder": "First Bank",
}


def eventful_deal(database: Engine, folder: Path) -> Ed25519Signer:
    """The deal D: two submissions, overrides granted and denied, a notice, a hold, a redaction; sealed and anchored twice."""
    signer = a_signer()
    sealer = Sealer(database, signer, [FileAnchor(folder / "anchors")])
    first = decided(database)
    granted(database, requested(database, first, "LTV-TOTAL"))
    sealer.seal()
    sealer.anchor()
    second = decided(database, NOW + HOUR, cash_price="34000.00", trade_ins=[DISGUISED])
    denied(database, requested(database, second, "LTV-TOTAL"))
    decided(database, deal_id="ANOTHER")
    with database.begin() as connection:
        at = NOW + DAY
        record_notice(
            connection, "D", "adverse_action", at, at, actor="compliance", channel="mail", reasons=[REASON], note="C-1"
        )
        hold(connection, "D", "Smith v. Lender", at, actor="counsel")
        hold(connection, "D", "settled", at + timedelta(days=1), actor="counsel", placed=False)
        redact(connection, first, ["/deal/metadata"], "asked by the applicant", at, actor="privacy")
    sealer.seal()
    sealer.anchor()
    return signer


def case_of(database: Engine, reader: str = "compliance", deal_id: str = "D") -> Files:
    with database.connect() as connection:
        return case_file(connection, deal_id, reader)


def on_disk(found: Files, folder: Path) -> Path:
    write_folder(found, folder)
    return folder


def checked(folder: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """By the script that lies in the folder, with a bare Python: no site, no environment."""
    command = [sys.executable, "-I", "-S", folder / "check.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
