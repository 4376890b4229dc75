"""The log on standard error: one document a line, in which neither personal data nor secrets can stand.

Exceptions are told by type and place. Whatever quotes a value may quote a borrower's: messages of exceptions are left out, and of
the messages of libraries only the text that stands in their code is kept.
"""

import json
import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import Any, Literal

from dealgate.adapters.anchors.anchor import AnchorError
from dealgate.adapters.database import DatabaseError
from dealgate.rules.document import PolicyError

FIELDS = (
    "method", "route", "status", "milliseconds", "request_id", "trace_id", "actor", "decision_id", "outcome", "deal_id",
)  # fmt: skip
"""What a line may say beside its message."""

TOLD_IN_FULL = ("dealgate.service", "dealgate.sealer", "dealgate.outbox", "uvicorn")
"""Loggers whose messages are known to quote nothing of a deal."""

TELLABLE = (AnchorError, DatabaseError, PolicyError, OSError)
"""Exceptions whose messages are about the service and not about deals."""

MOST_CAUSES = 5

Format = Literal["json", "text"]


def set_up_logging(level: str, form: Format) -> None:
    """Send everything that this process logs to standard error, warnings and what nobody caught included."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=max(logging.WARNING, logging.getLevelName(level.upper())), handlers=[handler], force=True)
    for name in ("dealgate", "uvicorn"):
        logging.getLogger(name).setLevel(level.upper())
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    sys.unraisablehook = lambda one: _uncaught(one.exc_type, one.exc_value, one.exc_traceback)
    threading.excepthook = lambda one: _uncaught(one.exc_type, one.exc_value, one.exc_traceback)


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(document_of(record), ensure_ascii=True, default=str)


class TextLines(logging.Formatter):
    """For who reads along: the same, in a line of text."""

    def format(self, record: logging.LogRecord) -> str:
        document = document_of(record)
        head = " ".join(document.pop(name) for name in ("time", "level", "logger"))
        message = json.dumps(document.pop("message"))[1:-1]
        return " ".join([head, message, *(f"{name}={json.dumps(value)}" for name, value in document.items())])


def document_of(record: logging.LogRecord) -> dict[str, Any]:
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    document: dict[str, Any] = {
        "time": at.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": _message(record),
    }
    given = ((name, getattr(record, name, None)) for name in FIELDS)
    document |= {name: value for name, value in given if value is not None}
    if record.exc_info and record.exc_info[1] is not None:
        document["exceptions"] = list(places_of(record.exc_info[1]))
    return document


def places_of(error: BaseException) -> Iterator[dict[str, Any]]:
    """An exception and those that it came from: the type, and file:line of each frame, the innermost last."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen and len(seen) < MOST_CAUSES:
        seen.add(id(following))
        kind = type(following)
        frames = [f"{_short(frame.f_code.co_filename)}:{line}" for frame, line in walk_tb(following.__traceback__)]
        yield {"type": f"{kind.__module__}.{kind.__qualname__}", "frames": frames}
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def _message(record: logging.LogRecord) -> str:
    text = record.msg if isinstance(record.msg, str) else _argument(record.msg)
    if not _is_of(record.name, TOLD_IN_FULL):
        # Without arguments the text may have been put together from anything.
        is_constant = isinstance(record.msg, str) and (record.args or _is_of(record.name, ("dealgate",)))
        return text if is_constant else f"a message left out, from {_short(record.pathname)}:{record.lineno}"
    if record.args:
        text = text % _arguments(record.args)
    return text if record.name.startswith("dealgate.") else text.partition("\n")[0]


def _arguments(given: Any) -> Any:
    if isinstance(given, Mapping):
        return {name: _argument(value) for name, value in given.items()}
    return tuple(_argument(value) for value in given)


def _argument(value: object) -> Any:
    if isinstance(value, BaseException) and not isinstance(value, TELLABLE):
        return type(value).__name__
    return str(value) if isinstance(value, BaseException) else value


def _is_of(name: str, loggers: tuple[str, ...]) -> bool:
    return any(name == logger or name.startswith(f"{logger}.") for logger in loggers)


def _short(file: str) -> str:
    """The end of a path: enough to find the place, whatever machine it is."""
    return "/".join(Path(file).parts[-3:])


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if error is not None and not issubclass(kind, KeyboardInterrupt | SystemExit):
        logging.getLogger("dealgate.service").critical(
            "nobody caught this", exc_info=(kind, error, trace or error.__traceback__)
        )
