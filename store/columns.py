"""The columns' own types, and the database's clock, alike on SQLite and Postgres."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import DateTime, Double, ForeignKey, ForeignKeyConstraint, MetaData
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import JSON, TypeDecorator

from store.ids import new_id

DAY_SECONDS = 86_400.0
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Instant(TypeDecorator[datetime]):
    """A moment in UTC: timestamptz on Postgres, text on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment as the database keeps it."""
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment as people here know it: aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Every table's base."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {datetime: Instant, dict[str, Any]: JSON, list[str]: JSON, list[float]: JSON, float: Double}


class now(FunctionElement[datetime]):
    """The database's clock, plus some seconds: `now()`, `now(15)`, `now(Restoration.expires_in)`."""

    type = Instant()
    inherit_cache = True
    name = "now"

    def __init__(self, seconds: Any = 0.0) -> None:
        super().__init__(seconds)


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', ({compiler.process(element.clauses, **kw)}) || ' seconds')"


@compiles(now, "postgresql")
def _now_postgresql(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    return f"(statement_timestamp() + make_interval(secs => ({seconds})::double precision))"


class age(FunctionElement[float]):
    """Seconds from a moment until now."""

    type = Double()
    inherit_cache = True
    name = "age"


@compiles(age, "sqlite")
def _age_sqlite(element: age, compiler: SQLCompiler, **kw: Any) -> str:
    return f"((julianday('now') - julianday({compiler.process(element.clauses, **kw)})) * 86400.0)"


@compiles(age, "postgresql")
def _age_postgresql(element: age, compiler: SQLCompiler, **kw: Any) -> str:
    return f"extract(epoch from statement_timestamp() - {compiler.process(element.clauses, **kw)})::double precision"


class Owned(Base):
    """A row of a tenant."""

    __abstract__ = True
    prefix: ClassVar[str]
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(Instant, default=now())

    @declared_attr
    def id(cls) -> Mapped[str]:
        """Return the second half of the key."""
        return mapped_column(primary_key=True, default=lambda: new_id(cls.prefix))


class Removable:
    """A row of which a tombstone stays."""

    removed_at: Mapped[datetime | None] = mapped_column(Instant)


def one(column: str, table: str, on_delete: str | None = None) -> ForeignKeyConstraint:
    """Return the reference to another row of the same tenant."""
    return ForeignKeyConstraint(["tenant_id", column], [f"{table}.tenant_id", f"{table}.id"], ondelete=on_delete)
