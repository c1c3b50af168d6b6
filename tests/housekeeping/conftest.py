"""An installation with a tenant and no worker, and a caretaker whose rounds a test takes by hand."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from housekeeping.outbox import Errands
from housekeeping.parts import Parts
from housekeeping.sweep import sweep
from store import models
from store.columns import now
from store.database import Database
from store.settings import load
from tests.worker.house import House, furnish


@pytest.fixture
def house(empty: Path, tmp_path: Path) -> Iterator[House]:
    """An installation of the test's own."""
    made = furnish(load(shutil.copytree(empty, tmp_path / "house")))
    yield made
    made.close()


@dataclass
class Rings:
    """A doorbell that remembers for which kinds it was rung."""

    kinds: list[str] = field(default_factory=list)

    def wake(self, kind: str) -> None:
        """Remember."""
        self.kinds.append(kind)

    def close(self) -> None:
        """There is nothing to let go of."""


@dataclass
class Caretaking:
    """The caretaker's duties, one at a time."""

    parts: Parts
    errands: Errands
    rings: Rings

    def errands_done(self) -> int:
        """Do all errands that are due, and those that follow from them; return how many."""
        count = 0
        while started := self.errands.start_due():
            self.errands.finish()
            count += started
        return count

    def sweep(self) -> None:
        """Sweep once."""
        sweep(self.parts)

    def hurry(self) -> None:
        """Let everything that is put off be due now."""
        with self.parts.database.transaction(None) as session:
            session.execute(update(models.OutboxEvent).values(available_at=now(-1)))


@pytest.fixture
def caretaking(house: House) -> Iterator[Caretaking]:
    """A caretaker for the house, who may send webhooks to this machine."""
    with caretaking_of(house) as made:
        yield made


@contextmanager
def caretaking_of(house: House) -> Iterator[Caretaking]:
    """Keep a house for a while."""
    with closing(Database(house.settings.database_url, role="ledger")) as database:
        rings = Rings()
        parts = Parts(database, house.safe, rings, may_reach=lambda _address: True)
        with closing(Errands(parts, threads=2)) as errands:
            yield Caretaking(parts, errands, rings)


@dataclass
class Receiver:
    """A customer's server: it answers as told, and remembers what it got."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks on this machine."""
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}/hook"
        yield state
        server.shutdown()
        thread.join()
