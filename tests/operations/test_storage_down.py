"""Days on which the object store is away or the disk is full: five tries, a clear end, and a second chance."""

import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from store import ledger, models
from store.doorbell import LocalDoorbell
from store.errors import StorageDown
from store.s3 import TRIES
from store.settings import Settings, load
from tests.api.hand import Hand
from tests.api.service import Service, Tenant, png, served, serving
from tests.production import production_settings
from tests.s3_server import S3Server, s3_server
from tests.worker.house import Darkroom, House, at_work, build, furnish

DOWN = 1_000_000


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    """An object store."""
    with s3_server() as running:
        yield running


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, s3: S3Server) -> Iterator[House]:
    """An installation on SQLite whose blobs are in the object store."""
    settings = build_settings(tmp_path_factory.mktemp("house"), s3)
    with closing(furnish(settings)) as made:
        yield made


def build_settings(folder: Path, s3: S3Server) -> Settings:
    """Return embedded settings over the object store, with the tables made."""
    build(folder).close()
    names = ("s3_endpoint", "s3_bucket", "s3_secure", "s3_region", "s3_access_key", "s3_secret_key")
    there = production_settings("", "", s3)
    return load(folder).model_copy(update={name: getattr(there, name) for name in names})


@pytest.fixture(scope="module")
def room(house: House, tiny_folder: Path) -> Iterator[Darkroom]:
    """A worker for the house."""
    with at_work(house, tiny_folder) as made:
        yield made


@pytest.fixture(scope="module")
def ada(house: House, room: Darkroom) -> str:
    """A person with an accepted photo."""
    identity_id = house.identity()
    house.reference(identity_id, 1)
    room.work()
    return identity_id


def again(house: House, job_id: str) -> None:
    """Ask for a job again."""
    with house.desk.transaction(house.tenant_id) as session:
        ledger.retry(session, session.get_one(models.Job, {"tenant_id": house.tenant_id, "id": job_id}))


def test_a_job_without_the_object_store(house: House, room: Darkroom, ada: str, s3: S3Server) -> None:
    """A job that cannot have its photo tries five times, ends as a clear failure, and succeeds when asked for again."""
    restoration_id = house.restoration(ada)
    s3.failures = DOWN
    try:
        room.work()
        tries = DOWN - s3.failures
    finally:
        s3.failures = 0
    job = house.job_of(restoration_id)
    assert tries == TRIES
    assert (job.state, job.error["code"], job.error["retryable"]) == ("failed", "unavailable", True)
    assert "got SlowDown from the object store" in job.error["detail"]
    again(house, job.id)
    room.work()
    assert house.job_of(restoration_id).state == "succeeded"


@pytest.mark.parametrize("trouble", ["full", "cut"])
def test_a_result_that_finds_no_place(house: House, room: Darkroom, ada: str, s3: S3Server, trouble: str) -> None:
    """A store that is full, or whose answers break off, leaves nothing half-written, and is borne by a retry."""
    restoration_id = house.restoration(ada)
    before = set(house.blobs())
    setattr(s3, trouble, True)
    try:
        room.work()
    finally:
        setattr(s3, trouble, False)
    job = house.job_of(restoration_id)
    assert (job.state, job.error["code"], job.error["retryable"]) == ("failed", "unavailable", True)
    assert set(house.blobs()) == before
    again(house, job.id)
    room.work()
    assert house.job_of(restoration_id).state == "succeeded"


def test_a_commit_whose_answer_is_lost(house: House, room: Darkroom, ada: str) -> None:
    """Where the database breaks off after a result was committed, the result stays as it was published."""
    restoration_id = house.restoration(ada)
    lost: list[str] = []
    looking: list[str] = []

    def lose(session: Session) -> None:
        if lost or looking:
            return
        looking.append("at the job, by a session whose own commit is not meant")
        over = house.job_of(restoration_id).state == "succeeded"
        looking.clear()
        if over:
            lost.append("the answer")
            raise OperationalError("COMMIT", None, Exception("server closed the connection unexpectedly"))

    event.listen(Session, "after_commit", lose)
    try:
        room.work()
    finally:
        event.remove(Session, "after_commit", lose)
    assert lost
    row = house.row(models.Restoration, restoration_id)
    assert house.job_of(restoration_id).state == "succeeded"
    assert house.blob(row.id, row.result_blob).startswith(b"\x89PNG")


def test_the_front_desk_without_the_object_store(s3: S3Server, tmp_path: Path) -> None:
    """A photo that cannot be kept is 503 with Retry-After, leaves no row, and is taken at the next try."""
    with served(build_settings(tmp_path, s3), LocalDoorbell(threading.Event())) as service:
        tenant = service.tenant()
        identity_id = tenant.identity()
        s3.failures = DOWN
        try:
            refused = reference_asked(tenant, identity_id)
        finally:
            s3.failures = 0
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable"), refused.text
        assert int(refused.headers["Retry-After"]) >= 1
        assert tenant.http.get(f"/v1/identities/{identity_id}/references").json()["data"] == []
        assert reference_asked(tenant, identity_id).status_code == 202


def reference_asked(tenant: Tenant, identity_id: str) -> httpx2.Response:
    """Ask for a photo to be kept, under one Idempotency-Key."""
    path = f"/v1/identities/{identity_id}/references"
    return tenant.http.post(path, files=[("files", png(4, side=700))], headers={"Idempotency-Key": "one"})


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk of eight megabytes, as root may; yields its folder."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"got no right to mount a small disk ({mounted.stderr.decode().strip()}), wanted it")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Fill a disk to its last byte, for as long as the block lasts."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    try:
        yield
    finally:
        filler.unlink()


def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the disk full photos are refused as 503 or 507, nothing is half-written, and with room again all is well."""
    with small_disk(tmp_path / "disk") as disk, serving(disk / "data") as service:
        tenant = service.tenant()
        identity_id = tenant.identity()
        files = set(disk.rglob("*"))
        with filled(disk):
            refused = reference_asked(tenant, identity_id)
            assert refused.status_code in (503, 507), refused.text
            assert refused.json()["retryable"]
            assert int(refused.headers["Retry-After"]) >= 1
        assert {path for path in disk.rglob("*") if path.suffix not in (".sqlite3-wal", ".sqlite3-shm")} <= files
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        with filled(disk):  # no room for the upload on its way in either
            assert reference_asked(tenant, identity_id).status_code in (503, 507)
        assert tenant.http.get(f"/v1/identities/{identity_id}/references").json()["data"] == []
        assert reference_asked(tenant, identity_id).status_code == 202
        assert Hand(service).work("assess") == 1
        assert work_with_a_full_disk(service, tenant, identity_id, disk) == 200


def work_with_a_full_disk(service: Service, tenant: Tenant, identity_id: str, disk: Path) -> int:
    """Let a job end while the disk is full, then again with room; return the status of its picture."""
    hand = Hand(service)
    asked = tenant.restoration(identity_id)
    claim = hand.claim("restore")
    assert claim is not None
    with filled(disk), pytest.raises((OperationalError, StorageDown)):
        hand.finish(claim)
    hand.finish(claim)
    return int(tenant.http.get(f"/v1/restorations/{asked['id']}/image").status_code)
