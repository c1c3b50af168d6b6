"""A service in a process of its own that kills itself, where a request says so, at its commit or before its answer."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2
import structlog
from sqlalchemy import event
from sqlalchemy.orm import Session
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from store import settings
from store.doorbell import LocalDoorbell
from tests.api.hand import Hand
from tests.api.service import Service, png

ROOT = Path(__file__).parent.parent.parent
HEADER = "X-Die"
POINTS = ("before_commit", "after_commit", "before_answer")
"""Before what the request wrote is committed; after that, before a worker is woken; when all is done but the answer."""
_point: ContextVar[str] = ContextVar("_point", default="")


@dataclass(frozen=True)
class Made:
    """What the first start made: a key, a person with an accepted photo, an uploaded photo."""

    key: str
    identity_id: str
    upload_id: str


class Fragile:
    """A running process and a client of it."""

    def __init__(self, process: "subprocess.Popen[str]", made: Made, port: str) -> None:
        self.process = process
        self.made = made
        headers = {"Authorization": f"Bearer {made.key}"}
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60)


@contextmanager
def fragile(folder: Path) -> Iterator[Fragile]:
    """Serve a folder for a while, or until a request kills the process."""
    command = [sys.executable, "-m", "tests.api.fragile", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = process.stdout.readline().strip()
            running = Fragile(process, Made(**json.loads((folder / "made.json").read_text())), port)
            with running.http:
                yield running
        finally:
            process.kill()


class Dying:
    """Kills the process at the point that a request names."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        point = Headers(scope=scope).get(HEADER, "") if scope["type"] == "http" else ""

        async def send_or_die(message: Message) -> None:
            if point == "before_answer":
                _die()
            await send(message)

        _point.set(point)
        await self.app(scope, receive, send_or_die)


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _listen() -> None:
    """Die at the commit of a transaction that wrote, in a request that wishes so."""

    def wrote(session: Session, *_: object) -> None:
        session.info["wrote"] = True

    def at(point: str) -> Any:
        def die_there(session: Session) -> None:
            is_whole = not session.in_nested_transaction()  # a savepoint ends with the same events
            if is_whole and session.info.get("wrote") and _point.get() == point:
                _die()

        return die_there

    event.listen(Session, "after_flush", wrote)
    event.listen(Session, "before_commit", at("before_commit"))
    event.listen(Session, "after_commit", at("after_commit"))


def _make(service: Service) -> Made:
    tenant, hand = service.tenant(), Hand(service)
    identity_id = tenant.identity()
    tenant.reference(identity_id)
    hand.work()
    upload_id = tenant.http.post("/v1/uploads", files={"file": png(7)}).json()["id"]
    return Made(tenant.token, identity_id, upload_id)


def main(folder: Path) -> None:
    """Serve until stdin ends."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # errors only
    chosen = settings.load(folder).model_copy(update={"requests_per_minute": 1_000_000})
    service = Service(chosen, LocalDoorbell(threading.Event()))
    service.app.add_middleware(Dying)
    service.start()
    known = folder / "made.json"
    if not known.exists():
        known.write_text(json.dumps(asdict(_make(service))))
    _listen()
    sys.stdout.write(f"{service.url.rpartition(':')[2]}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
