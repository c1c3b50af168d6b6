"""How the application is served, wherever it is."""

from typing import Any

import uvicorn
from fastapi import FastAPI

from api.wire import Wire


def server_config(app: FastAPI, **choices: Any) -> uvicorn.Config:
    """Return uvicorn's configuration: our log lines instead of its own, no version told, no websockets."""
    return uvicorn.Config(app, http=Wire, ws="none", lifespan="on", access_log=False, server_header=False, **choices)
