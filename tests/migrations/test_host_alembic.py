"""Beside a host's own Alembic: real commands in an environment of its own, each side blind to the tables of the other."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from alembic import command
from sqlalchemy import Connection, Engine, ForeignKey, make_url, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from dealgate import Gate
from dealgate.adapters.database import open_database, upgrade_database
from dealgate.migrations.revisions import HEAD, VERSION_TABLE, current_revision
from dealgate.migrations.running import configuration, downgrade
from dealgate.models.erasure import purge, record_notice
from dealgate.models.recording import DECISION
from tests.databases import TABLES, PostgreSQL, SqliteFiles
from tests.faults.eventful import LONG_AGO
from tests.models.ledgers import a_signer, seal_all
from tests.models.samples import NOW, a_deal, a_policy, submit

INI = """
[alembic]
script_location = %(here)s/environment
"""

TABLES_OF_THE_HOST = """
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Application(Base):
    __tablename__ = "application"

    number: Mapped[int] = mapped_column(primary_key=True)
"""

LOAN = """

from dealgate.models import Decision


class Loan(Base):
    __tablename__ = "loan"

    number: Mapped[int] = mapped_column(primary_key=True)
    decision_id: Mapped[str | None] = mapped_column(ForeignKey(Decision.__table__.c.decision_id, ondelete="SET NULL"))
"""

ENV = """
import os, sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from alembic import context
from sqlalchemy import create_engine
from dealgate.migrations.running import leave_out_dealgate
from host_tables import Base

RECIPE = {{"include_object": leave_out_dealgate}}

with create_engine(os.environ["HOST_DATABASE"]).connect() as connection:
    context.configure(
        connection=connection, target_metadata=Base.metadata, include_schemas={include_schemas}, **({recipe})
    )
    with context.begin_transaction():
        context.run_migrations()
"""

TEMPLATE = """
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}

import sqlalchemy as sa
from alembic import op


def upgrade():
    ${upgrades if upgrades else "pass"}


def downgrade():
    ${downgrades if downgrades else "pass"}
"""

ONE_AFTER_ANOTHER = "import sys; from alembic.config import main; [main(argv.split()) for argv in sys.argv[1:]]"


NOTHING_TO_DO = "No new upgrade operations detected"


class Place(NamedTuple):
    """Where the host and dealgate meet."""

    url: str
    schema: str | None = None
    include_schemas: bool = False


class Host:
    """A project of a host's, with Alembic as `alembic init` leaves it and the recipe in its `env.py`."""

    def __init__(self, folder: Path, place: Place) -> None:
        self.folder, self.place = folder, place
        self.environment = folder / "environment"
        (self.environment / "versions").mkdir(parents=True)
        (folder / "alembic.ini").write_text(INI)
        (self.environment / "script.py.mako").write_text(TEMPLATE)
        (self.environment / "host_tables.py").write_text(TABLES_OF_THE_HOST)
        self.write_env("RECIPE")

    def write_env(self, recipe: str) -> None:
        (self.environment / "env.py").write_text(ENV.format(include_schemas=self.place.include_schemas, recipe=recipe))

    def alembic(self, *commands: str) -> "subprocess.CompletedProcess[str]":
        """Commands in a process of their own, one after another until one fails."""
        return subprocess.run(
            [sys.executable, "-c", ONE_AFTER_ANOTHER, *commands],
            cwd=self.folder,
            env={**os.environ, "HOST_DATABASE": self.place.url},
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, *commands: str) -> str:
        done = self.alembic(*commands)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def versions(self) -> Sequence[Path]:
        return sorted((self.environment / "versions").glob("*.py"), key=lambda path: path.stat().st_mtime)


