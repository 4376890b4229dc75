"""Policy documents from files and from the shelf, checked together with their examples."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple
from weakref import WeakValueDictionary

from dealgate.rules.conjunctions import TangledRuleError
from dealgate.rules.coverage import Difference, differences
from dealgate.rules.deal import PartialDeal
from dealgate.rules.document import Place, PolicyError, Problem
from dealgate.rules.engine import Engine
from dealgate.rules.evaluation import CompiledPolicy, EvaluatesRules
from dealgate.rules.policy import Example, Policy
from dealgate.rules.review import Review, review_policy
from dealgate.rules.table_files import MOST_BYTES, FindTable, TableError

SHIPPED = ("prime-auto", "subprime-auto", "recreational")
DEFAULT = SHIPPED[0]


class PolicyDocument(NamedTuple):
    """A policy as it was written and as it was read.

    Where tables come from files, the text is the policy with their rows written out: it is read again without them.
    """

    text: str
    policy: Policy


def load_policy(name: str | None = None) -> PolicyDocument:
    """Read a policy file, or a shipped policy by its name. Raises `PolicyError`, also for a file that cannot be read."""
    name = name or DEFAULT
    text, file = _text(name)
    tables = _tables_beside(name)
    policy = Policy.from_text(text, file, tables)
    if not tables or not tables.read:
        return PolicyDocument(text, policy)
    Policy.from_text(policy.self_contained, file)  # what is stored must be readable without the files, years from now
    return PolicyDocument(policy.self_contained, policy)


def _tables_beside(name: str) -> "TableFolder | None":
    """Where a policy's tables are looked for; a shipped policy has none in files."""
    return None if name in SHIPPED else TableFolder(Path(name).parent)


def _text(name: str) -> tuple[str, str]:
    """The text of a policy document, and what its file is called in messages."""
    if name in SHIPPED:
        shipped = files("dealgate.rules") / "policies" / f"{name.replace('-', '_')}.yaml"
        return _decoded(shipped.read_bytes(), f"{name}.yaml"), f"{name}.yaml"
    try:
        return _decoded(Path(name).read_bytes(), name), name
    except OSError as error:
        message = f"the policy cannot be read: {error.strerror or error}"
        raise PolicyError(
            [Problem(name, Place(1, 1), message, f"Give a file, or one of the shipped policies: {', '.join(SHIPPED)}.")]
        ) from None


class TableFolder:
    """The folder of a policy document, as far as its tables may be read from there. `read` remembers that something was."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.read: set[str] = set()

    def __call__(self, name: str) -> bytes:
        """The content of a file, by its name relative to the folder. Raises `TableError`."""
        try:
            path = (self.folder / name).resolve()
            inside = path.is_relative_to(self.folder.resolve()) and not Path(name).is_absolute()
            data = _first_bytes(path) if inside else b""
        except OSError as error:
            raise TableError(f"{name} cannot be read: {error.strerror or error}") from None
        except ValueError as error:  # a name with a null character
            raise TableError(f"{name!r} cannot be read: {error}") from None
        if not inside:
            raise TableError(
                f"{name} lies outside the folder of the policy: keep the table beside it, or in a folder below"
            )
        self.read.add(name)
        return data


def _first_bytes(path: Path) -> bytes:
    """One more than a table may have, so that a larger file is known to be one."""
    if not path.is_file():
        raise FileNotFoundError(2, "there is no such file")
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _decoded(data: bytes, file: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PolicyError([Problem(file, Place(1, 1), f"not UTF-8 text (byte {error.start})")]) from None


def review(name: str) -> Review:
    """Everything that is wrong or doubtful about a policy: its text, what can be proved of it, its examples.

    Raises `PolicyError` for a file that cannot be read as text.
    """
    return review_text(*_text(name), _tables_beside(name))


def review_text(text: str, file: str, find_table: FindTable | None = None) -> Review:
    """The same of a document at hand; `find_table` gives the content of a table's file. Raises nothing."""
    found = review_policy(text, file, find_table)
    if found.policy is None:
        return found
    try:
        check_policy(PolicyDocument(text, found.policy))
    except PolicyError as error:
        return found._replace(errors=PolicyError([*found.errors, *error.problems]).problems)
    return found


_compiled: WeakValueDictionary[tuple[object, ...], CompiledPolicy] = WeakValueDictionary()


def check_policy(document: PolicyDocument, engine: Callable[[Policy], EvaluatesRules] = Engine) -> CompiledPolicy:
    """Compile a policy and run its examples. Raises `PolicyError` with every example that does not hold.

    A version in use is compiled once, whoever asks; one that nobody uses any more is freed.
    """
    policy = document.policy
    key = (document.text, policy.file, engine)  # the text too: evidence names its lines
    if (compiled := _compiled.get(key)) is not None:
        return compiled
    try:
        compiled = CompiledPolicy(policy, engine)
        problems = [
            _example_problem(policy, example, difference)
            for example in policy.examples
            for difference in differences(compiled.evaluate(PartialDeal.read(example.deal)), example)
        ]
    except TangledRuleError as error:
        raise PolicyError([Problem(policy.file, Place(1, 1), str(error))]) from None
    if problems:
        raise PolicyError(problems)
    _compiled[key] = compiled
    return compiled


def _example_problem(policy: Policy, example: Example, difference: Difference) -> Problem:
    return Problem(
        policy.file,
        Place(example.line or 1, example.column or 1),
        f"the example {example.name!r} does not hold: {difference.sentence}",
    )
