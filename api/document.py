"""The OpenAPI document: what the framework derives, and what only we know: keys, and the bodies of restorations."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.auth import COOKIE
from api.schemas.restorations import NewRestoration

_REFERENCE = "#/components/schemas/{model}"
_ONE_PERSON = [{"required": ["identity_id"]}, {"required": ["faces"]}]
_SECURITY = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key: idr_live_<id>_<secret>."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "The studio's session; unsafe requests need X-CSRF-Token besides.",
    },
}


def describe(app: FastAPI) -> None:
    """Make the application serve the whole document."""

    def document() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = _whole(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # the framework's own way


def _whole(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
    )
    components = found["components"]
    components["securitySchemes"] = _SECURITY
    components["schemas"].update(_restoration_bodies())
    for path, operations in found["paths"].items():
        for operation in operations.values():
            if path.startswith("/v1"):
                operation["security"] = [{"key": []}, {"session": []}]
    return found


def _restoration_bodies() -> dict[str, Any]:
    """Return the two shapes of a restoration request: JSON that names an upload, a form that brings the photo."""
    schema = NewRestoration.model_json_schema(ref_template=_REFERENCE)
    parts = schema.pop("$defs")
    properties = schema.pop("properties")
    shared = {name: part for name, part in properties.items() if name != "upload_id"}
    as_json = {**schema, "properties": properties, "required": ["upload_id"], "oneOf": _ONE_PERSON}
    form = {
        **schema,
        "title": "NewRestorationForm",
        "properties": {
            **{name: _as_field(part) for name, part in shared.items()},
            "faces": {"type": "string", "contentMediaType": "application/json", "description": "FaceChoice[] as JSON."},
            "image": {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP or HEIC, at most 20 MiB."},
        },
        "required": ["image"],
        "oneOf": _ONE_PERSON,
    }
    return {**parts, "NewRestoration": _without_null(as_json), "NewRestorationForm": form}


def _as_field(part: dict[str, Any]) -> dict[str, Any]:
    """Return a property as a form field has it: it is there or not, but never null."""
    arms = [arm for arm in part.get("anyOf", []) if arm.get("type") != "null"]
    rest = {name: value for name, value in part.items() if name not in {"anyOf", "default"} or value is not None}
    return {**{name: value for name, value in rest.items() if name != "anyOf"}, **(arms[0] if arms else {})}


def _without_null(body: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with the fields of which exactly one is wanted as strings or lists, not null."""
    chosen = ("upload_id", "identity_id", "faces")
    strict = {name: _as_field(part) if name in chosen else part for name, part in body["properties"].items()}
    return {**body, "properties": strict}
