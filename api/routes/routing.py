"""How every route is declared: its scope, its problems, its answers."""

from typing import Any

from fastapi import APIRouter

from api.limits import JSON_BYTES
from api.requests import ApiRoute
from api.schemas.common import Problem

_PROBLEM = {"model": Problem, "content": {"application/problem+json": {}}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {**_PROBLEM, "description": "The request is refused, and why."},
    "5XX": {**_PROBLEM, "description": "It failed on our side."},
}


def router(tag: str) -> APIRouter:
    """Return a router of the API proper."""
    return APIRouter(prefix="/v1", tags=[tag], route_class=ApiRoute, responses=PROBLEMS)


def scope(*names: str, max_bytes: int = JSON_BYTES) -> dict[str, Any]:
    """Return what declares the scope that a route needs, or the scopes of which it needs one, and its largest body."""
    return {"x-scopes": list(names), "x-max-body-bytes": max_bytes}


def picture(description: str) -> dict[int | str, dict[str, Any]]:
    """Return the declaration of an answer that is a picture."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {
        200: {"description": description, "content": {"image/png": binary, "image/jpeg": binary, "image/webp": binary}}
    }
