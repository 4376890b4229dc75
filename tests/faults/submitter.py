"""`python submitter.py URL FILE COUNT`: submits so often and appends what came of it, for a test that makes its disk fail."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from sqlalchemy.exc import DBAPIError

from dealgate import Gate
from dealgate.adapters.database import open_database
from tests.models.samples import a_deal, a_policy


def main() -> None:
    url, file, count = sys.argv[1:]
    told = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    gate = Gate(open_database(url), a_policy())
    for number in range(int(count)):
        try:
            gate.submit(a_deal(deal_id=f"D-{number % 5}"), idempotency_key=f"K-{number}")
            os.write(told, f"K-{number}\n".encode())
        except DBAPIError as error:
            os.write(told, f"error {error.orig}\n".encode())


if __name__ == "__main__":
    main()
