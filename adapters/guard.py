"""A guard on a host's mapped class: every change of what the deal is made of is decided in the transaction that makes it."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from traceback import clear_frames
from typing import Any, Literal
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import Connection, Engine, UpdateBase, event, inspect
from sqlalchemy.exc import StatementError, UnboundExecutionError
from sqlalchemy.orm import InstanceState, ORMExecuteState, Session, SessionTransaction, UOWTransaction, object_session
from sqlalchemy.sql.visitors import iterate

from dealgate.adapters.database import READS_ONLY
from dealgate.adapters.declined import DeclinedError, UnwatchedError
from dealgate.adapters.guarded_class import GuardedClass, Identity, Reader, ReadsAttributes
from dealgate.adapters.guarded_rows import LISTENING, Actor, Answered, GuardedRows, Judge, Reading, Standing, reading_on
from dealgate.migrations.watching import watched_columns
from dealgate.models import UnansweredChange, find_recorded
from dealgate.models.last_decision import REFUSED
from dealgate.models.unanswered import Change, last_number, noted_here, unanswered
from dealgate.rules.deal import Deal

OnDecline = Literal["record", "raise"]

log = logging.getLogger("dealgate")


def record_declined(judge: Judge, error: DeclinedError, database: Engine | Connection) -> None:
    """In a transaction of its own, unless the decision is in the database; in that of the host's connection, where the session ran in
    one that goes on. What becomes of that nobody knows yet: it is not called recorded.
    """
    if error.recorded:
        return
    attempt = error.attempt._replace(key=REFUSED + error.attempt.entry_id)
    if isinstance(database, Connection) and database.in_transaction():
        recorded = find_recorded(database, error.decision_id) or judge.record(database, attempt)
        error.decision = recorded.decision
        return
    with database.engine.connect().execution_options(**{READS_ONLY: True}) as connection:
        found = find_recorded(connection, error.decision_id)
    recorded = found or judge.keep(database.engine, attempt)
    error.recorded, error.decision = True, recorded.decision


def _changed_by(statement: Any) -> set[str]:
    """The tables that a statement changes: also where it returns rows as objects, goes by an alias, or hides in a WITH of another."""
    tables: list[Any] = [one.table for one in iterate(statement) if isinstance(one, UpdateBase)]
    plain = [getattr(table, "element", table) for table in tables]
    return {str(getattr(table, "fullname", table.name)) for table in plain}


class _Transaction:
    """What a guard keeps in mind of a session's transaction."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.noted_before = 0
        self.owners: set[Identity] = set()
        """Of objects that are about to change, as the database had it before the flush."""
        self.asked: set[InstanceState[Any]] = set()
        """The objects that they were looked up for."""
        self.refused: list[DeclinedError] = []


