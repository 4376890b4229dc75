"""Deal documents read into a book, batch by batch, by the reader of the single deal."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from dealgate.adapters.portfolio.book import row_schema
from dealgate.adapters.portfolio.rejects import Rejects
from dealgate.adapters.portfolio.rows import row_of
from dealgate.rules.deal import Deal, DealError

BATCH = 100_000

Given = TypeVar("Given")


def read_documents(
    given: Iterable[tuple[int, Given]], read: Callable[[Given], Deal], folder: Path, rejects: Rejects
) -> Iterator[tuple[Path, int]]:
    """Write the deals to files of the book; yields each file and how many documents of the source it took."""
    documents = iter(given)
    for number in range(10**9):
        taken = 0
        rows: list[dict[str, Any]] = []
        for row, document in islice(documents, BATCH):
            taken += 1
            try:
                rows.append(row_of(read(document)))
            except DealError as error:
                rejects.add(row, _deal_id(document), error.problems)
        if not taken:
            return
        file = folder / f"read-{number:05d}.parquet"
        pl.DataFrame(rows, schema=row_schema(rows), orient="row").write_parquet(file, compression="zstd")
        yield file, taken


def _deal_id(document: object) -> str:
    return str(document.get("deal_id", "")) if isinstance(document, dict) else getattr(document, "deal_id", "")
