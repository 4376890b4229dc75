"""A host to be killed: `python hosting.py URL FOLDER WORKERS`, workers that share one gate, each replaced when it dies.

Each books deals in sessions of its own, its own row and the decision in one transaction. It appends to a file named for its
process what it is about to do and what came of it: "begin KEY", then "kept KEY", "rolled-back KEY" or "failed KEY".
"""

import os
import sys
from itertools import count
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[2]))

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dealgate import Gate
from dealgate.adapters.database import open_database
from tests.hosts import book
from tests.models.samples import a_deal, a_policy

ENDINGS = ("kept", "kept", "kept", "rolled-back", "failed")


def work(url: str, folder: str, gate: Gate, leader: int) -> None:
    """Until it is killed, or its leader is."""
    database, chance = open_database(url), Random(os.getpid())
    told = os.open(Path(folder) / f"worker-{os.getpid()}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in count():
        if os.getppid() != leader:
            return
        key, ending = f"{os.getpid()}-{number}", chance.choice(ENDINGS)
        os.write(told, f"begin {key}\n".encode())
        transact(Session(database), gate, f"D-{chance.randrange(3)}", key, ending)
        os.write(told, f"{ending} {key}\n".encode())


def transact(session: Session, gate: Gate, deal: str, key: str, ending: str) -> None:
    """Book and end so: a clerk whom nobody knows is refused at the commit."""
    with session:
        book(session, gate, deal, key, clerk="nobody" if ending == "failed" else None)
        if ending == "rolled-back":
            session.rollback()
            return
        try:
            session.commit()
        except DBAPIError:
            if ending != "failed":
                raise
        else:
            assert ending == "kept"


def main() -> None:
    url, folder, workers = sys.argv[1:4]
    gate, leader = Gate(policy=a_policy()), os.getpid()
    gate.evaluate(a_deal())
    alive = 0
    while True:
        while alive < int(workers):
            if os.fork() == 0:
                work(url, folder, gate, leader)
                os._exit(0)
            alive += 1
        os.wait()
        alive -= 1


if __name__ == "__main__":
    main()
