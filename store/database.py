"""The engine, and the one way to a transaction: for one tenant, or for none."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from store.errors import InsecureSettings

Role = Literal["api", "ledger", "operator"]
_LOCK_SECONDS = 5
_PING_SECONDS: Mapping[Role | None, float] = {"api": 1.0}  # a client waits there; a worker would rather wait longer
_SQLITE = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",  # what is deleted is written over, however this SQLite was built
    f"PRAGMA busy_timeout={_LOCK_SECONDS * 1000}",
)
_POSTGRES = {
    "lock_timeout": f"{_LOCK_SECONDS}s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
}
_DATA_EXCEPTION = "22"  # the class of SQLSTATEs


class Database:
    """One database as one role sees it; on Postgres the role's row-level security holds, on SQLite there is none.

    Roles: `api` sees one tenant's rows; `ledger` sees everybody's jobs, job_events, outbox, workers and shares, and
    one tenant's other rows; `operator` sees tenants and keys. None: whoever the URL names (migrations).
    """

    def __init__(self, url: str, role: Role | None = None, pool_size: int = 10) -> None:
        self.url = url
        self.role = role
        self.engine = _engine(url, role, pool_size)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is one file, for one machine."""
        return self.engine.dialect.name == "sqlite"

    def forget_log(self) -> None:
        """Empty SQLite's write-ahead log, as far as nobody reads: what was deleted can be read there until then."""
        if not self.is_sqlite:
            return
        connection = self.engine.raw_connection()  # outside of any transaction, in which it could not be emptied
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()

    @contextmanager
    def transaction(self, tenant_id: str | None, *, read_only: bool = False) -> Iterator[Session]:
        """Open a transaction that sees this tenant's rows; commit at the end, roll back on any error.

        `read_only` lets SQLite read beside a writer; a write in it may fail there.
        """
        with Session(self.engine, expire_on_commit=False) as session:
            session.connection(execution_options={"read_only": read_only})
            if tenant_id is not None:  # a new transaction sees no tenant's rows by itself
                act_for(session, tenant_id)
            with _committed(session):
                yield session

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def act_for(session: Session, tenant_id: str | None) -> None:
    """From here to the end of the transaction, see this tenant's rows: Postgres only, SQLite shows all."""
    session.info["tenant_id"] = tenant_id
    if session.get_bind().dialect.name == "postgresql":
        session.flush()
        session.execute(text("SELECT set_config('app.tenant', :tenant, true)"), {"tenant": tenant_id or ""})


@contextmanager
def acting_as(session: Session, role: Role) -> Iterator[None]:
    """Work as another role for some statements of a transaction: Postgres only."""
    if session.get_bind().dialect.name != "postgresql":
        yield
        return
    session.flush()
    before = session.scalar(text("SELECT current_user"))
    session.execute(text(f"SET LOCAL ROLE idprefer_{role}"))
    try:
        yield
        session.flush()
    except DBAPIError:
        raise  # the transaction is over, and the role with it
    except BaseException:
        _take_role(session, before)
        raise
    _take_role(session, before)


def _take_role(session: Session, role: str | None) -> None:
    session.execute(text("SELECT set_config('role', :role, true)"), {"role": role})


@contextmanager
def _committed(session: Session) -> Iterator[None]:
    try:
        yield
        session.commit()
    except BaseException:
        session.rollback()
        raise


def _engine(url: str, role: Role | None, pool_size: int) -> Engine:
    dialect = make_url(url).get_backend_name()
    if dialect == "sqlite":
        sizes = {"pool_size": pool_size, "max_overflow": pool_size}
        engine = create_engine(url, **sizes, hide_parameters=True, connect_args={"timeout": _LOCK_SECONDS})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if dialect == "postgresql":
        from store.patience import CONNECT_SECONDS, give_up_in_time  # lazily: embedded, the driver is never loaded

        options = " ".join(f"-c {name}={value}" for name, value in _POSTGRES.items())
        arguments = {"connect_timeout": CONNECT_SECONDS, "options": options}
        engine = create_engine(
            url, pool_size=pool_size, max_overflow=pool_size, pool_timeout=2, pool_pre_ping=True, hide_parameters=True,
            connect_args=arguments,
        )  # fmt: skip
        event.listen(engine, "handle_error", _without_values)
        give_up_in_time(engine, _PING_SECONDS.get(role, 5.0))
        if role is not None:
            event.listen(engine, "connect", _Become(role))
        return engine
    raise InsecureSettings(f"got a database of kind {dialect!r}, wanted sqlite or postgresql+psycopg; mend the URL")


def _prepare_sqlite(connection: Any, record: object) -> None:
    connection.isolation_level = None  # the driver is to begin nothing by itself
    for pragma in _SQLITE:
        connection.execute(pragma)


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail instead of waiting.
    read_only = connection.get_execution_options().get("read_only")
    connection.exec_driver_sql("BEGIN DEFERRED" if read_only else "BEGIN IMMEDIATE")


def _without_values(context: ExceptionContext) -> None:
    """Leave of what Postgres says what names no value: its details quote rows, and its data errors the value."""
    original: Any = context.original_exception
    diagnosis, shown = getattr(original, "diag", None), context.sqlalchemy_exception
    if diagnosis is None or diagnosis.message_primary is None or shown is None:
        return
    is_about_value = (diagnosis.sqlstate or "").startswith(_DATA_EXCEPTION)
    said = "a value that its column does not take" if is_about_value else diagnosis.message_primary
    shown.args = (f"({type(original).__module__}.{type(original).__name__}) {said}",)
    original.args = (said,)


class _Become:
    """Take the role on every new connection; the login must be that role or a member of it."""

    def __init__(self, role: Role) -> None:
        self._role = role

    def __call__(self, connection: DBAPIConnection, record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET ROLE idprefer_{self._role}")
        cursor.close()
        connection.commit()
