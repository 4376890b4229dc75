"""The documentation keeps its word: its Python runs, its commands print what it shows, its links lead somewhere."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

import pytest
from sqlalchemy import Engine

from dealgate.adapters.command_line.main import app
from tests.adapters.commands import invoke
from tests.ready_command import ready_command

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = ROOT / "docs" / "reference" / "command-line.md"

NOT_RUN = {"docs/how-to/build-the-engine.md": "shows a machine on which the engine is missing"}

FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(dealgate [^`]*)`|^\$ (dealgate .*)$", re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

DECISION_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d\.\d{6}Z| \d\d:\d\d:\d\d\b)")
KEY = re.compile(r"\+[0-9a-f]{8}\b(?:\+[A-Za-z0-9+/]{44})?")
SIGNATURE = re.compile(r"[A-Za-z0-9+/]{91}=")
ROOT_HASH = re.compile(r"[A-Za-z0-9+/]{43}=")
COMPARED_HASH = re.compile(r"\b(expected|got)(\s+)[0-9a-f]{64}\b")
API_KEY_ID = re.compile(r"\b[0-9a-f]{16}\b")
FRAME = re.compile(r"[│╭╮╰╯─]")

VARYING = (
    (DECISION_ID, "ID"),
    (MOMENT, "TIME"),
    (KEY, "+KEY"),
    (SIGNATURE, "SIGNATURE"),
    (ROOT_HASH, "ROOT"),
    (COMPARED_HASH, r"\1\2HASH"),
    (API_KEY_ID, "API-KEY-ID"),
    (FRAME, " "),
)

FOLDER = "/srv/lender"
"""Where the pages say that a reader stands."""


class Block(NamedTuple):
    """A fenced block: `title=NAME` makes a file of it, `append` adds to that file, `output` is what Python printed last.

    A console block that is a `server` has one command, which runs until the page ends.
    """

    line: int
    language: str
    words: list[str]
    text: str


def blocks(page: Path) -> Iterator[Block]:
    content = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(content):
        yield Block(content.count("\n", 0, match.start()) + 2, match[1], match[2].split(), match[3])


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


class Reader:
    """Somebody who works through a page, from top to bottom, in a folder of their own."""

    def __init__(self, page: Path, folder: Path, programs: Path | None = None) -> None:
        self.page = page
        self.folder = folder
        self.programs = programs
        self.namespace: dict[str, object] = {"__name__": "__main__"}
        self.printed = self.output = ""
        self.code = 0
        self.ids: dict[str, str] = {}
        self.servers: list[subprocess.Popen[str]] = []
        (folder / "examples").symlink_to(ROOT / "examples")
        with (ROOT / "examples" / "deals.jsonl").open(encoding="utf-8") as deals:
            (folder / "deal.json").write_text(next(deals), encoding="utf-8")

    def follow(self, block: Block, capsys: pytest.CaptureFixture[str] | None) -> None:
        title = next((word.removeprefix("title=") for word in block.words if word.startswith("title=")), None)
        if title:
            with (self.folder / title).open("a" if "append" in block.words else "w", encoding="utf-8") as file:
                file.write(block.text)
        elif block.language == "python":
            # Blank lines in front, so that a traceback has the line of the page.
            exec(compile("\n" * (block.line - 1) + block.text, self.page, "exec"), self.namespace)
            self.printed = capsys.readouterr().out if capsys else ""
        elif "output" in block.words:
            assert plain(self.printed) == plain(block.text), f"{name_of(self.page)}:{block.line}"
        elif "server" in block.words:
            self.serve(block.text)
        elif block.language == "console":
            for command, shown in commands(block.text):
                self.run(command, shown, f"{name_of(self.page)}:{block.line}: {command}")

    def run(self, command: str, shown: list[str], where: str) -> None:
        """Run a command; what is shown of its output must come, in this order. A line of dots stands for anything."""
        code = next((int(line.removeprefix("exit code ")) for line in shown if line.startswith("exit code ")), 0)
        shown = [line for line in shown if not line.startswith("exit code ")]
        for documented, real in self.ids.items():
            command = command.replace(documented, real)
        ended = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=an_environment(self.programs),
            text=True,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output = self.output = ended.stdout.replace(str(self.folder), FOLDER)
        self.code = ended.returncode
        assert ended.returncode == code, f"{where}\n{output}"
        self.ids.update(zip(DECISION_ID.findall("\n".join(shown)), DECISION_ID.findall(output), strict=False))
        position, printed = 0, plain(output)
        for piece in pieces(shown):
            found = printed.find(piece, position)
            assert found >= 0, f"{where}\nnot printed: {piece}\n{output}"
            position = found + len(piece)

    def serve(self, text: str) -> None:
        """Start a server on a port that is free, in the place of the one that the page names."""
        ((command, _),) = commands(text)
        documented = command.partition("--port ")[2]
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        self.ids[f"127.0.0.1:{documented}"] = f"127.0.0.1:{port}"
        command, log = command.replace(documented, str(port)), self.folder / "server.log"
        with log.open("w") as output:
            server = subprocess.Popen(
                command,
                shell=True,
                cwd=self.folder,
                env=an_environment(),
                text=True,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.servers.append(server)
        until = monotonic() + 120
        while not listens(port):
            assert server.poll() is None and monotonic() < until, log.read_text()  # noqa: PT018
            sleep(0.05)

    def close(self) -> None:
        for server in self.servers:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(30)
        for value in self.namespace.values():
            if isinstance(value, Engine):
                value.dispose()


def an_environment(programs: Path | None = None) -> dict[str, str]:
    """What a reader's shell has; programs of that folder are found first."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DEALGATE_", "DATABASE_"))}
    environment["PATH"] = os.pathsep.join(
        map(str, filter(None, (programs, Path(sys.executable).parent, environment["PATH"])))
    )
    environment["COLUMNS"] = "100"
    environment["PYTHONUNBUFFERED"] = "1"  # as on a terminal: what is printed first stands first
    return environment


def listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a console block, each with the lines shown below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *shown = part.splitlines()
        yield command, shown


def pieces(shown: list[str]) -> Iterator[str]:
    for part in re.split(r"^\.\.\.$", "\n".join(shown), flags=re.MULTILINE):
        if text := plain(part):
            yield text


def plain(text: str) -> str:
    """Without what differs from run to run and from terminal to terminal: ids, times, keys, hashes, frames, line breaks."""
    for pattern, stands_for in VARYING:
        text = pattern.sub(stands_for, text)
    return " ".join(text.split())


@pytest.fixture(scope="module")
def programs() -> Iterator[Path]:
    with ready_command(an_environment()) as folder:
        yield folder


@pytest.mark.parametrize(
    "page", [page for page in PAGES if name_of(page) not in NOT_RUN and any(blocks(page))], ids=name_of
)
def test_a_page_can_be_followed_from_top_to_bottom(
    page: Path, programs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reader = Reader(page, tmp_path, programs)
    try:
        for block in blocks(page):
            reader.follow(block, capsys)
    finally:
        reader.close()


def named_commands() -> list[str]:
    """Every `dealgate ...` that the pages name, as far as its words are a command's."""
    named = set()
    for page in PAGES:
        for inline, console in INLINE.findall(page.read_text(encoding="utf-8")):
            words = (inline or console).split()[1:]
            group = words[0] in {group.name for group in app.registered_groups} if words else False
            named.add(" ".join(words[: 2 if group else 1]))
    return sorted(command for command in named if command and not command.startswith("-"))


def existing_commands() -> list[str]:
    found = [command.callback.__name__ for command in app.registered_commands if command.callback]
    for group in app.registered_groups:
        assert group.typer_instance
        for command in group.typer_instance.registered_commands:
            found.append(f"{group.name} {command.name or (command.callback and command.callback.__name__)}")
    return sorted(found)


def help_of(command: str) -> str:
    shown = invoke(*command.split(), "--help", COLUMNS="200", NO_COLOR="1")
    assert shown.exit_code == 0, f"dealgate {command}: {shown.output}"
    return shown.output


@pytest.mark.parametrize("command", named_commands())
def test_a_command_that_the_pages_name_exists(command: str) -> None:
    assert help_of(command)


@pytest.mark.parametrize("command", existing_commands())
def test_a_command_and_its_options_are_in_the_reference(command: str) -> None:
    reference = COMMANDS.read_text(encoding="utf-8")
    assert f"### `dealgate {command}`" in reference
    options = set(re.findall(r"--[a-z][a-z-]*", help_of(command))) - {"--help"}
    assert {option for option in options if option not in reference} == set()


@pytest.mark.parametrize("command", existing_commands())
def test_a_command_stands_in_the_list_at_the_top_of_the_reference(command: str) -> None:
    top = COMMANDS.read_text(encoding="utf-8").partition("Each command has `--help`.")[0]
    group, _, name = command.rpartition(" ")
    among = rf"(\w+\|)*{name}(\|\w+)*" if group else name
    assert re.search(rf"^    dealgate {group and group + ' '}{among}( |$)", top, re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The headings of a page as links spell them."""
    headings = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_resolves(page: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_place_that_only_one_machine_has(page: Path) -> None:
    assert (
        re.findall(r"(?:/home|/root|/tmp|/work|/opt|/Users)/\S*|\.\./shared\S*", page.read_text(encoding="utf-8")) == []
    )
