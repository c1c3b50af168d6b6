"""What endpoints ask for: the application's parts, the key at work, one transaction, one effect per key."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from inspect import signature
from typing import Annotated, Any, TypeVar, cast

from anyio import to_thread
from fastapi import Depends, Header, Request
from sqlalchemy.orm import Session

from api.auth import Principal
from api.errors import Refusal, absent
from api.idempotency import Answer, Replay, kept, mismatch
from api.parts import Parts
from api.requests import ApiRequest
from store import audit, queries, replays
from store.columns import Owned

Row = TypeVar("Row", bound=Owned)
ID = re.compile(r"[a-z]{2,8}_[0-9a-z]{20,40}")


@dataclass
class Work:
    """One request's transaction, on behalf of one tenant."""

    session: Session
    principal: Principal
    parts: Parts
    request: ApiRequest
    rings: set[str] = field(default_factory=set)

    @property
    def tenant_id(self) -> str:
        """Return the tenant whose rows this may see."""
        return self.principal.tenant_id

    def ring(self, kind: str) -> None:
        """Wake a worker of this kind once the transaction has committed."""
        self.rings.add(kind)

    def audit(self, action: str, target: str | None, **details: Any) -> None:
        """Write what was done into the tenant's log, in the same transaction."""
        audit.record(self.session, self.tenant_id, self.principal.key_id, action, target, **details)


@dataclass(frozen=True)
class OneEffect:
    """A request under its Idempotency-Key, claimed in its own transaction."""

    work: Work
    key: str | None

    def keep(self, answer: Answer) -> Answer:
        """Keep the answer for replays, and return it."""
        if self.key is not None:
            headers = dict(answer.headers)
            replays.keep(self.work.session, self.work.tenant_id, self.key, answer.status, kept(answer.body), headers)
        return answer


def parts_of(request: Request) -> Parts:
    """Return the application's parts."""
    return cast(Parts, request.app.state.parts)


def principal_of(request: Request) -> Principal:
    """Return the key that the middleware let in."""
    return cast(Principal, request.scope["principal"])


@contextmanager
def working(request: Request, *, read_only: bool = False) -> Iterator[Work]:
    """Open this request's transaction; when it has committed, ring for what it queued."""
    parts, principal = parts_of(request), principal_of(request)
    with parts.database.transaction(principal.tenant_id, read_only=read_only) as session:
        work = Work(session, principal, parts, cast(ApiRequest, request))
        yield work
    for kind in sorted(work.rings):
        parts.doorbell.wake(kind)


async def _request(request: Request) -> Request:
    return request


async def _parts(request: Request) -> Parts:
    return parts_of(request)


async def _principal(request: Request) -> Principal:
    return principal_of(request)


PartsOf = Annotated[Parts, Depends(_parts)]
Key = Annotated[Principal, Depends(_principal)]
Tx = Annotated[Work, Depends(_request)]
"""What an endpoint's `work` is; `in_one_transaction` makes it of the request."""
IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=200, pattern=r"^[!-~]+$", description="Equal requests with it have one effect."),
]


def begin(work: Work, key: str | None) -> OneEffect:
    """Claim the request's Idempotency-Key; answer as before if it has been used."""
    if key is None:
        return OneEffect(work, None)
    fingerprint = work.request.fingerprint
    earlier = replays.claim(work.session, work.tenant_id, key, fingerprint)
    if earlier is None:
        return OneEffect(work, key)
    if earlier.fingerprint != fingerprint:
        raise mismatch()
    if earlier.status is None:
        raise Refusal("idempotency_in_flight", "got a request whose twin still runs; wanted it over; send it again")
    raise Replay(Answer(earlier.status, earlier.body, earlier.headers or {}, replayed=True))


async def _key(idempotency_key: IdempotencyKey = None) -> str | None:
    return idempotency_key


Once = Annotated[OneEffect, Depends(_key)]
"""What an endpoint's `once` is, beside `work`; `in_one_transaction` makes it of the header."""


def in_one_transaction(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Let an endpoint that asks for `work` run from the transaction's begin to its commit by one call in a thread."""
    if "work" not in signature(endpoint).parameters:
        return endpoint

    def run(arguments: dict[str, Any]) -> Any:
        request: Request = arguments["work"]
        with working(request, read_only=request.method == "GET") as work:
            given: dict[str, Any] = {"work": work}
            if "once" in arguments:
                given["once"] = begin(work, arguments["once"])
            return endpoint(**{**arguments, **given})

    @wraps(endpoint)
    async def run_in_thread(**arguments: Any) -> Any:
        return await to_thread.run_sync(run, arguments)

    return run_in_thread


def own(work: Work, model: type[Row], row_id: str) -> Row:
    """Return the tenant's row of this id, or answer 404: as for any id that does not exist."""
    row = queries.one(work.session, model, work.tenant_id, row_id) if ID.fullmatch(row_id) else None
    if row is None:
        raise absent(model.__name__.lower())
    return row
