"""The very commands of docker-compose.yml as plain processes, over a real Postgres and Redis, and the S3 stub.

Only addresses and the port are others than in the containers. Redis is absent at first, and killed later on.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from core.images import encode_photo
from idprefer_client.client import Client
from tests.api.service import CONSENT
from tests.chaos.stack import Program
from tests.operations.test_compose import COMPOSE, ROOT, SERVICES
from tests.s3_server import s3_server
from tests.servers import OwnServer, free_port, own_postgres, own_redis
from tests.tiny_bundle import write_whole_bundle
from tests.worker.house import photo

ANSWERS = {
    "POSTGRES_PASSWORD": "owner", "IDPREFER_SERVICE_PASSWORD": "service", "S3_SECRET_KEY": "a secret for tests",
    "IDPREFER_ROOT_KEYS": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "IDPREFER_SESSION_SECRET": "s" * 64,
}  # fmt: skip
WITHOUT_TORCH = {"migrate", "api", "housekeeping"}


@dataclass
class Composed:
    """What runs, and how it is reached."""

    programs: Mapping[str, Program]
    redis: OwnServer
    url: str

    def asked(self, service: str, *command: str) -> str:
        """Run a command beside a service, as `docker compose exec` does; return what it prints."""
        program = self.programs[service]
        done = subprocess.run(command, cwd=ROOT, env=dict(program.environment), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def composed(tmp_path: Path) -> Iterator[Composed]:
    """Everything but Redis, started in the order in which compose starts it."""
    with ExitStack() as exits:
        postgres, redis = exits.enter_context(own_postgres()), exits.enter_context(own_redis(tmp_path))
        redis.end()
        s3 = exits.enter_context(s3_server())
        s3.bucket, s3.access_key, s3.secret_key, s3.has_bucket = "idprefer", "idprefer", ANSWERS["S3_SECRET_KEY"], False
        host = postgres.url.partition("@")[2].partition("/")[0]
        _make_database(postgres.url, host)
        port = free_port()
        places = {
            "@postgres:5432": f"@{host}", "redis://redis:6379/0": redis.url, "s3:7070": s3.endpoint, "8000": str(port),
        }  # fmt: skip
        bundle = write_whole_bundle(tmp_path / "bundle")
        (tmp_path / "none").mkdir()
        (tmp_path / "none" / "torch.py").write_text("raise ImportError('the API image has no torch')\n")
        programs = {
            name: _program(name, places, {**ANSWERS, "IDPREFER_BUNDLE": str(bundle)}, tmp_path)
            for name in ("migrate", "api", "housekeeping", "worker-cpu")
        }
        for name, program in programs.items():
            exits.callback(program.kill)
            program.start()
            if name == "migrate":
                assert program.process is not None
                assert program.process.wait(120) == 0, program.log.read_text()
        yield Composed(programs, redis, f"http://127.0.0.1:{port}")


def _make_database(url: str, host: str) -> None:
    """Do what the postgres image does at its first start: the owner, the database, and docker/logins.sh."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE idprefer LOGIN SUPERUSER")
        connection.execute("CREATE DATABASE idprefer OWNER idprefer")
    address, _, port = host.partition(":")
    own = {"PGHOST": address, "PGPORT": port, "POSTGRES_USER": "idprefer", "POSTGRES_DB": "idprefer"}
    subprocess.run(
        [ROOT / "docker" / "logins.sh"], env={**os.environ, **ANSWERS, **own}, check=True, capture_output=True
    )


def _program(name: str, places: Mapping[str, str], answers: Mapping[str, str], folder: Path) -> Program:
    service = SERVICES[name]
    environment = {key: _filled(value, places, answers) for key, value in service["environment"].items()}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder)}
    environment |= {"OMP_NUM_THREADS": "1"} | ({"PYTHONPATH": str(folder / "none")} if name in WITHOUT_TORCH else {})
    command = [places.get(word, word) for word in service["command"]]
    return Program(name, command, environment, folder / f"{name}.log")


def _filled(value: str, places: Mapping[str, str], answers: Mapping[str, str]) -> str:
    """Return a value as compose would fill it in, at other addresses."""
    text = re.sub(r"\$\{(\w+):([?-])([^}]*)\}", lambda m: answers.get(m[1], m[3] if m[2] == "-" else ""), str(value))
    for place, here in places.items():
        text = text.replace(place, here) if place != "8000" else text
    return text


def wait_until_ready(url: str) -> None:
    """Wait until the API is ready."""
    deadline = time.monotonic() + 120
    while True:
        try:
            if httpx2.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_a_training_and_restorations_through_them(composed: Composed) -> None:
    """A person is learned without Redis, restored with it, and again when it has died; then all end in good order."""
    assert COMPOSE["name"] == "idprefer"
    wait_until_ready(composed.url)
    made = composed.asked("api", "idprefer", "admin", "tenants", "create", "Ada's", "--operator", "--json")
    with Client(composed.url, json.loads(made)[0]["first_key"], attempts=10) as client:
        identity_id = client.identities.create("Ada").id
        client.consents.record(identity_id, **CONSENT)
        client.references.add(identity_id, [encode_photo(photo(1), "png")], 60)
        training = client.trainings.start(identity_id, 0, preset="fast", steps=4, seed=1)
        client.jobs.wait(training.id, timeout_seconds=200)
        composed.redis.start()
        restored(client, identity_id, 2)
        composed.redis.end(signal.SIGKILL)
        restored(client, identity_id, 3)
    check_what_operators_see(composed, training.id)
    for name in ("worker-cpu", "housekeeping", "api"):
        program = composed.programs[name]
        assert program.process is not None
        program.process.terminate()
        assert program.process.wait(60) == 0, name


def restored(client: Client, identity_id: str, seed: int) -> None:
    """Restore a photo, and look at it."""
    upload = client.restorations.upload(encode_photo(photo(seed), "png"))
    asked = client.restorations.create(upload, identity_id, None, 0, preset="fast", seed=seed)
    client.jobs.wait(asked.job_id, timeout_seconds=200)
    assert client.restorations.image(asked.id).startswith(b"\x89PNG")


def check_what_operators_see(composed: Composed, job_id: str) -> None:
    """Look at health checks, the report, and the logs: JSON, from the request to the worker's last word."""
    composed.asked("worker-cpu", "idprefer", "admin", "health", "worker")
    composed.asked("housekeeping", *SERVICES["housekeeping"]["healthcheck"]["test"][1:])
    report = json.loads(composed.asked("api", "idprefer", "admin", "queues", "--json"))
    assert [worker["state"] for worker in report["workers"]] == ["idle"]
    assert report["storage"]["ready"]
    asked = [line for line in logged(composed, "api") if line.get("target") == job_id]
    assert asked[0]["action"] == "training.started"
    assert asked[0]["request_id"]
    done = [line for line in logged(composed, "worker-cpu") if line.get("job_id") == job_id]
    assert done[-1]["event"] == "job_succeeded"
    assert done[-1]["tenant_id"] == asked[0]["tenant_id"]
    logged(composed, "housekeeping")


def logged(composed: Composed, name: str) -> list[dict[str, Any]]:
    """Return a service's log lines, every one of which is JSON; the API's greeting is for people."""
    lines = composed.programs[name].log.read_text().splitlines()
    return [json.loads(line) for line in lines if not line.startswith(("ID-PreFeR", "  ", "Ctrl-C"))]
