"""An archive with people in it: what most tests of the store begin with."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from sqlalchemy.orm import Session

from store import consents, ledger, models, operators, people, references, restorations, trainings, workers
from store.database import Database
from store.leases import Claim
from store.photos import Picture
from store.safe import Safe

AGREEMENT = consents.Agreement("subject-1", "clerk", "click_through", ["train", "restore"], "1", "I agree.", "DE")


def picture(content: str = "photo") -> Picture:
    """Return a photo of its own content."""
    data = content.encode()
    return Picture(data, 64, 48, sha256(data).hexdigest(), "holiday.jpg")


@dataclass
class Archive:
    """A database under the roles that production has, and a safe; `ledger` sees everybody's jobs."""

    api: Database
    ledger: Database
    safe: Safe
    worker_id: str = field(default="", init=False)

    def tenant(self, name: str = "tenant", **changes: Any) -> str:
        """Make a tenant; return its id."""
        with self.api.transaction(None) as session:
            row, _, _ = operators.create_tenant(session, name)
            if changes:
                operators.change(session, row.id, **changes)
            return row.id

    def person(self, tenant_id: str, photos: int = 1, name: str = "Ada") -> str:
        """Make a person with consent and accepted photos; return the id."""
        with self.api.transaction(tenant_id) as session:
            row = people.create(session, tenant_id, name)
            consents.record(session, row, AGREEMENT)
            added = [references.add(session, self.safe, row, picture(f"{row.id} {n}")) for n in range(photos)]
        for _ in added:
            self.judge(self.claim("assess")[0])
        return row.id

    def training(self, tenant_id: str, identity_id: str, **wish: Any) -> str:
        """Queue a training; return its job's id."""
        with self.api.transaction(tenant_id) as session:
            identity = session.get_one(models.Identity, {"tenant_id": tenant_id, "id": identity_id})
            return trainings.start(session, identity, trainings.Wish(**wish)).id

    def restoration(self, tenant_id: str, *identity_ids: str, **settings: Any) -> models.Restoration:
        """Queue a restoration of a photo of these people."""
        with self.api.transaction(tenant_id) as session:
            rows = [session.get_one(models.Identity, {"tenant_id": tenant_id, "id": one}) for one in identity_ids]
            faces = [restorations.Face(row) for row in rows]
            made = restorations.start(session, tenant_id, faces, restorations.Settings(**settings))
            restorations.keep_input(session, self.safe, made, b"the photo")
            return made

    def claim(self, *kinds: str, limit: int = 1, **options: Any) -> list[Claim]:
        """Claim as the one worker of the archive."""
        with self.ledger.transaction(None) as session:
            if not self.worker_id:
                self.worker_id = workers.register(session, "cpu", "tiny").id
            return ledger.claim(session, self.worker_id, kinds or models.LANES, limit, **options)

    def judge(self, claim: Claim, accepted: bool = True) -> None:
        """Accept or reject the photo that a claim is for."""
        with self.ledger.transaction(claim.lease.tenant_id) as session:
            verdict = references.Verdict(accepted, () if accepted else ("no_face",), quality_score=0.5)
            references.judge(session, claim.lease, verdict, {"compute_seconds": 0.5})

    def restore(self, claim: Claim) -> None:
        """Publish a result for the restoration that a claim is for."""
        tenant_id, owner = claim.lease.tenant_id, claim.restoration_id or ""
        with self.ledger.transaction(tenant_id) as session:
            name = f"{claim.lease.job_id}/{claim.lease.epoch}/image"
            blob = self.safe.put(session, tenant_id, owner, "result", name, b"restored")
            result = restorations.Result(blob, None, "pixels", {"similarity": 0.7}, {})
            restorations.publish(session, claim.lease, result, {"compute_seconds": 2.0})

    def job(self, tenant_id: str, job_id: str) -> models.Job:
        """Return a job as it is."""
        return self.row(models.Job, tenant_id, job_id)

    def row(self, model: Any, tenant_id: str, row_id: str) -> Any:
        """Return a row as it is."""
        with self.api.transaction(tenant_id) as session:
            return session.get_one(model, {"tenant_id": tenant_id, "id": row_id})

    @contextmanager
    def of(self, tenant_id: str | None) -> Iterator[Session]:
        """Open a transaction of the ledger's role."""
        with self.ledger.transaction(tenant_id) as session:
            yield session
