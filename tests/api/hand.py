"""A worker without networks: takes jobs by the ledger and publishes plausible results, when a test tells it to."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sqlalchemy.exc import OperationalError

from core.decoder import pixels_sha256
from core.images import read_photo
from store import adapters, ledger, references, restorations, workers
from store.adapter_bytes import FORMAT
from store.errors import StoreError
from store.job_models import LANES
from store.leases import Claim
from tests.api.service import Service, png

BASE = "b" * 64
METRICS = {"compute_seconds": 1.5}


class Hand:
    """Works by hand."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._database = service.ledger

    def register(self) -> str:
        """Enter a worker process; return its id."""
        with self._database.transaction(None) as session:
            return workers.register(session, "cpu", "tiny", {"base_digest": BASE}).id

    def claim(self, *kinds: str) -> Claim | None:
        """Take the next job of these kinds, of whatever tenant."""
        with self._database.transaction(None) as session:
            return next(iter(ledger.claim(session, "by hand", kinds or LANES)), None)

    def work(self, *kinds: str) -> int:
        """Do all jobs of these kinds that wait; return how many."""
        done = 0
        while claim := self.claim(*kinds):
            self.finish(claim)
            done += 1
        return done

    def finish(self, claim: Claim) -> None:
        """Publish the result of a job."""
        {"assess": self._judge, "train": self._train, "restore": self._restore}[claim.kind](claim)

    def progress(self, claim: Claim, step: int, total: int = 10) -> None:
        """Say how far a job is."""
        with self._database.transaction(None) as session:
            ledger.progress(session, claim.lease, "training", step, total)

    def fail(self, claim: Claim, code: str = "no_face") -> None:
        """End a job badly."""
        with self._database.transaction(None) as session:
            ledger.fail(session, claim.lease, code, "got no face, wanted one")

    def stopped(self, claim: Claim) -> None:
        """Say that a job has stopped as it was told to."""
        with self._database.transaction(None) as session:
            ledger.canceled(session, claim.lease)

    @contextmanager
    def working(self, delay_seconds: float = 0.02) -> Iterator[None]:
        """Work in the background for a while."""
        stop = threading.Event()

        def keep_on() -> None:
            while not stop.wait(delay_seconds):
                with contextlib.suppress(StoreError, OperationalError):  # canceled or erased meanwhile; locked
                    self.work()

        thread = threading.Thread(target=keep_on)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(10)

    def _judge(self, claim: Claim) -> None:
        verdict = references.Verdict(True, quality_score=0.7, quality_words=("sharp",))
        with self._database.transaction(claim.lease.tenant_id) as session:
            references.judge(session, claim.lease, verdict, METRICS)

    def _train(self, claim: Claim) -> None:
        data, lease, owner = adapter_file(), claim.lease, str(claim.identity_id)
        with self._database.transaction(lease.tenant_id, read_only=True) as session:
            key = self._service.parts.safe.key(session, lease.tenant_id, owner)
        blob = self._service.parts.safe.write(key, "adapter", f"{lease.job_id}/{lease.epoch}/adapter", data)
        built = adapters.Built(blob, hashlib.sha256(data).hexdigest(), "tiny", BASE, len(data), {"likeness": 0.5})
        with self._database.transaction(lease.tenant_id) as session:
            adapters.publish(session, lease, built, METRICS)

    def _restore(self, claim: Claim) -> None:
        safe, lease, owner = self._service.parts.safe, claim.lease, str(claim.restoration_id)
        with self._database.transaction(lease.tenant_id, read_only=True) as session:
            key = safe.key(session, lease.tenant_id, owner)
        image = result_of(claim)
        blobs = [
            safe.write(key, kind, f"{lease.job_id}/{lease.epoch}/{kind}", image) for kind in ("result", "comparison")
        ]
        pixels = read_photo(image).pixels
        faces = {str(claim.identity_id): ([1.0, 2.0, 30.0, 40.0], {"similarity_before": 0.3, "similarity_after": 0.6})}
        digest = pixels_sha256(pixels.shape, pixels.tobytes())
        result = restorations.Result(blobs[0], blobs[1], digest, {"seed": 0}, faces)
        with self._database.transaction(lease.tenant_id) as session:
            restorations.publish(session, lease, result, METRICS)


def result_of(claim: Claim) -> bytes:
    """Return the picture that this hand makes of a job: another one for each restoration."""
    return png(int(hashlib.sha256(str(claim.restoration_id).encode()).hexdigest()[:8], 16))


def adapter_file(base: str = BASE, **options: Any) -> bytes:
    """Return a small adapter as the service writes them: safetensors with one tensor and our label."""
    label = json.dumps({"bundle": "tiny", "base_digest": base, "options": {"rank": 16, **options}})
    entry = {"dtype": "F16", "shape": [4], "data_offsets": [0, 8]}
    header = json.dumps({"__metadata__": {FORMAT: label}, "lora.a": entry}).encode()
    return len(header).to_bytes(8, "little") + header + np.ones(4, np.float16).tobytes()
