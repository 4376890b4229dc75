"""The process behind `isolation.IsolatedEngine`: holds one policy's engine and answers until its line closes."""

import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

from dealgate.rules.engine import Engine


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the host, which then closes the line
    line: Connection[Any, Any] = Connection(int(sys.argv[1]))
    engine = Engine(line.recv())
    line.send("ready")
    while True:
        try:
            facts, reckoning = line.recv()
        except EOFError:
            return
        try:
            line.send(engine.evaluate(facts, reckoning))
        except Exception as error:
            line.send(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
