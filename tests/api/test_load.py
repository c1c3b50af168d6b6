"""What waiting clients, many requests and a large upload cost: measured on a process of its own."""

import asyncio
import io
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx2
import numpy as np
import pytest
from PIL import Image

from tests.api.alone import ROOT, Alone, alone
from tests.api.pace import keep_pace
from tests.production import environment_of, production_settings
from tests.s3_server import s3_server
from tests.servers import database_of, postgres_server

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]  # the machine may do much else
CLIENTS = 1000
TRIES = 5
WANTED_SECONDS = 0.025
IMPORT_SECONDS = 1.0


@pytest.fixture(scope="module", params=["embedded", "production"])
def process(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alone]:
    """A service in a process of its own: over SQLite and files, and over Postgres and S3."""
    with ExitStack() as exits:
        environment = {} if request.param == "embedded" else _servers(exits)
        yield exits.enter_context(alone(tmp_path_factory.mktemp("alone"), environment))


def _servers(exits: ExitStack) -> dict[str, str]:
    """Start servers; return the variables that name them."""
    server = exits.enter_context(postgres_server())
    url = exits.enter_context(database_of(server, f"idprefer_load_{os.getpid()}"))
    settings = production_settings(url, "", exits.enter_context(s3_server()))
    return environment_of(settings)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print a figure: it is what these tests are for."""

    def printed(figure: str) -> None:
        with capsys.disabled():
            print(f"\n{request.node.name}: {figure}")  # noqa: T201

    return printed


def test_the_api_is_imported_quickly(say: Callable[[str], None]) -> None:
    """The application is imported without torch, in less than a second of the processor's time, at best of some."""
    code = "import api.app, sys, time; assert 'torch' not in sys.modules; print(time.process_time())"
    times = [float(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT)) for _ in range(TRIES)]
    say(f"{min(times):.2f} s of the processor, Python's own start included, load {os.getloadavg()[0]:.1f}")
    assert min(times) <= IMPORT_SECONDS


async def _open(process: Alone, request: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
    writer.write(f"{request}\r\nHost: x\r\nAuthorization: Bearer {process.key}\r\n\r\n".encode())
    await writer.drain()
    await reader.readuntil(b"event: queued")
    return reader, writer


async def _all_waiting(process: Alone) -> tuple[int, int]:
    path = f"GET /v1/jobs/{process.job_id}/events HTTP/1.1"
    opened = [await _open(process, path) for _ in range(CLIENTS)]
    await asyncio.sleep(1)
    cost = process.status("VmRSS"), process.status("Threads")
    for _, writer in opened:
        writer.close()
    return cost


def test_a_thousand_clients_wait(process: Alone, say: Callable[[str], None]) -> None:
    """A thousand streams cost less than 200 MB and no thread each."""
    before = process.status("VmRSS")
    after, threads = asyncio.run(_all_waiting(process))
    say(f"{(after - before) / 1024:.0f} MiB for {CLIENTS} clients, {threads} threads in all")
    assert (after - before) / 1024 < 200
    assert threads < 100


def test_a_large_upload_is_held_once(process: Alone, say: Callable[[str], None]) -> None:
    """A photo of nearly 20 MiB raises the peak by less than twice its size: what is kept of it, not what was sent."""
    side = 2560
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    photo = buffer.getvalue()
    assert 18 < len(photo) / 2**20 < 20
    with httpx2.Client(base_url=f"http://127.0.0.1:{process.port}", timeout=120) as client:
        client.headers["Authorization"] = f"Bearer {process.key}"
        client.post("/v1/uploads", files={"file": photo[:1000]})
        process.forget_peak()
        before = process.status("VmHWM")
        assert client.post("/v1/uploads", files={"file": photo}).status_code == 201
    raised = (process.status("VmHWM") - before) * 1024
    say(f"{raised / 2**20:.1f} MiB more at the peak for a photo of {len(photo) / 2**20:.1f} MiB")
    assert raised < 2 * len(photo)


@pytest.mark.parametrize("process", ["embedded"], indirect=True)
def test_a_hundred_requests_a_second(process: Alone, say: Callable[[str], None]) -> None:
    """At 100 requests a second, a fifth of them writes, the slowest hundredth takes at most 25 ms on idle cores.

    The best of some tries: other programs on the machine only ever make it slower.
    """
    best = math.inf
    for _ in range(TRIES):
        before = process.cpu_seconds()
        paced = asyncio.run(keep_pace(f"http://127.0.0.1:{process.port}", process.key, process.job_id))
        each = (process.cpu_seconds() - before) / len(paced.seconds)
        say(f"{paced}; {each * 1000:.1f} ms of the processor each")
        best = min(best, paced.p99)
        if best <= WANTED_SECONDS:
            break
    assert best <= WANTED_SECONDS
