"""Thirty months of decisions in PostgreSQL, millions of them, in the real schema and by COPY.

Every deal is one of the recorded ones of `compliance_templates`, at another time, under another name, of one of 400 dealers, and
with one amount added to cash price and cash down alike, which leaves every measure as it is: what repeats another table does so.
Entries have no bodies and no private values, and are not sealed: no search and no report reads those.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from sqlalchemy import Connection, Engine, select, text

from dealgate.migrations import guards
from dealgate.models import Base
from dealgate.models.ledger import ENTRY
from dealgate.models.projections import NO_INPUTS
from dealgate.models.versions import add_version, approve_version
from tests.benchmarks.compliance_templates import DAYS, Version

CHUNK = 150_000
"""Deals made at once, of one stretch of time."""

STATES = tuple(
    re.findall(
        "..", "ALAKAZARCACOCTDEFLGAHIIDILINIAKSKYLAMEMDMAMIMNMSMOMTNENVNHNJNMNYNCNDOHOKORPARISCSDTNTXUTVTVAWAWVWIWY"
    )
)
DEALERS = 400
DIRECT_SHARE = 0.06
OUTCOMES = {"pass": 0.46, "flag": 0.20, "refer": 0.24, "decline": 0.10}
"""Shares of deals, by what came of their last submission."""

ENGINE_FAILURES = 2e-5
KINDS = {"request": "override_request", "grant": "override_grant", "deny": "override_denial"}
LOADED = (
    "deal",
    "ledger_entry",
    "submission",
    "trade_in",
    "decision",
    "finding",
    "override_finding",
    "override_step",
    "notice",
)
SEQUENCES = {"submission": "id", "decision": "id", "ledger_entry": "id"}
FORM = "%Y-%m-%d %H:%M:%S%.6f+00"

DAY = pl.from_epoch("decided_at", "us").dt.date()
LATER = DAY - pl.col("submitted_on")
"""How much later a day of a deal lies than in its template."""

NO_DOCUMENT = {"id", "submission", "received_at", "actor", "idempotency_key"}
"""Columns of a submission that are no part of what was judged."""

Frames = dict[str, pl.DataFrame]


def build(engine: Engine, templates: Frames, versions: Sequence[Version], decisions: int, seed: int) -> None:
    """Fill an upgraded, empty database with about so many decisions, guards and indexes in place at the end."""
    end = versions[-1].start + timedelta(days=DAYS / len(versions))
    with engine.begin() as connection:
        for version in versions:
            before = version.start - timedelta(days=10)
            add_version(connection, version.policy, version.text, before, actor="author")
            approve_version(connection, version.policy, before + timedelta(days=1), actor="committee")
    prepared = _Templates(templates)
    deals = round(decisions / prepared.submissions_each)
    draw, numbers = np.random.default_rng(seed), _numbers(engine)
    made = _made(draw, prepared, versions, end, deals, numbers)
    with engine.begin() as connection, _unguarded(connection), ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(next, made, None)
        while frames := coming.result():
            coming = ahead.submit(next, made, None)
            for name, frame in frames.items():
                _copy(connection, name, frame)
    with engine.begin() as connection:
        for name, column in SEQUENCES.items():
            connection.execute(text(f"SELECT setval('dealgate_{name}_{column}_seq', {numbers[name]})"))
        assert guards.problems(connection) == []
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE, FREEZE)"))


def _made(
    draw: np.random.Generator,
    templates: "_Templates",
    versions: Sequence[Version],
    end: datetime,
    deals: int,
    numbers: dict[str, int],
) -> Iterator[Frames]:
    for first in range(0, deals, CHUNK):
        size = min(CHUNK, deals - first)
        chains = _chains(draw, templates, versions, end, (first / deals, (first + size) / deals), first, size)
        yield _rows(draw, templates, chains, numbers, end)


def _numbers(engine: Engine) -> dict[str, int]:
    """The last row numbers that are taken."""
    with engine.connect() as connection:
        last = connection.execute(select(ENTRY.c.id).order_by(ENTRY.c.id.desc()).limit(1)).scalar() or 0
    return {"submission": 0, "decision": 0, "ledger_entry": last}


UNIQUE = """
SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE contype = 'u' AND conrelid = ANY(CAST(:tables AS regclass[]))
"""
REFERRING = """
SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE contype = 'f' AND conindid IN (SELECT conindid FROM pg_constraint WHERE contype = 'u' AND conrelid = ANY(CAST(:tables AS regclass[])))
"""
"""What must go before a unique constraint may."""


@contextmanager
def _unguarded(connection: Connection) -> Iterator[None]:
    """Without triggers, and without indexes but those of primary keys, which grow at their end; with all of them again afterwards."""
    named = [f"dealgate_{name}" for name in LOADED]
    found = text("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY(:tables) AND indexname LIKE 'ix_%'")
    indexes = connection.execute(found, {"tables": named}).all()
    constraints = [row for kind in (REFERRING, UNIQUE) for row in connection.execute(text(kind), {"tables": named})]
    for index in indexes:
        connection.exec_driver_sql(f"DROP INDEX {index.indexname}")
    for table, name, _ in constraints:
        connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    for table in named:
        connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
    yield
    connection.exec_driver_sql(f"ANALYZE {', '.join(named)}")  # or a reference is looked up row by row
    for index in indexes:
        connection.exec_driver_sql(index.indexdef)
    for table, name, definition in reversed(constraints):
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    for table in named:
        connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE TRIGGER ALL")
    for trigger in guards.postgresql_triggers():
        connection.exec_driver_sql(f"ALTER TABLE {trigger.table} ENABLE ALWAYS TRIGGER {trigger.name}")


class _Templates:
    """The recorded rows, with moments as microseconds after the first submission of their deal."""

    def __init__(self, recorded: Frames) -> None:
        decisions = recorded["decision"]
        begun = decisions.group_by("deal_id").agg(pl.col("decided_at").min().alias("begun"))
        begun = begun.sort("deal_id").with_row_index("chain")
        last = (
            decisions.sort("submission")
            .group_by("deal_id")
            .agg(pl.col("policy_sha256", "outcome", "engine_agreed").last(), pl.len().alias("submissions"))
        )
        self.chains = begun.join(last, on="deal_id").with_columns(_weights()).sort("chain")
        own = begun.select("deal_id", "chain", "begun")

        def since(frame: pl.DataFrame, *moments: str) -> pl.DataFrame:
            offsets = [(pl.col(one) - pl.col("begun")).dt.total_microseconds().alias(one) for one in moments]
            return frame.join(own, on="deal_id").with_columns(offsets).drop("deal_id", "begun")

        self.submissions_each = float(np.average(self.chains["submissions"], weights=self.chains["weight"]))
        self.decisions = since(decisions, "decided_at").rename({"submission_id": "template"}).drop("id", "submission")
        self.submissions = recorded["submission"].rename({"id": "template"}).drop("deal_id")
        number = decisions.select(pl.col("id").alias("decision"), pl.col("submission_id").alias("template"))
        self.findings = recorded["finding"].join(number, on="decision").drop("decision")
        submitted = recorded["submission"].select(pl.col("id").alias("template"), "submitted_on")
        self.trade_ins = recorded["trade_in"].rename({"submission_id": "template"}).join(submitted, on="template")
        self.trades = {
            template: repr(sorted(trades.drop("template").rows()))
            for (template,), trades in self.trade_ins.with_columns(
                pl.col("payoff_good_through") - pl.col("submitted_on"), submitted_on=None
            ).group_by("template")
        }
        steps = since(recorded["override_step"], "recorded_at", "ends_at")
        decided = decisions.select("decision_id", pl.col("submission_id").alias("template"))
        self.steps = steps.join(decided, on="decision_id").drop("decision_id", "entry")
        asked = recorded["override_step"].filter(pl.col("step") == "request").select("entry", "override_id")
        self.named = recorded["override_finding"].join(asked, on="entry").drop("entry")
        told = recorded["ledger_entry"].select(pl.col("id").alias("entry"), "recorded_at")
        self.notices = since(recorded["notice"].join(told, on="entry"), "sent_at", "recorded_at").drop("entry")

    def inputs(self) -> pl.Expr:
        """A number of 64 bits for all that was judged: alike for like deals, as the gate's own is."""
        columns = [column.name for column in Base.metadata.tables["dealgate_submission"].columns]
        judged = [pl.col(name) for name in columns if name not in {*NO_INPUTS, *NO_DOCUMENT}]
        trades = pl.col("template").replace_strict(self.trades, default=None, return_dtype=pl.String)
        good_through = pl.when(trades.is_not_null()).then(pl.col("submitted_on"))
        alike = pl.struct(*judged, trades.alias("trades"), good_through.alias("good_through"))
        return alike.hash().reinterpret(signed=True).alias("inputs_number")

    def drawn(self, draw: np.random.Generator, sha256: str, size: int) -> Any:
        """So many deals of a policy version."""
        mine = self.chains.filter(pl.col("policy_sha256") == sha256)
        weights = mine["weight"].to_numpy()
        return draw.choice(mine["chain"].to_numpy(), size, p=weights / weights.sum())


