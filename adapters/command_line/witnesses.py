"""Deals that show something, written where `dealgate evaluate` can read them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dealgate.adapters.command_line.failures import refuse


def write_witnesses(folder: Path, deals: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Each deal to a file of its name, which is also its `deal_id`; several of one name are numbered."""
    seen: dict[str, int] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, deal in deals:
            seen[name] = seen.get(name, 0) + 1
            file = folder / (f"{name}.json" if seen[name] == 1 else f"{name}-{seen[name]}.json")
            file.write_text(json.dumps({**deal, "deal_id": name}, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        refuse([f"{folder}: cannot be written: {error.strerror or error}"])
