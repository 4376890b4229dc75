"""Writers and sealers to be killed: `python workers.py URL FOLDER KEY writer writer sealer ...`, each a process of its own.

Each appends a line to a file named for its process: a writer the key of what was acknowledged, a sealer the size it sealed to.
"""

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from sqlalchemy.exc import DBAPIError

from dealgate import Gate
from dealgate.adapters.database import open_database
from dealgate.adapters.sealer import Sealer
from dealgate.models.sealing import SealError
from dealgate.models.signing import Ed25519Signer
from tests.models.samples import a_deal, a_policy

Tell = Callable[[str], None]


def write(url: str, tell: Tell, gate: Gate) -> None:
    """Submit under one key after another; under the same one again where the database could not say whether it took it."""
    number = 0
    gate.database = open_database(url)
    while True:
        key = f"{os.getpid()}-{number}"
        try:
            gate.submit(a_deal(deal_id=f"D-{number % 3}"), actor="los", idempotency_key=key)
        except DBAPIError as error:
            tell(f"error {type(error).__name__}")
            time.sleep(0.1)
            continue
        tell(key)
        number += 1


def seal(url: str, tell: Tell, key: str) -> None:
    sealer = Sealer(open_database(url), Ed25519Signer.from_file(key))
    while True:
        try:
            sealed = sealer.seal()
        except (DBAPIError, SealError) as error:
            tell(f"error {type(error).__name__}: {error}".splitlines()[0])
            time.sleep(0.1)
            continue
        if sealed:
            tell(str(sealed.checkpoint.size))
        time.sleep(0.005)


def _append(file: int, line: str) -> None:
    os.write(file, f"{line}\n".encode())


def main() -> None:
    url, folder, key, *roles = sys.argv[1:]
    gate = Gate(None, a_policy())
    gate.evaluate(a_deal())
    for role in roles:
        if os.fork() == 0:
            file = os.open(Path(folder) / f"{role}-{os.getpid()}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            tell = partial(_append, file)
            write(url, tell, gate) if role == "writer" else seal(url, tell, key)
    for _ in roles:
        os.wait()


if __name__ == "__main__":
    main()
