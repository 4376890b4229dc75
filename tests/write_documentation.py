"""Run the pages' commands and put what they print now in the place of what the pages show.

python tests/write_documentation.py [PAGE ...]

A block with a line of dots is left as it is and named: what it leaves out is somebody's choice.
"""

import contextlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.test_documentation import FENCE, NOT_RUN, PAGES, Block, Reader, commands, name_of, plain


class Writer(Reader):
    """A reader who writes down what really came."""

    def rewritten(self, block: Block) -> str:
        """The block's text as it should stand."""
        if block.language == "console" and "server" not in block.words:
            return "".join(self._command(command, shown, block) for command, shown in commands(block.text))
        if "output" in block.words:
            return block.text if plain(self.printed) == plain(block.text) else self.printed
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            self.follow(block, None)
        self.printed = printed.getvalue()
        return block.text

    def _command(self, command: str, shown: list[str], block: Block) -> str:
        kept = "".join(f"{line}\n" for line in (f"$ {command}", *shown))
        try:
            self.run(command, shown, "")
        except AssertionError:
            if "..." in shown:
                print(f"{name_of(self.page)}:{block.line}: {command}: mend by hand")
                return kept
        else:
            if "..." in shown or self._breaks_alike(shown):
                return kept
        output = "".join(f"{line.rstrip()}\n" for line in self.output.splitlines())
        code = f"exit code {self.code}\n" if self.code else ""
        blank = "\n" if shown and not shown[-1] else ""
        return f"$ {command}\n{output}{code}{blank}"

    def _breaks_alike(self, shown: list[str]) -> bool:
        """Whether as many lines came as are shown: only ids and times are other than on the page."""
        kept = [line for line in shown if line.strip() and not line.startswith("exit code ")]
        return len(kept) == len([line for line in self.output.splitlines() if line.strip()])


def rewrite(page: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        writer = Writer(page, Path(folder))
        content = page.read_text(encoding="utf-8")

        def written(match: re.Match[str]) -> str:
            line = content.count("\n", 0, match.start()) + 2
            text = writer.rewritten(Block(line, match[1], match[2].split(), match[3]))
            return f"```{match[1]}{match[2]}\n{text}```"

        changed = FENCE.sub(written, content)
        writer.close()
    if changed != content:
        page.write_text(changed, encoding="utf-8")
        print(f"{name_of(page)}: written")


if __name__ == "__main__":
    named = [Path(argument).resolve() for argument in sys.argv[1:]]
    for each in named or [page for page in PAGES if name_of(page) not in NOT_RUN]:
        rewrite(each)
