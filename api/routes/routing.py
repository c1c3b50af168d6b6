"""How every route is declared: its scope, its problems, its answers."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

from api.dependencies import in_one_transaction
from api.limits import JSON_BYTES
from api.requests import ApiRoute
from api.schemas.common import Problem

_PROBLEM = {"model": Problem, "content": {"application/problem+json": {}}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {**_PROBLEM, "description": "The request is refused, and why."},
    "5XX": {**_PROBLEM, "description": "It failed on our side."},
}


class _Route(ApiRoute):
    """A route whose endpoint runs in one transaction, if it asks for one."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **declared: Any) -> None:
        super().__init__(path, in_one_transaction(endpoint), **declared)


def router(tag: str) -> APIRouter:
    """Return a router of the API proper."""
    return APIRouter(
        prefix="/v1", tags=[tag], route_class=_Route, responses=PROBLEMS, generate_unique_id_function=operation_id
    )


def operation_id(route: APIRoute) -> str:
    """Return the stable name of an operation: its endpoint's."""
    return route.name


def scope(*names: str, max_bytes: int = JSON_BYTES) -> dict[str, Any]:
    """Return what declares the scope that a route needs, or the scopes of which it needs one, and its largest body."""
    return {"x-scopes": list(names), "x-max-body-bytes": max_bytes}


def picture(description: str) -> dict[int | str, dict[str, Any]]:
    """Return the declaration of an answer that is a picture."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {
        200: {"description": description, "content": {"image/png": binary, "image/jpeg": binary, "image/webp": binary}}
    }