def _weights() -> pl.Expr:
    """How often a deal is drawn, so that the last outcomes come in their shares: a synthetic book under limits that are
    illustrative is referred far more often than a lender's.
    """
    share = pl.col("outcome").replace_strict(OUTCOMES, return_dtype=pl.Float64)
    failed = ~pl.col("engine_agreed")
    weight = share / pl.len().over("policy_sha256", "outcome", "engine_agreed")
    return pl.when(failed).then(ENGINE_FAILURES).otherwise(weight).alias("weight")


def _chains(
    draw: np.random.Generator,
    templates: _Templates,
    versions: Sequence[Version],
    end: datetime,
    stretch: tuple[float, float],
    first: int,
    size: int,
) -> pl.DataFrame:
    """Deals that begin in one stretch of the thirty months, each with its template, its name and its dealer."""
    begin, whole = _micros(versions[0].start), _micros(end) - _micros(versions[0].start)
    start = np.sort(begin + (draw.uniform(*stretch, size) * whole).astype(np.int64))
    version = np.searchsorted([_micros(one.start) for one in versions], start, side="right") - 1
    template = np.zeros(size, np.uint32)
    for number, one in enumerate(versions):
        chosen = version == number
        template[chosen] = templates.drawn(draw, one.policy.sha256, int(chosen.sum()))
    weights = 1 / np.arange(4, DEALERS + 4)  # a few dealers sell much, many sell little
    dealer = draw.choice(DEALERS, size, p=weights / weights.sum())
    states = np.array(STATES)[np.random.default_rng(1).integers(0, len(STATES), DEALERS)]
    direct = draw.random(size) < DIRECT_SHARE
    desks = np.array(["los"] * 6 + [f"desk-{number:02}" for number in range(24)])
    return pl.DataFrame(
        {
            "chain": template,
            "start": start,
            "deal": np.arange(first, first + size) + 1,
            "dealer_id": pl.Series([f"DLR-{number:04}" for number in range(1, DEALERS + 1)]).gather(dealer),
            "state": states[dealer],
            "channel": np.where(direct, "direct", "indirect"),
            "actor": draw.choice(desks, size),
            "more": draw.integers(0, 40, size) * 2_500,
        }
    ).with_columns(pl.format("D-{}", pl.col("deal").cast(pl.String).str.zfill(9)).alias("deal_id"))


