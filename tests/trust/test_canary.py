"""Erasure, hunted: before it every canary is found, after it none, by somebody who has all keys that are left."""

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog

from core.images import Photo, encode_photo
from store import models
from store.database import Database
from store.doorbell import CeleryDoorbell
from tests.api.service import CONSENT, Service, Tenant, served
from tests.housekeeping.conftest import Caretaking, caretaking_of
from tests.production import production_settings
from tests.s3_server import s3_server
from tests.servers import database_of, own_redis, postgres_server
from tests.tiny_bundle import write_whole_bundle
from tests.trust.hunt import Hunter
from tests.worker.house import Darkroom, House, darkroom, photo
from worker.parts import Parts as WorkerParts

NAME, SUBJECT, CLERK, FILE = "Zenobia Quillfeather", "subject-7f3e9a", "clerk-5b1d2c", "zenobia-at-the-lake.png"


@dataclass(frozen=True)
class Site:
    """The production stack in this process, and somebody who hunts through it."""

    service: Service
    tenant: Tenant
    house: House
    room: Darkroom
    bundle: Path
    caretaking: Caretaking
    hunter: Hunter


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Postgres, Redis, S3, API, a worker with tiny networks, a caretaker; whatever they write is in one folder."""
    written, logs = tmp_path / "tmp", tmp_path / "logs"
    written.mkdir()
    logs.mkdir()
    monkeypatch.setenv("TMPDIR", str(written))
    monkeypatch.setattr(tempfile, "tempdir", str(written))
    with ExitStack() as exits:
        log = exits.enter_context((logs / "all.log").open("w"))
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(log))
        exits.callback(structlog.configure, logger_factory=structlog.PrintLoggerFactory())
        url = exits.enter_context(database_of(exits.enter_context(postgres_server()), f"idprefer_hunt_{os.getpid()}"))
        redis_url = exits.enter_context(own_redis(tmp_path)).url
        s3 = exits.enter_context(s3_server())
        settings = production_settings(url, redis_url, s3)
        service = exits.enter_context(served(settings, CeleryDoorbell(redis_url)))
        tenant = service.tenant()
        house = House(settings, service.parts.database, service.parts.safe, tenant.id)
        bundle = write_whole_bundle(tmp_path / "tiny")
        room = darkroom(house, bundle)
        exits.callback(room.parts.database.close)
        exits.enter_context(room.worker.alive())
        caretaking = exits.enter_context(caretaking_of(house))
        owner = exits.enter_context(closing(Database(url)))
        hunter = Hunter(owner, house.safe, s3, redis_url, [written, logs], room.parts.caches, tenant.id)
        yield Site(service, tenant, house, room, bundle, caretaking, hunter)


def _png(picture: Photo) -> bytes:
    return encode_photo(picture, "png")


def _person(site: Site, name: str, seed: int) -> str:
    """Make a person with two photos and an adapter, by the API, each request with an Idempotency-Key."""
    http = site.tenant.http

    def key(step: str) -> dict[str, str]:
        return {"Idempotency-Key": f"{step}-{seed}"}

    identity_id = str(http.post("/v1/identities", json={"name": name}, headers=key("person")).json()["id"])
    consent = {**CONSENT, "subject": SUBJECT, "attested_by": CLERK} if name == NAME else CONSENT
    assert http.post(f"/v1/identities/{identity_id}/consents", json=consent, headers=key("consent")).status_code == 201
    files = [("files", (FILE if name == NAME else "b.png", _png(photo(seed + n)))) for n in range(2)]
    answer = http.post(f"/v1/identities/{identity_id}/references", files=files, headers=key("photos"))
    assert answer.status_code == 202, answer.text
    site.room.work()
    answer = http.post(
        f"/v1/identities/{identity_id}/trainings", json={"preset": "fast", "steps": 2}, headers=key("training")
    )
    assert answer.status_code == 202, answer.text
    site.room.work()
    assert http.get(f"/v1/identities/{identity_id}").json()["state"] == "personalized"
    return identity_id


def _restored(site: Site, **request: Any) -> str:
    answer = site.tenant.http.post("/v1/restorations", **request)
    assert answer.status_code == 202, answer.text
    site.room.work()
    ended = site.tenant.http.get(f"/v1/restorations/{answer.json()['id']}").json()
    assert ended["state"] == "succeeded", ended
    return str(ended["id"])


def _checkpointed(site: Site, identity_id: str) -> str:
    """Let another worker begin a long training and leave it, with a checkpoint, to whoever comes next."""
    leaving = darkroom(site.house, site.bundle)
    answer = site.tenant.http.post(f"/v1/identities/{identity_id}/trainings", json={"preset": "fast", "steps": 2000})
    job_id = str(answer.json()["id"])

    def leave() -> None:
        while site.house.job(job_id).checkpoint_step is None:
            time.sleep(0.05)
        leaving.bell.stop()

    thread = threading.Thread(target=leave)
    thread.start()
    with leaving.worker.alive():
        leaving.worker.turn(("train",))
    thread.join()
    leaving.parts.database.close()
    return job_id


def _hashes(site: Site, identity_id: str, restoration_ids: list[str]) -> dict[str, str]:
    """Return the digests that could tell who somebody was to who has the file."""
    found = {f"photo {seed}": hashlib.sha256(_png(photo(seed))).hexdigest() for seed in (100, 101)}
    adapters = site.tenant.http.get(f"/v1/identities/{identity_id}/adapters").json()["data"]
    found["adapter"] = next(one["digest"] for one in adapters if one["digest"])
    for row_id in restoration_ids:
        found[f"pixels of {row_id}"] = site.house.row(models.Restoration, row_id).pixels_sha256
    return found


def _plant(site: Site) -> None:
    """Put a word where a trace would be, in the places that hold none of a person as it is."""
    site.hunter.look_out_for("planted", "planted-c0ffee")
    with redis.Redis.from_url(site.hunter.redis_url) as client:
        client.set("planted", "planted-c0ffee")
        found = site.hunter.found()["planted"]
        client.delete("planted")
    assert found == ["redis"]
    path = Path(tempfile.gettempdir()) / "planted"
    path.write_text("planted-c0ffee")
    assert site.hunter.found()["planted"] == ["files and logs"]
    path.unlink()
    assert "planted" not in site.hunter.found()


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_no_trace_is_left(site: Site) -> None:
    """Words, photos, adapters, checkpoints, results and digests: all found before, none after, in any place."""
    http, hunter = site.tenant.http, site.hunter
    ada, bea = _person(site, NAME, 100), _person(site, "Bea", 200)
    alone = _restored(site, data={"identity_id": ada}, files={"image": _png(photo(103))})
    upload = str(http.post("/v1/uploads", files={"file": _png(photo(104))}).json()["id"])
    sent_ahead = _restored(site, json={"identity_id": ada, "upload_id": upload})
    boxes = [[48.0, 48.0, 112.0, 112.0], [144.0, 144.0, 208.0, 208.0]]
    faces = f'[{{"identity_id": "{ada}", "box": {boxes[0]}}}, {{"identity_id": "{bea}", "box": {boxes[1]}}}]'
    group = _restored(site, data={"faces": faces}, files={"image": _png(photo(105, (80, 80), (176, 176)))})
    others = _restored(site, data={"identity_id": bea}, files={"image": _png(photo(106))})
    job_id = _checkpointed(site, ada)
    assert site.house.job(job_id).checkpoint_blob

    for name, word in {"name": NAME, "subject": SUBJECT, "clerk": CLERK, "file": FILE}.items():
        hunter.look_out_for(name, word)
    for name, digest in _hashes(site, ada, [alone, sent_ahead, group]).items():
        hunter.look_out_for(f"digest of {name}", digest)
    owners = [ada, alone, sent_ahead, group, upload]
    assert hunter.look_out_for_objects(owners) >= 15
    before = hunter.found()
    assert set(before) == set(hunter.canaries)
    assert {place for places in before.values() for place in places} >= {
        "database", "objects opened", "worker's caches",
    }  # fmt: skip
    count = len(hunter.canaries)
    _plant(site)

    erasure = http.delete(f"/v1/identities/{ada}").json()
    _evicted(site.room.parts)
    site.caretaking.errands_done()
    assert http.get(f"/v1/erasures/{erasure['id']}").json()["state"] == "completed"
    assert hunter.found() == {}
    for owner in owners:
        assert list(site.house.safe.blobs.list(f"{site.tenant.id}/{owner}/")) == []
    left = {name.split("/")[1] for name in hunter.opened()}
    assert left == {bea, others}
    assert count >= 40


def _evicted(parts: WorkerParts) -> None:
    """Let the worker hear of the erasure now, and not at its next beat."""
    parts.heart.beat(lambda: None)
