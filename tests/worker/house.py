"""A small service without its front desk: a database, a safe, tenants with people and photos, and jobs for a worker."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.images import Photo, encode_photo
from store import (
    consents,
    erasures,
    ledger,
    models,
    operators,
    people,
    queries,
    references,
    restorations,
    schema,
    trainings,
)
from store.blobs_of import open_blobs
from store.consents import Agreement
from store.database import Database
from store.photos import Picture
from store.safe import Safe
from store.settings import Settings, load
from store.vault import Vault
from tests.marked_faces import marked
from worker.bell import Bell
from worker.loop import Worker
from worker.options import WorkerOptions
from worker.parts import Parts, assemble


@dataclass
class House:
    """One installation, and one tenant in it."""

    settings: Settings
    desk: Database  # as the front desk sees it
    safe: Safe
    tenant_id: str

    def identity(self, purposes: Sequence[str] = ("train", "restore")) -> str:
        """Make a person who agrees to the purposes."""
        with self.desk.transaction(self.tenant_id) as session:
            row = people.create(session, self.tenant_id, "Ada")
            agreement = Agreement("ada", "a witness", "click_through", purposes, "1", "I agree.", "DE")
            consents.record(session, row, agreement)
            return row.id

    def reference(self, identity_id: str, seed: int, picture: Photo | None = None) -> str:
        """Add a photo of the person; it waits to be assessed."""
        with self.desk.transaction(self.tenant_id) as session:
            identity = session.get_one(models.Identity, self._key(identity_id))
            return references.add(session, self.safe, identity, _picture(picture or photo(seed))).id

    def training(self, identity_id: str, **wish: Any) -> str:
        """Queue a training; returns its job."""
        with self.desk.transaction(self.tenant_id) as session:
            identity = session.get_one(models.Identity, self._key(identity_id))
            return trainings.start(session, identity, trainings.Wish(**wish)).id

    def restoration(self, *identity_ids: str, picture: Photo | None = None, **settings: Any) -> str:
        """Queue a restoration of a photo in which the people are at the places of `photo`; returns it."""
        boxes = settings.pop("boxes", [None] * len(identity_ids))
        wanted = restorations.Settings(**{"preset": "fast", **settings})
        with self.desk.transaction(self.tenant_id) as session:
            identities = [session.get_one(models.Identity, self._key(each)) for each in identity_ids]
            faces = [restorations.Face(*pair) for pair in zip(identities, boxes, strict=True)]
            row = restorations.start(session, self.tenant_id, faces, wanted)
            restorations.keep_input(session, self.safe, row, _picture(picture or photo(99)).data)
            return row.id

    def row(self, model: type[Any], row_id: str) -> Any:
        """Return a row of the tenant."""
        with self.desk.transaction(self.tenant_id, read_only=True) as session:
            return session.get_one(model, self._key(row_id))

    def job(self, job_id: str) -> Any:
        """Return a job."""
        return self.row(models.Job, job_id)

    def job_of(self, restoration_id: str) -> Any:
        """Return a restoration's job."""
        return self.job(self.row(models.Restoration, restoration_id).job_id)

    def events(self, job_id: str) -> list[models.JobEvent]:
        """Return what happened to a job."""
        with self.desk.transaction(self.tenant_id, read_only=True) as session:
            return list(queries.job_events(session, self.tenant_id, job_id, 0))

    def faces(self, restoration_id: str) -> list[Any]:
        """Return the people of a restoration."""
        with self.desk.transaction(self.tenant_id, read_only=True) as session:
            return list(queries.faces(session, session.get_one(models.Restoration, self._key(restoration_id))))

    def adapter_of(self, job_id: str) -> tuple[models.Adapter, bytes]:
        """Return what a training made, and its bytes."""
        row = self.row(models.Adapter, self.job(job_id).adapter_id or "")
        return row, self.blob(row.identity_id, row.blob)

    def blob(self, owner_id: str, name: str) -> bytes:
        """Return an object of the tenant's."""
        with self.desk.transaction(self.tenant_id, read_only=True) as session:
            return self.safe.get(session, self.tenant_id, owner_id, name)

    def blobs(self) -> list[str]:
        """Return the names of all objects."""
        return [stored.name for stored in self.safe.blobs.list("")]

    def cancel(self, job_id: str) -> None:
        """Cancel a job."""
        with self.desk.transaction(self.tenant_id) as session:
            ledger.cancel(session, session.get_one(models.Job, self._key(job_id)))

    def erase(self, identity_id: str) -> str:
        """Begin to erase a person; returns the erasure."""
        with self.desk.transaction(self.tenant_id) as session:
            return erasures.begin(session, session.get_one(models.Identity, self._key(identity_id)), "request").id

    def other_tenant(self) -> "House":
        """Return the same installation as another tenant sees it."""
        return replace(self, tenant_id=_new_tenant(self.settings))

    def close(self) -> None:
        """Close the database."""
        self.desk.close()

    def _key(self, row_id: str) -> dict[str, str]:
        return {"tenant_id": self.tenant_id, "id": row_id}


