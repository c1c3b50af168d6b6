"""How the application is served, wherever it is."""

import socket
from typing import Any

import uvicorn
from fastapi import FastAPI

from api.wire import Wire


class Server(uvicorn.Server):
    """uvicorn that keeps nobody waiting when it is told to end: who waits has the answer so far."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End in good order."""
        app: Any = self.config.app
        app.state.parts.hub.dismiss()
        await super().shutdown(sockets)


def server_config(app: FastAPI, **choices: Any) -> uvicorn.Config:
    """Return uvicorn's configuration: our log lines instead of its own, no version told, no websockets."""
    return uvicorn.Config(app, http=Wire, ws="none", lifespan="on", access_log=False, server_header=False, **choices)