class Guard:
    """Listens to every session of the process until `stop`. Made by `Gate.guard`."""

    def __init__(
        self,
        judge: Judge,
        cls: type[Any],
        read: Reader,
        fields: Iterable[str] | None,
        on_decline: OnDecline,
        actor: Actor,
    ) -> None:
        if on_decline not in {"record", "raise"}:
            raise ValueError(f"on_decline is {on_decline!r}: give 'record' or 'raise'")
        if fields is None and isinstance(read, ReadsAttributes):
            fields = read.reads
        self.guarded = GuardedClass(cls, fields)
        self._read_columns = self.guarded.watched()
        self.rows = GuardedRows(judge, self.guarded, read, actor, veto=on_decline == "raise")
        self._judge = judge
        self._transactions: WeakKeyDictionary[Session, _Transaction] = WeakKeyDictionary()
        self._ready: WeakSet[Engine] = WeakSet()
        """Engines of databases that dealgate's tables were seen in."""
        self._remarked: WeakSet[Engine] = WeakSet()
        self._listeners: dict[str, Callable[..., None]] = {
            "after_begin": self._after_begin,
            "before_flush": self._before_flush,
            "after_flush": self._after_flush,
            "do_orm_execute": self._do_orm_execute,
            "before_commit": self._before_commit,
            "after_transaction_end": self._after_transaction_end,
        }
        for name, listener in self._listeners.items():
            event.listen(Session, name, listener)
        for mapper in {part.mapper for part in self.guarded.parts.values()}:
            event.listen(mapper, "before_update", self._before_update, propagate=True)
            event.listen(mapper, "before_delete", self._before_delete, propagate=True)
        LISTENING.append(self.rows)

    @property
    def listens(self) -> bool:
        return self.rows in LISTENING

    def stop(self) -> None:
        """Listen no more."""
        if not self.listens:
            return
        LISTENING.remove(self.rows)
        for name, listener in self._listeners.items():
            event.remove(Session, name, listener)
        for mapper in {part.mapper for part in self.guarded.parts.values()}:
            event.remove(mapper, "before_update", self._before_update)
            event.remove(mapper, "before_delete", self._before_delete)

    # What a host asks

    def unanswered(self, session: Session | Connection) -> list[Change]:
        return unanswered(self._connection(session), self.guarded.table)

    def answer(self, session: Session | Connection, actor: str, most: int | None = None) -> list[Answered]:
        return list(self.rows.sweep(self._connection(session), actor, most))

    def deal(self, instance: object, session: Session) -> Deal:
        session.flush()
        return self.rows.deal(self._connection(session), self.guarded.identity(instance))

    def check(self, instance: object, session: Session) -> Standing:
        session.flush()
        return self.rows.standing(self._connection(session), self.guarded.identity(instance))

    # The session's events

    def _after_begin(self, session: Session, _: SessionTransaction, connection: Connection) -> None:
        if isinstance(session, Reading) or not self._is_ours(session, connection):
            return
        transaction = self._transaction(session)
        if not transaction.connections and connection.dialect.name == "sqlite" and self._is_ready(connection):
            transaction.noted_before = last_number(connection)
        transaction.connections.add(connection)

    def _before_flush(self, session: Session, _context: UOWTransaction, _objects: Any) -> None:
        if not isinstance(session, Reading):
            transaction = self._transaction(session)
            transaction.asked = set()
            transaction.owners = self._owners(session, [*session.dirty, *session.deleted], session.deleted)

    def _before_update(self, _mapper: object, _connection: object, changed: object) -> None:
        self._before_write(changed, ())

    def _before_delete(self, _mapper: object, _connection: object, deleted: object) -> None:
        self._before_write(deleted, (deleted,))

    def _before_write(self, one: object, whole: Collection[object]) -> None:
        """A listener of the host's may change objects once ours has been called: the owners of those are looked up now."""
        session = object_session(one)
        if session is None or isinstance(session, Reading):
            return
        transaction = self._transaction(session)
        if inspect(one) not in transaction.asked:
            transaction.owners |= self._owners(session, [one], whole)

    def _after_flush(self, session: Session, _context: UOWTransaction) -> None:
        if isinstance(session, Reading):
            return
        transaction = self._transaction(session)
        gone_and_new = session.new.union(session.deleted)
        identities = self._owners(session, [*session.dirty, *gone_and_new], gone_and_new) | transaction.owners
        transaction.owners = set()
        if identities:
            self._decide(session, identities)

    def _do_orm_execute(self, state: ORMExecuteState) -> None:
        """A statement changes rows that no session has seen. Where triggers note which, they are decided before the commit."""
        if isinstance(state.session, Reading):
            return
        for name in sorted(_changed_by(state.statement) & self._read_columns.keys()):
            watched = watched_columns(self._connection(state.session), self.guarded.table).get(name, set())
            if missing := sorted(self._read_columns[name] - watched):
                raise UnwatchedError(
                    f"this statement changes {name}, whose {', '.join(missing)} {self.guarded.name} is decided on, and nobody can tell "
                    "which rows: call "
                    f"dealgate.migrations.watching.watch(connection, {self.guarded.table!r}, ...) in a revision of yours, or load the "
                    "objects and change those"
                )

    def _before_commit(self, session: Session) -> None:
        """What was changed past the session, in its own transaction, is decided in it too.

        Also while a savepoint is open: the root may be committed over it, and what is decided already is not decided again.
        """
        if isinstance(session, Reading):
            return
        transaction = self._transactions.get(session)
        if transaction is None or not transaction.connections:
            return
        session.flush()
        connection = self._connection(session)
        noted = self._noted_here(session, connection)
        identities = {self.guarded.identity_of(change.key, connection.dialect) for change in noted}
        if identities:
            self._decide(session, identities)

    def _after_transaction_end(self, session: Session, ended: SessionTransaction) -> None:
        if ended.parent is not None or isinstance(session, Reading):
            return
        interrupted = [
            self._record_refused(error, one)
            for one in (session, *self._cut_off())
            for error in (self._transactions.pop(one, None) or _Transaction()).refused
        ]
        for interruption in filter(None, interrupted):
            raise interruption

    def _cut_off(self) -> Iterator[Session]:
        """Sessions whose transaction ended in an interruption, such as that the task was cancelled in the midst of the rollback: their
        end is told by no event.
        """
        for reference in self._transactions.keyrefs():
            session = reference()
            if session is not None and not session.in_transaction():
                yield session

    def _record_refused(self, error: DeclinedError, session: Session) -> BaseException | None:
        """Returns what interrupted it, such as that the task was cancelled: the attempt is recorded first, in a second go."""
        interrupted: BaseException | None = None
        for _ in range(2):
            try:
                record_declined(self._judge, error, session.get_bind(self.guarded.mapper))
                return interrupted
            except Exception as failure:
                self._tell_unrecorded(error, failure)
                return interrupted
            except BaseException as failure:
                clear_frames(failure.__traceback__)  # a cursor in them would keep SQLite's lock
                interrupted = failure
        self._tell_unrecorded(error, interrupted)
        return interrupted

    @staticmethod
    def _tell_unrecorded(error: DeclinedError, failure: BaseException | None) -> None:
        if isinstance(failure, StatementError):
            failure.hide_parameters = True  # what was to be stored is no business of a log
        deal_id = error.decision["deal_id"]
        log.critical("refused deal %s is not recorded yet: call gate.record_declined(error)", deal_id, exc_info=failure)

    # Behind them

    def _decide(self, session: Session, identities: Iterable[Identity]) -> None:
        connection = self._connection(session)
        self._remark(connection)
        noted = self._noted_here(session, connection)
        try:
            for answered in self.rows.decide(connection, identities):
                self.rows.tell_of_earlier(connection, answered, noted)
        except DeclinedError as error:
            error.engine = connection.engine
            self._transaction(session).refused.append(error)
            raise

    def _noted_here(self, session: Session, connection: Connection) -> list[Change]:
        if not self._is_ready(connection):
            return []
        return noted_here(connection, self.guarded.table, self._transaction(session).noted_before)

    def _owners(self, session: Session, objects: Sequence[object], whole: Any) -> set[Identity]:
        """The guarded rows that changed objects are part of."""
        touched = self.guarded.touched(objects, whole)
        self._transaction(session).asked.update(*touched.values())
        if not touched:
            return set()
        with reading_on(self._connection(session)) as reading:
            return set().union(*(self.guarded.owners(reading, way, states) for way, states in touched.items()))

    def _remark(self, connection: Connection) -> None:
        """Once: the guard sees what sessions flush; what goes past them, only the triggers see."""
        if connection.engine in self._remarked:
            return
        self._remarked.add(connection.engine)
        watched = watched_columns(connection, self.guarded.table)
        for table, columns in sorted(self._read_columns.items()):
            if missing := sorted(columns - watched.get(table, set())):
                log.warning(
                    "%s is guarded, but %s (%s) is not watched: changes past the session are not seen there",
                    self.guarded.name,
                    table,
                    ", ".join(missing),
                )

    def _transaction(self, session: Session) -> _Transaction:
        return self._transactions.setdefault(session, _Transaction())

    def _connection(self, session: Session | Connection) -> Connection:
        if isinstance(session, Connection):
            return session
        return session.connection(bind_arguments={"mapper": self.guarded.mapper})

    def _is_ours(self, session: Session, connection: Connection) -> bool:
        try:
            return session.get_bind(self.guarded.mapper).engine is connection.engine
        except UnboundExecutionError:
            return False

    def _is_ready(self, connection: Connection) -> bool:
        if connection.engine not in self._ready and inspect(connection).has_table(UnansweredChange.__tablename__):
            self._ready.add(connection.engine)
        return connection.engine in self._ready
