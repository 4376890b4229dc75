"""A `dealgate` that is imported once: each command is still a process of its own, forked from one that is ready.

For tests of what many commands do one after another. To start the interpreter and to import is most of what a command
costs; the tests of the installed command pay that.
"""

import gc
import os
import pkgutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from select import select
from tempfile import TemporaryDirectory

from dealgate.adapters import command_line
from dealgate.adapters.command_line.main import run

PROGRAM = f"""#!{sys.executable} -IS
import os, socket, sys
with socket.socket(socket.AF_UNIX) as ready:
    ready.connect(os.path.join(os.path.dirname(__file__), "ready"))
    told = [os.getcwd(), str(len(sys.argv)), *sys.argv, *map("=".join, os.environ.items())]
    told = os.fsencode("\\0".join(told))
    socket.send_fds(ready, [len(told).to_bytes(4, "big")], [0, 1, 2])
    ready.sendall(told)
    code = ready.recv(1)
sys.exit(code[0] if code else "dealgate: it ended before it was done")
"""
"""Tells its folder, arguments, environment and files to the process that is ready, and ends as the command ends."""


@contextmanager
def ready_command(environment: Mapping[str, str]) -> Iterator[Path]:
    """A folder with a program `dealgate` that works until the block ends."""
    with TemporaryDirectory(prefix="dealgate-") as folder:
        program = Path(folder) / "dealgate"
        program.write_text(PROGRAM, encoding="utf-8")
        program.chmod(0o755)
        command = [sys.executable, __file__, str(program.with_name("ready"))]
        with subprocess.Popen(command, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stdout.readline(), "it did not start"
            yield program.parent


def main(path: str) -> None:
    for module in pkgutil.iter_modules(command_line.__path__, f"{command_line.__name__}."):
        import_module(module.name)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        gc.freeze()  # no command walks, and so copies, what all of them share
        print("ready", flush=True)
        become_a_command(listener)
    run()


def become_a_command(listener: socket.socket) -> None:
    """Returns in a new process for each command; the one that is ready ends when its standard input does."""
    while True:
        if sys.stdin in select([listener, sys.stdin], [], [])[0]:
            sys.exit()
        asked, _ = listener.accept()
        with asked:
            if os.fork() == 0:
                return answer(asked)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def answer(asked: socket.socket) -> None:
    """Returns in the process that is the command; the one above it tells how that ended."""
    command = os.fork()
    if command:
        asked.sendall(bytes([os.waitstatus_to_exitcode(os.waitpid(command, 0)[1]) % 256]))
        os._exit(0)
    length, files, _, _ = socket.recv_fds(asked, 4, 3)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    with asked.makefile("rb") as told:
        folder, count, *rest = os.fsdecode(told.read(int.from_bytes(length, "big"))).split("\0")
    os.chdir(folder)
    sys.argv = rest[: int(count)]
    os.environ.clear()
    for variable in rest[int(count) :]:
        name, _, value = variable.partition("=")
        os.environ[name] = value


if __name__ == "__main__":
    main(sys.argv[1])