def build(folder: Path) -> House:
    """Build an installation on SQLite and files."""
    settings = load(folder)
    schema.upgrade(settings.database_url)
    return furnish(settings)


def furnish(settings: Settings) -> House:
    """Return a house over a database that has its tables."""
    desk = Database(settings.database_url, role="api")
    safe = Safe(Vault(settings.root_key_list()), open_blobs(settings))
    return House(settings, desk, safe, _new_tenant(settings))


def _new_tenant(settings: Settings) -> str:
    database = Database(settings.database_url, role="operator")
    with closing(database), database.transaction(None) as session:
        return operators.create_tenant(session, "a tenant")[0].id


@dataclass
class Darkroom:
    """A worker in this process, whose turns a test takes by hand."""

    parts: Parts
    worker: Worker
    bell: Bell

    def work(self) -> int:
        """Do all that waits; return how many turns that took."""
        turns = 0
        while self.worker.turn():
            turns += 1
        return turns


def options_for(bundle: Path, **changes: Any) -> WorkerOptions:
    """Return a worker's options in tests: it looks and keeps as often as it can."""
    quick: dict[str, Any] = {"look_seconds": 0.0, "beat_seconds": 1.0, "checkpoint_every": 2, "checkpoint_seconds": 0.0}
    quick["threads"] = torch.get_num_threads()  # as in this process: with more or fewer the last bits may differ
    return WorkerOptions(bundle, **{**quick, **changes})


def darkroom(house: House, bundle: Path, **changes: Any) -> Darkroom:
    """Return a worker for a house."""
    bell = Bell()
    database = Database(house.settings.database_url, role="ledger")
    parts = assemble(database, house.safe, options_for(bundle, **changes), bell)
    return Darkroom(parts, Worker(parts), bell)


@contextmanager
def at_work(house: House, bundle: Path) -> Iterator[Darkroom]:
    """Let a worker of a house live for as long as the block lasts."""
    made = darkroom(house, bundle)
    with closing(made.parts.database), made.worker.alive():
        yield made


def photo(seed: int, *places: tuple[int, int]) -> Photo:
    """Return a photo of 256x256 noise with faces at the places, or one in its middle."""
    pixels = np.random.default_rng(seed).integers(0, 255, (256, 256, 3)).astype(np.uint8)
    for x, y in places or ((128, 128),):
        pixels = marked(pixels, x, y)
    return Photo(pixels)


def after(calls: int, act: Callable[[], None]) -> Callable[[], None]:
    """Return a callback that acts at its n-th call."""
    seen: list[None] = []

    def callback() -> None:
        seen.append(None)
        if len(seen) == calls:
            act()

    return callback


def _picture(picture: Photo) -> Picture:
    data = encode_photo(picture, "png")
    width, height = picture.size
    return Picture(data, width, height, hashlib.sha256(data).hexdigest(), "photo.png")
