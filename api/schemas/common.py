"""What the schemas share: strict input, plain text without control characters, times, the problem."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

PLAIN = r"^[^\u0000-\u001f\u007f]*$"
"""No control characters: names go into logs and pages."""
_FIRST_YEAR, _LAST_YEAR = 1970, 2200
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$", re.IGNORECASE)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _written_out(moment: Any) -> Any:
    if not _RFC3339.match(str(moment)):
        raise ValueError("wanted a moment as RFC 3339 writes it, such as 2026-01-31T12:00:00Z")
    return moment


def _of_our_time(moment: datetime) -> datetime:
    if not _FIRST_YEAR <= moment.year < _LAST_YEAR:
        raise ValueError(f"wanted a moment of the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return moment


Moment = Annotated[datetime, AfterValidator(_aware)]
GivenMoment = Annotated[Moment, BeforeValidator(_written_out), AfterValidator(_of_our_time)]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=PLAIN)]
Text = Annotated[str, Field(max_length=2000, pattern=PLAIN)]
Identifier = Annotated[str, Field(max_length=80, pattern=PLAIN)]
Seconds = Annotated[int, Field(ge=60, le=315_360_000)]


class Input(BaseModel):
    """A request body: unknown fields and wrong types are refused, never dropped or converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Output(BaseModel):
    """A response body, read from a row."""

    model_config = ConfigDict(from_attributes=True)


class FieldProblem(BaseModel):
    """One field that does not fit, by its JSON pointer."""

    pointer: str
    detail: str


class Problem(BaseModel):
    """RFC 9457: what was got, what was wanted, what to do."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    retryable: bool
    errors: list[FieldProblem] = []


class Links(BaseModel):
    """Where a job leads."""

    self: str
    events: str
    cancel: str
    result: str | None


Json = dict[str, Any]