def _rows(
    draw: np.random.Generator, templates: _Templates, chains: pl.DataFrame, numbers: dict[str, int], end: datetime
) -> Frames:
    """The rows of every table about some deals. What would lie beyond the end has not happened yet."""
    last = _micros(end)
    decided = chains.join(templates.decisions, on="chain").with_columns(pl.col("decided_at") + pl.col("start"))
    decided = decided.filter(pl.col("decided_at") < last).sort("decided_at", "deal")
    decided = _numbered(decided, "id", numbers, "decision").with_columns(_uuids(draw, len(decided), "decision_id"))
    decided = decided.with_columns(
        pl.int_range(pl.len()).over("deal").add(1).alias("submission"),
        pl.col("id").alias("submission_id"),
        pl.col("id").alias("decision"),
    )
    numbers["submission"] = numbers["decision"]
    submitted = decided.select(
        "id", "template", "deal_id", "submission", "decided_at", "dealer_id", "state", "channel", "actor", "more"
    ).join(templates.submissions.drop("dealer_id", "state", "channel", "actor", "submission"), on="template")
    submissions = _submissions(submitted).sort("id")
    decided = decided.join(submissions.select("id", templates.inputs()), on="id", maintain_order="left")
    entries, steps, named, notices = _entries(draw, templates, chains, decided, numbers, last)
    by_template = decided.select("id", "decision", "template")
    return {
        "deal": _deals(decided, entries, steps, notices),
        "ledger_entry": entries,
        "submission": submissions,
        "trade_in": _trade_ins(decided.select("id", "template", "decided_at").join(templates.trade_ins, on="template")),
        "decision": decided,
        "finding": by_template.join(templates.findings, on="template"),
        "override_finding": named,
        "override_step": steps,
        "notice": notices,
    }


