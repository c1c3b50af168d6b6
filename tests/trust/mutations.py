"""The service, deliberately broken: without the application's tenant filters, the database's policies, or both."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Engine, event

from migrations.rights_0005 import OF_TENANT

_FILTER = re.compile(r"(?:\w+\.)?tenant_id = %\(\w+\)s(?:::\w+)?")
"""`tenant_id = <a value that the application gives>`, as it reaches the driver."""
_SHUT = (*OF_TENANT, "tenants", "workers")


@dataclass
class Removed:
    """How many filters were taken out of the statements so far."""

    count: int = 0


@contextmanager
def without_filters(engine: Engine) -> Iterator[Removed]:
    """Take every tenant filter out of every statement on its way to the database, wherever the code wrote it."""
    removed = Removed()

    def mutilate(
        connection: object, cursor: object, statement: str, parameters: Any, context: object, many: bool
    ) -> tuple[str, Any]:
        head, where, conditions = statement.partition("WHERE")
        conditions, count = _FILTER.subn("TRUE", conditions)
        removed.count += count
        return head + where + conditions, parameters

    event.listen(engine, "before_cursor_execute", mutilate, retval=True)
    try:
        yield removed
    finally:
        event.remove(engine, "before_cursor_execute", mutilate)


@contextmanager
def without_policies(url: str) -> Iterator[None]:
    """Switch row-level security off on every table, as the tables' owner could."""
    _switch(url, "NO FORCE", "DISABLE")
    try:
        yield
    finally:
        _switch(url, "FORCE", "ENABLE")


def _switch(url: str, force: str, enable: str) -> None:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for table in _SHUT:
            connection.execute(f"ALTER TABLE {table} {force} ROW LEVEL SECURITY, {enable} ROW LEVEL SECURITY".encode())
