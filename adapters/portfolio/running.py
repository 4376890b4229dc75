"""A run over a whole book: part by part, so that one that was stopped goes on where it was, and told as it proceeds."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import polars as pl
import pyarrow.parquet as pq

from dealgate.adapters.portfolio.book import SourceError
from dealgate.adapters.portfolio.engines import Engine, Part, Work
from dealgate.adapters.portfolio.rejects import Rejects
from dealgate.adapters.portfolio.sources import Reading, Source, read_source
from dealgate.rules.policy import Policy

Tell = Callable[[str, int, int | None], None]
"""Called with what is being done, rows done, and rows in all where that is known."""


class Judging(Protocol):
    """What a run makes of each part, and how the rows that columns cannot prove are judged."""

    @property
    def work(self) -> Work: ...

    @property
    def unproved(self) -> Work | None: ...

    def settle(self, rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame: ...


@dataclass
class Run:
    """One run: where its parts lie until it is complete, and whose they are."""

    out: Path
    folder: Path = field(init=False)
    rejects_file: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = self.out.with_name(self.out.name + ".partial")
        self.rejects_file = self.out.with_name(self.out.stem + ".rejects.csv")

    @contextmanager
    def begun(self, fingerprint: str) -> Iterator[None]:
        """Go on in the folder of the same run, or begin it. Raises `SourceError` where another run's parts lie."""
        mark = self.folder / "run.json"
        if mark.exists() and mark.read_text(encoding="utf-8") != fingerprint:
            raise SourceError(
                f"{self.folder}: holds parts of another run (other source, policy or engine). Remove it, or give another output."
            )
        if not mark.exists():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            mark.write_text(fingerprint, encoding="utf-8")
        try:
            yield
        except SourceError:
            if not self._has_parts(mark):
                self.discard()
            raise

    def _has_parts(self, mark: Path) -> bool:
        """Without any there is nothing to go on with, and the next run may be of the book that was meant."""
        return any(path.is_file() and path != mark for path in self.folder.rglob("*"))

    def finish(self, parts: list[Path]) -> None:
        """One part becomes a file, several a folder of files."""
        if len(parts) == 1 and parts[0].is_file():
            parts[0].replace(self.out)
        elif len(parts) == 1:
            parts[0].rename(self.out)
        else:
            together = self.folder / "together"
            together.mkdir(exist_ok=True)
            for part in parts:
                part.replace(together / part.name)
            together.rename(self.out)
        shutil.rmtree(self.folder)

    def discard(self) -> None:
        """The parts have served."""
        shutil.rmtree(self.folder)


def fingerprint(source: Source, policies: Iterable[Policy], engine: str) -> str:
    """What makes a run the same run: the source as it is, the policies, the engine, this version.

    A hash: the name of a source may hold a password.
    """
    parts: dict[str, Any] = {
        "dealgate": version("dealgate"),
        "engine": engine,
        "source": source.name,
        "query": source.query,
    }
    parts["policies"] = [policy.sha256 for policy in policies]
    path = Path(source.name)
    if source.name == "-":
        parts["stream"] = str(uuid4())  # nobody can tell whether the same comes again
    elif not source.is_database and path.exists():
        files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
        stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        parts["files"] = stats
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_book(run: Run, source: Source, tell: Tell) -> Reading:
    with Rejects(run.rejects_file) as rejects:
        done = 0

        def told(rows: int) -> None:
            nonlocal done
            done += rows
            tell("Reading", done, None)

        return read_source(source, run.folder / "book", rejects, told)


def judged_parts(
    run: Run, reading: Reading, judging: Judging, engine: Engine, tell: Tell, stem: str = "part"
) -> list[Path]:
    """Every part of the book as Parquet files, those of a stopped run as they are."""
    book = reading.book
    groups = [[part] for part in book.parts()] if engine.divides else [[Part(file) for file in book.files]]
    found, done = [], 0
    for number, parts in enumerate(groups):
        path = run.folder / f"{stem}-{number:05d}.parquet"
        if not path.exists():
            _judge(parts, path, judging, engine)
        found.append(path)
        done += sum(part.rows or book.rows for part in parts)
        tell("Judging", min(done, book.rows), book.rows)
    return found


def _judge(parts: list[Part], path: Path, judging: Judging, engine: Engine) -> None:
    """The part is in its place only when it is whole."""
    fresh = path.with_name("fresh-" + path.name)
    _remove(fresh)
    engine.run(judging.work, parts, fresh)
    if judging.unproved:
        aside = path.with_name("unproved-" + path.name)
        _remove(aside)
        engine.run(judging.unproved, parts, aside)
        _add(fresh, judging.settle(_rows(aside)))
        _remove(aside)
    fresh.rename(path)


def files_of(parts: Iterable[Path]) -> Iterator[Path]:
    """The Parquet files of parts, each of which is a file or a folder of files."""
    for part in parts:
        yield from sorted(part.glob("*.parquet")) if part.is_dir() else [part]


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    for file in files_of([path]):
        for batch in pq.ParquetFile(file).iter_batches(10_000):
            yield from batch.to_pylist()


def _add(path: Path, rows: pl.DataFrame) -> None:
    if not rows.height:
        return
    if path.is_dir():
        rows.write_parquet(path / "part-settled.parquet", compression="zstd")
        return
    both = path.with_name("both-" + path.name)
    stored = pl.scan_parquet(path, glob=False)
    pl.concat([stored, rows.lazy().cast(stored.collect_schema())]).sink_parquet(both, compression="zstd")
    both.replace(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
