"""Is it alive, is it ready, what are its numbers."""

from typing import Any

from anyio import move_on_after
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from api.dependencies import PartsOf
from api.errors import Refusal
from api.routes.routing import PROBLEMS, operation_id

_PATIENCE_SECONDS = 1.8
routes = APIRouter(tags=["health"], responses=PROBLEMS, generate_unique_id_function=operation_id)
_METRICS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


class Health(BaseModel):
    """The process is there."""

    status: str


@routes.get("/livez", response_model=Health)
async def livez() -> Health:
    """Say that this process answers, whatever else is broken."""
    return Health(status="alive")


@routes.get("/readyz", response_model=Health)
async def readyz(parts: PartsOf) -> Health:
    """Say whether database, schema and storage are there; who says nothing for long is not."""
    missing = ["answer in time"]
    with move_on_after(_PATIENCE_SECONDS):
        missing = await parts.readiness.answer()
    if missing:
        detail = f"got no {', no '.join(missing)}; wanted database, schema and storage; run `idprefer doctor`"
        raise Refusal("unavailable", detail)
    return Health(status="ready")


@routes.get("/metrics", response_class=Response, responses=_METRICS)
async def metrics(parts: PartsOf) -> Response:
    """Return this process's counters and the queues' depths."""
    return Response(await parts.figures.answer(), media_type=CONTENT_TYPE_LATEST)