KINDS = [
    "sqlite",
    "own schema, include_schemas",
    pytest.param("postgresql", marks=pytest.mark.faults),
    pytest.param("own schema", marks=pytest.mark.faults),
]
"""Each takes many processes; those that come last have the rest in common with those before."""


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        yield Place(SqliteFiles(tmp_path).empty())
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")
    if request.param == "postgresql":
        yield Place(server.empty())
        return
    url = server.apart()
    engine = open_database(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {make_url(url).database} SET search_path = public, lender_gate")
    engine.dispose()
    yield Place(url, "lender_gate", include_schemas=request.param.endswith("include_schemas"))


@pytest.fixture
def database(place: Place) -> Iterator[Engine]:
    engine = open_database(place.url)
    yield engine
    engine.dispose()


@pytest.fixture
def host(place: Place, tmp_path: Path) -> Host:
    return Host(tmp_path / "host", place)


def version_of_the_host(connection: Connection) -> Sequence[str]:
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()


def count(connection: Connection, table: str) -> int:
    number: int = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
    return number


def check_our_own(database: Engine) -> None:
    """`alembic check` of dealgate's environment; raises where the tables are not as the models have them."""
    with database.connect() as connection:
        command.check(configuration(connection))


def test_a_host_and_dealgate_migrate_beside_each_other(host: Host, database: Engine, place: Place) -> None:
    host.run("revision --autogenerate -m applications", "upgrade head")
    upgrade_database(database, place.schema)
    with Session(database) as session, session.begin():
        Gate(policy=a_policy()).submit(a_deal(), session=session)
        session.execute(text("INSERT INTO application VALUES (1)"))

    # A table with a foreign key to a decision; then everything down and up again.
    (host.environment / "host_tables.py").write_text(TABLES_OF_THE_HOST + LOAN)
    ways = ("revision --autogenerate -m loans", "upgrade head", "check", "downgrade base", "upgrade head", "check")
    assert host.run(*ways).count(NOTHING_TO_DO) == 2
    first, second = (version.read_text() for version in host.versions())
    assert "dealgate" not in first
    assert second.count("op.create_table(") == second.count("op.drop_table(") == second.count("dealgate") == 1
    check_our_own(database)
    with database.connect() as connection:
        assert current_revision(connection) == HEAD
        assert version_of_the_host(connection) not in ([], [HEAD])
        assert (count(connection, "dealgate_decision"), count(connection, "application")) == (1, 0)

    # And the other way round: what refers to a decision goes first.
    host.run("downgrade -1")
    with database.begin() as connection:
        downgrade(connection, "base")
    with database.begin() as connection:
        assert current_revision(connection) is None
        assert count(connection, "application") == 0
        assert len(version_of_the_host(connection)) == 1
    upgrade_database(database, place.schema)
    check_our_own(database)
    assert NOTHING_TO_DO in host.run("upgrade head", "check")


@pytest.mark.parametrize("place", ["sqlite", "own schema"], indirect=True)
def test_without_the_recipe_a_host_would_drop_every_table(host: Host, database: Engine, place: Place) -> None:
    upgrade_database(database, place.schema)
    host.write_env("{}")
    host.run("revision --autogenerate -m mistaken")
    mistaken = host.versions()[-1].read_text()
    for table in (*TABLES, VERSION_TABLE):
        assert f"op.drop_table('{table}'" in mistaken


class Hosts(DeclarativeBase):
    pass


class Loan(Hosts):
    __tablename__ = "loan"

    number: Mapped[int] = mapped_column(primary_key=True)
    decision_id: Mapped[str | None] = mapped_column(ForeignKey(DECISION.c.decision_id, ondelete="SET NULL"))


@pytest.mark.parametrize("place", ["sqlite", "own schema"], indirect=True)
def test_a_hosts_reference_gives_way_when_a_decision_is_purged(database: Engine, place: Place) -> None:
    upgrade_database(database, place.schema)
    Hosts.metadata.create_all(database)
    with Session(database) as session, session.begin():
        decision = submit(session, a_deal(deal_id="D-OLD"), now=LONG_AGO).decision_id
        session.add(Loan(number=1, decision_id=decision))
        record_notice(session, "D-OLD", "approval", LONG_AGO, LONG_AGO, actor="los")
    seal_all(database, a_signer())
    with Session(database) as session, session.begin():
        assert purge(session, NOW, actor="records") is not None
        assert session.get_one(Loan, 1).decision_id is None
        assert count(session.connection(), "dealgate_decision") == 0
