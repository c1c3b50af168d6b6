"""The front desk, put together: parts in, one ASGI application out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse

from api import errors
from api.auth import Authentication, KeyRing
from api.document import describe
from api.idempotency import Replay, again
from api.middleware import Envelope, HeadAsGet
from api.parts import Parts
from api.routes import (
    accounts,
    adapters,
    admin,
    consents,
    health,
    identities,
    jobs,
    keys,
    references,
    restorations,
    session,
    trainings,
    uploads,
    verify,
    webhooks,
    well_known,
)

VERSION = "1"
STUDIO = Path(__file__).parent / "studio"
_ROUTES = (
    identities, consents, references, trainings, adapters, uploads, restorations, verify, jobs,
    webhooks, keys, accounts, session, admin, health, well_known,
)  # fmt: skip


def create_app(parts: Parts) -> FastAPI:
    """Return the application over its parts."""
    app = FastAPI(
        title="ID-PreFeR",
        version=VERSION,
        description="Restores a person's low-quality face photos as that person.",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would name the host that the caller says this is
        lifespan=_lifespan,
        routes=[route for module in _ROUTES for route in module.routes.routes],  # looked through once per request
        middleware=[
            Middleware(Envelope, metrics=parts.metrics),
            Middleware(HeadAsGet),
            Middleware(Authentication, keys=KeyRing(parts.database), sessions=parts.sessions, limiter=parts.limiter),
        ],
    )
    app.state.parts = parts
    errors.install(app)
    app.add_exception_handler(Replay, again)
    _add_studio(app)
    describe(app)
    return app


def _add_studio(app: FastAPI) -> None:
    """Serve the studio's files, each by a route of its own: no path of a caller's ever reaches the file system."""
    for path in sorted(path for path in STUDIO.rglob("*") if path.is_file()):
        name = path.relative_to(STUDIO).as_posix()
        for address in ("/", f"/{name}") if name == "index.html" else (f"/{name}",):
            app.add_route(address, partial(_file, path), methods=["GET", "HEAD"], include_in_schema=False)


def _file(path: Path, request: Request) -> FileResponse:
    return FileResponse(path)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    parts: Parts = app.state.parts
    async with parts.hub.running():
        yield
    await parts.limiter.close()
    parts.close()