def _submissions(submitted: pl.DataFrame) -> pl.DataFrame:
    """On the day of the decision, everything as old then as it was in the template, more paid down on a price that is as much higher."""
    years = DAY.dt.year() - pl.col("submitted_on").dt.year()
    days = [pl.col(name) + LATER for name, kind in submitted.schema.items() if kind == pl.Date]
    return submitted.with_columns(
        *days,
        pl.col("decided_at").alias("received_at"),
        (pl.col("model_year") + years).alias("model_year"),
        (pl.col("cash_price_cents") + pl.col("more")).alias("cash_price_cents"),
        (pl.col("cash_down_cents") + pl.col("more")).alias("cash_down_cents"),
        pl.format("{}/{}", "deal_id", "submission").alias("idempotency_key"),
    )


def _trade_ins(traded: pl.DataFrame) -> pl.DataFrame:
    return traded.with_columns(pl.col("payoff_good_through") + LATER).rename({"id": "submission_id"})


def _entries(
    draw: np.random.Generator,
    templates: _Templates,
    chains: pl.DataFrame,
    decided: pl.DataFrame,
    numbers: dict[str, int],
    last: int,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """The entries of the ledger in the order of their moments, and the rows of overrides and notices that name them."""
    own = chains.select("chain", "start", "deal", "deal_id")
    place = decided.select("deal", "template", "decision_id", "policy_sha256")
    steps = own.join(templates.steps, on="chain").join(place, on=["deal", "template"])
    steps = steps.with_columns(pl.col("recorded_at", "ends_at") + pl.col("start"))
    steps = steps.filter(pl.col("recorded_at") < last).rename({"override_id": "asked"})
    steps = steps.with_columns(_uuids(draw, len(steps), "entry_id"), pl.col("step").replace_strict(KINDS).alias("kind"))
    notices = own.join(templates.notices, on="chain")
    notices = notices.with_columns(pl.col("sent_at", "recorded_at") + pl.col("start"))
    notices = notices.filter(pl.col("recorded_at") < last).rename({"kind": "notice"})
    notices = notices.with_columns(
        _uuids(draw, len(notices), "entry_id"), pl.lit("notice").alias("kind"), pl.lit("notices").alias("actor")
    )
    common = ("deal", "deal_id", "entry_id", "kind", "actor", "recorded_at", "effective_at", "policy_sha256", "key")
    nothing = pl.lit(None, pl.String)
    parts = [
        decided.with_columns(
            pl.col("decision_id").alias("entry_id"),
            pl.lit("decision").alias("kind"),
            pl.col("decided_at").alias("recorded_at"),
            pl.format("{}/{}", "deal_id", "submission").alias("key"),
            pl.col("decided_at").alias("effective_at"),
        ),
        steps.with_columns(nothing.alias("key"), pl.col("recorded_at").alias("effective_at")),
        notices.with_columns(nothing.alias("key"), nothing.alias("policy_sha256"), effective_at="sent_at"),
    ]
    entries = pl.concat([part.select(common) for part in parts]).sort("recorded_at", "deal", "entry_id")
    entries = _numbered(entries, "id", numbers, "ledger_entry").rename({"key": "idempotency_key"})
    entries = entries.with_columns(
        pl.int_range(pl.len()).over("deal").add(1).alias("deal_seq"), _hashes(draw, len(entries), "leaf_hash")
    )
    number = entries.select("entry_id", pl.col("id").alias("entry"))
    steps = steps.join(number, on="entry_id")
    requests = steps.filter(pl.col("step") == "request")
    requests = requests.select(
        "deal", "asked", pl.col("entry_id").alias("override_id"), pl.col("entry").alias("request")
    )
    steps = steps.join(requests, on=["deal", "asked"])
    named = requests.join(templates.named, left_on="asked", right_on="override_id").rename({"request": "entry"})
    notices = notices.join(number, on="entry_id").drop("kind").rename({"notice": "kind"})
    return entries, steps, named, notices


def _deals(decided: pl.DataFrame, entries: pl.DataFrame, steps: pl.DataFrame, notices: pl.DataFrame) -> pl.DataFrame:
    heads = entries.group_by("deal").agg(pl.len().alias("entries"), pl.col("leaf_hash").last().alias("head"))
    noticed = notices.group_by("deal").agg(pl.col("sent_at").max().alias("noticed_at"))
    last = decided.group_by("deal_id", "deal", maintain_order=True).agg(
        pl.len().alias("submissions"),
        pl.col("outcome", "decision_id", "decided_at").last(),
    )
    last = last.join(heads, on="deal").join(noticed, on="deal", how="left")
    turned_down = steps.filter(pl.col("side") == "high")["decision_id"].unique()
    is_owed = ~pl.col("outcome").is_in(["pass", "flag"]) | pl.col("decision_id").is_in(turned_down.implode())
    is_owed &= pl.col("noticed_at").is_null() | (pl.col("noticed_at") < pl.col("decided_at"))
    begun = (
        decided.select("deal", "decided_at")
        .join(noticed, on="deal", how="left")
        .filter(pl.col("noticed_at").is_null() | (pl.col("decided_at") > pl.col("noticed_at")))
        .group_by("deal")
        .agg(pl.col("decided_at").min().alias("begun_at"))
    )
    start = pl.max_horizontal(pl.from_epoch("noticed_at", "us"), pl.from_epoch("begun_at", "us")).dt.strftime(
        "%Y-%m-%d"
    )
    last = last.join(begun, on="deal", how="left").with_columns(pl.when(is_owed).then(start).alias("clock_from"))
    return last.sort("deal")


def _numbered(frame: pl.DataFrame, column: str, numbers: dict[str, int], table: str) -> pl.DataFrame:
    first = numbers[table] + 1
    numbers[table] += len(frame)
    return frame.with_columns(pl.int_range(first, first + len(frame)).alias(column))


def _uuids(draw: np.random.Generator, size: int, name: str) -> pl.Series:
    """Random, version 4, as texts."""
    raw = draw.integers(0, 256, (size, 16), np.uint8)
    raw[:, 6] = raw[:, 6] & 0x0F | 0x40
    raw[:, 8] = raw[:, 8] & 0x3F | 0x80
    digits = _hex(raw)
    parts = [digits.str.slice(start, length) for start, length in ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))]
    return pl.select(pl.concat_str(parts, separator="-")).to_series().alias(name)


def _hashes(draw: np.random.Generator, size: int, name: str) -> pl.Series:
    """As COPY reads bytes."""
    digits = _hex(draw.integers(0, 256, (size, 32), np.uint8))
    return pl.select(pl.concat_str([pl.lit("\\x"), digits])).to_series().alias(name)


def _hex(raw: Any) -> pl.Series:
    width = raw.shape[1]
    return pl.Series(np.ascontiguousarray(raw).view(f"V{width}").ravel().tolist(), dtype=pl.Binary).bin.encode("hex")


def _micros(moment: datetime) -> int:
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))


def _copy(connection: Connection, name: str, frame: pl.DataFrame) -> None:
    table = Base.metadata.tables[f"dealgate_{name}"]
    columns = [column.name for column in table.columns]
    moments: Mapping[str, pl.Expr] = {
        column.name: pl.from_epoch(column.name, "us")
        for column in table.columns
        if column.name.endswith("_at") and frame.schema[column.name] == pl.Int64
    }
    data = frame.with_columns(**moments).select(columns).write_csv(include_header=False, datetime_format=FORM)
    driver: Any = connection.connection.driver_connection
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY {table.name} ({', '.join(columns)}) FROM STDIN (FORMAT csv)") as out,
    ):
        out.write(data)
