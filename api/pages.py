"""Keyset pages: ids are time-ordered, so the last id of a page is the cursor to the next."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel

from api.dependencies import ID, Row, Work
from api.errors import Refusal
from store import queries

Item = TypeVar("Item", bound=BaseModel)

Limit = Annotated[int, Query(ge=1, le=100, description="How many to return at most.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")]


class Page(BaseModel, Generic[Item]):
    """One page of a list, newest first."""

    data: list[Item]
    has_more: bool
    next_cursor: str | None


def encode_cursor(last_id: str) -> str:
    """Return the opaque cursor that continues after an id."""
    return base64.urlsafe_b64encode(last_id.encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> str | None:
    """Return the id that a cursor continues after."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    if not ID.fullmatch(text):
        raise Refusal("invalid_cursor", "got a cursor of another shape; wanted next_cursor of the page before, as is")
    return text


def paged(rows: Sequence[Any], shown: Callable[[Any], Item], limit: int) -> Page[Item]:
    """Return a page of rows of which one more than the limit was asked for."""
    more = len(rows) > limit
    data = [shown(row) for row in rows[:limit]]
    return Page(data=data, has_more=more, next_cursor=encode_cursor(rows[limit - 1].id) if more else None)


def page(
    work: Work, model: type[Row], shown: Callable[[Row], Item], limit: int, cursor: str | None, **equal: Any
) -> Page[Item]:
    """Return a page of the tenant's rows, newest first."""
    rows = queries.rows(work.session, model, work.tenant_id, limit, decode_cursor(cursor), **equal)
    return paged(rows, shown, limit)
