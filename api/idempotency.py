"""One effect for one Idempotency-Key: its row is written in the request's own transaction."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.errors import Refusal

SECRETS = frozenset({"key", "secret"})
"""Fields that are shown once; what is kept for replays leaves them out."""


@dataclass(frozen=True)
class Answer:
    """A status, a body and headers: what is sent, and what a replay sends again."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    replayed: bool = False

    def now(self, status: int, shown: BaseModel) -> "Answer":
        """Return the answer of a request that waited: how things stand by now."""
        headers = {name: value for name, value in self.headers.items() if name != "Retry-After"}
        return Answer(status, shown.model_dump(mode="json"), headers, self.replayed)

    def response(self) -> Response:
        """Return it as JSON; a replay is marked."""
        marked = {"Idempotent-Replayed": "true"} if self.replayed else {}
        return JSONResponse(self.body, self.status, {**self.headers, **marked})


@dataclass(eq=False)
class Replay(Exception):
    """The request has been answered before: roll back, and answer the same again."""

    answer: Answer


def again(request: Request, error: Exception) -> Response:
    """Answer a request whose effect is there already as the first time."""
    assert isinstance(error, Replay)
    return error.answer.response()


def answered(status: int, shown: BaseModel, **headers: str) -> Answer:
    """Return an answer that shows a model."""
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return Answer(status, shown.model_dump(mode="json"), named)


def kept(body: Any) -> Any:
    """Return a body without its secrets, for keeping."""
    if isinstance(body, dict):
        return {name: None if name in SECRETS else kept(value) for name, value in body.items()}
    return [kept(value) for value in body] if isinstance(body, list) else body


def mismatch() -> Refusal:
    """Return the refusal of a key that another request has used."""
    detail = "got an Idempotency-Key that belongs to a request with another content; wanted a new key for it"
    return Refusal("idempotency_mismatch", detail)
