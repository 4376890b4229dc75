"""What a guard reads of a host's mapped class, and which of its rows a change of an object belongs to."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Dialect, Table, inspect, select, tuple_
from sqlalchemy.orm import (
    ColumnProperty,
    CompositeProperty,
    InstanceState,
    Mapper,
    MapperProperty,
    RelationshipProperty,
    Session,
    SynonymProperty,
    aliased,
)
from sqlalchemy.orm.base import LoaderCallableStatus
from sqlalchemy.sql.visitors import iterate

from dealgate.models.unanswered import row_key

Identity = tuple[Any, ...]
"""The primary key of a guarded row."""


@runtime_checkable
class ReadsAttributes(Protocol):
    """A mapping document: it makes a deal `document` of a dictionary of attributes, and says which it reads."""

    @property
    def reads(self) -> Collection[str]: ...

    def deal(self, payload: Mapping[str, Any], /) -> "HasDocument": ...


class HasDocument(Protocol):
    @property
    def document(self) -> Mapping[str, Any]: ...


Reader = Callable[[Any], Any] | ReadsAttributes


@dataclass
class Part:
    """A class whose objects the deal is made of; `way` are the relationships that lead to it, none to the guarded class itself."""

    way: tuple[str, ...]
    mapper: Mapper[Any]
    through: RelationshipProperty[Any] | None = None
    """The last of them."""
    fields: set[str] = field(default_factory=set)
    """The attributes that are read."""
    noticed: set[str] = field(default_factory=set)
    """Those, and the ones by which an object belongs to another."""

    def is_changed(self, state: InstanceState[Any]) -> bool:
        noticed = self.noticed or {one.key for one in state.mapper.column_attrs}
        return any(state.attrs[name].history.has_changes() for name in noticed if name in state.attrs)


class GuardedClass:
    """The parts of a class that make up its deal. Raises `ValueError` for a field that is not mapped."""

    def __init__(self, cls: type[Any], fields: Iterable[str] | None) -> None:
        self.mapper: Mapper[Any] = inspect(cls)
        self.name = cls.__name__
        for column in self.mapper.primary_key:
            if column.type.python_type not in {int, str, UUID}:
                raise ValueError(
                    f"{self.name}: the key {column.name} is no integer, text or UUID, and no trigger can note it"
                )
        self.parts: dict[tuple[str, ...], Part] = {(): Part((), self.mapper)}
        for path in fields or ():
            self._read((), path.split("."), path)
        for part in self.parts.values():
            part.noticed |= part.fields

    @property
    def table(self) -> str:
        """The table of its key, with its schema: the one to watch."""
        return str(self.root.fullname)

    @property
    def root(self) -> Table:
        return next(table for table in self.mapper.tables if self.mapper.primary_key[0].table is table)

    # Fields

    def _read(self, way: tuple[str, ...], names: Sequence[str], path: str) -> None:
        part = self.parts[way]
        if not names:
            part.fields |= {one.key for one in part.mapper.column_attrs}
            return
        for one in self._properties(part.mapper, names[0], path):
            part.fields.add(one.key)
            part.noticed |= self._made_of(one, path)
            if isinstance(one, RelationshipProperty):
                self._follow(part, one)
                self._read((*way, one.key), names[1:], path)

    def _follow(self, part: Part, relationship: RelationshipProperty[Any]) -> None:
        way = (*part.way, relationship.key)
        child = self.parts.setdefault(way, Part(way, relationship.mapper, relationship))
        joined = [join for join in (relationship.primaryjoin, relationship.secondaryjoin) if join is not None]
        both = {column for join in joined for column in _columns_in(join)}
        part.noticed |= _attributes_on(_holder(part.mapper, relationship), both)
        child.noticed |= _attributes_on(child.mapper, both)
        child.noticed |= {back.key for back in child.mapper.relationships if back.mapper.common_parent(part.mapper)}

    def _properties(self, mapper: Mapper[Any], name: str, path: str) -> Iterator[MapperProperty[Any]]:
        found = next((one.attrs[name] for one in mapper.self_and_descendants if name in one.attrs), None)
        if isinstance(found, SynonymProperty):
            yield from self._properties(mapper, found.name, path)
        elif isinstance(found, CompositeProperty):
            yield from found.props
        elif found is not None:
            yield found
        else:
            raise ValueError(
                f"{path!r}: {mapper.class_.__name__} has no mapped attribute {name!r}. Name columns and relationships in "
                "fields=[...]; of a property, name the columns that it is made of"
            )

    def _made_of(self, one: MapperProperty[Any], path: str) -> set[str]:
        """The attributes that what the database works out is made of; nobody sets it, so they are what changes."""
        if not isinstance(one, ColumnProperty):
            return set()
        columns = {column for expression in one.columns for column in _columns_in(expression)}
        for table, computed in [(column.table, column.computed) for column in columns if column.computed]:
            text = str(computed.sqltext).casefold()
            columns |= {column for column in table.columns if column.name.casefold() in text}
        if columns and {column.table for column in columns} <= set(one.parent.tables):
            return _attributes_on(one.parent, columns)
        raise ValueError(
            f"{path!r}: {one.parent.class_.__name__}.{one.key} is worked out by the database from what nobody can tell. Name the "
            "columns that it is made of in fields=[...], those of related classes too"
        )

    def watched(self) -> Mapping[str, set[str]]:
        """The columns that a watch has to look at, by table."""
        columns: dict[str, set[str]] = {}
        for part in self.parts.values():
            for attribute in (one for mapper in part.mapper.self_and_descendants for one in mapper.column_attrs):
                for column in attribute.columns:
                    if isinstance(column.table, Table) and (not part.noticed or attribute.key in part.noticed):
                        columns.setdefault(str(column.table.fullname), set()).add(column.name)
            if part.through is not None and isinstance(part.through.secondary, Table):
                between = part.through.secondary
                columns[str(between.fullname)] = {one.name for one in between.columns}
        return columns

    # Rows

    def identity(self, instance: object) -> Identity:
        return tuple(self.mapper.primary_key_from_instance(instance))

    def row_key(self, identity: Identity, dialect: Dialect) -> str:
        """As the triggers write it."""
        return row_key([_stored(*one, dialect) for one in zip(identity, self.mapper.primary_key, strict=True)])

    def identity_of(self, key: Sequence[Any], dialect: Dialect) -> Identity:
        """The key that a trigger wrote, as the class has it."""
        return tuple(_loaded(*one, dialect) for one in zip(key, self.mapper.primary_key, strict=True))

    def condition(self, identity: Identity) -> ColumnElement[bool]:
        return _among(self.mapper.primary_key, [identity])

    def touched(
        self, objects: Iterable[object], whole: Collection[object]
    ) -> Mapping[tuple[str, ...], list[InstanceState[Any]]]:
        """The objects that are part of a deal and changed in what it reads, or came or go as a `whole`; by part."""
        found: dict[tuple[str, ...], list[InstanceState[Any]]] = {}
        for one in objects:
            state: InstanceState[Any] = inspect(one)
            for way, part in self.parts.items():
                if state.mapper.isa(part.mapper) and (one in whole or part.is_changed(state)):
                    found.setdefault(way, []).append(state)
        return found

    def owners(self, reading: Session, way: tuple[str, ...], states: Iterable[InstanceState[Any]]) -> set[Identity]:
        """The guarded rows that objects are part of, as the database has it now."""
        keys = [key for state in states for key in _keys(state)]
        if not keys:
            return set()
        if not way:
            return set(keys)
        steps = [self.parts[way[: number + 1]].through for number in range(len(way))]
        root: Any = aliased(_holder(self.mapper, steps[0]))
        statement, above = select(*(getattr(root, one) for one in self._key_names)).select_from(root), root
        for name, then in zip(way, [*steps[1:], None], strict=True):
            attribute: Any = getattr(above, name)
            above = aliased(_holder(attribute.property.mapper, then))
            statement = statement.join(attribute.of_type(above))
        primary = inspect(above).mapper.primary_key
        columns = [getattr(above, inspect(above).mapper.get_property_by_column(column).key) for column in primary]
        rows = reading.execute(statement.where(_among(columns, keys)).distinct())
        return {tuple(row) for row in rows}

    @property
    def _key_names(self) -> list[str]:
        return [self.mapper.get_property_by_column(column).key for column in self.mapper.primary_key]

    # The deal's document

    def payload(self, instance: object, way: tuple[str, ...] = ()) -> dict[str, Any]:
        """The attributes that are read, as a mapping document takes them: objects as dictionaries, lists of them as lists."""
        part = self.parts[way]
        names = part.fields or {one.key for one in inspect(instance).mapper.column_attrs}
        return {name: self._value(getattr(instance, name, None), (*way, name)) for name in sorted(names)}

    def _value(self, value: Any, way: tuple[str, ...]) -> Any:
        if way not in self.parts or value is None:
            return value
        if isinstance(inspect(value, raiseerr=False), InstanceState):
            return self.payload(value, way)
        members = value.values() if isinstance(value, Mapping) else value
        return [self.payload(one, way) for one in members]


def _holder(mapper: Mapper[Any], relationship: RelationshipProperty[Any] | None) -> Mapper[Any]:
    """The class that has a relationship, or one of its subclasses where only that has it."""
    if relationship is not None and relationship.parent.isa(mapper):
        return relationship.parent
    return mapper


def _columns_in(expression: Any) -> set[Column[Any]]:
    """The columns of tables that an expression names."""
    return {found for found in iterate(expression) if isinstance(found, Column)}


def _attributes_on(mapper: Mapper[Any], columns: Collection[Column[Any]]) -> set[str]:
    return {attribute.key for attribute in mapper.column_attrs if any(one in columns for one in attribute.columns)}


def _keys(state: InstanceState[Any]) -> set[Identity]:
    """The key of an object; both while it changes, and that of a row that was written a moment ago."""
    keys = {tuple(state.identity)} if state.identity else set()
    instance = state.obj()
    if instance is not None:
        keys.add(tuple(state.mapper.primary_key_from_instance(instance)))
    return {key for key in keys if not any(part is None or isinstance(part, LoaderCallableStatus) for part in key)}


def _stored(value: Any, column: ColumnElement[Any], dialect: Dialect) -> int | str:
    bind = column.type.dialect_impl(dialect).bind_processor(dialect)
    value = bind(value) if bind else value
    return value if isinstance(value, int) else str(value)


def _loaded(value: Any, column: ColumnElement[Any], dialect: Dialect) -> Any:
    result = column.type.dialect_impl(dialect).result_processor(dialect, None)
    value = result(value) if result else value
    return UUID(value) if column.type.python_type is UUID and isinstance(value, str) else value


def _among(columns: Sequence[Any], keys: Sequence[Identity]) -> ColumnElement[bool]:
    if len(columns) == 1:
        return columns[0].in_([key[0] for key in keys])  # type: ignore[no-any-return]
    return tuple_(*columns).in_(keys)
