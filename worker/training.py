"""A training job: photos out of the safe, an injector into it; checkpoints on the way, others let past in between."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog
import torch

from core.adapter_file import pack_adapter
from core.backbone import Backbone
from core.errors import InvalidOption, NoUsableReference
from core.injector import Adapter
from core.options import TrainOptions
from core.references import Reference
from core.train_state import TrainState, fingerprint, pack_state, unpack_state
from core.training import TrainingInterrupted, TrainProgress, train_injector
from store import adapters, ledger
from store.errors import MissingBlob, Tampered
from worker.batches import OutOfMemory
from worker.memory import named_out_of_memory
from worker.people import references_of, require_consent
from worker.run import Run

log = structlog.get_logger(__name__)

_SHARE = 1 / 3  # of the time that others took which a training then has for itself: it is never starved


class Training:
    """One training and its place in the queue."""

    def __init__(self, run: Run, let_past: Callable[[], None]) -> None:
        """`let_past` runs short jobs that wait, if there are any."""
        self._run, self._let_past = run, let_past
        self._mine_until = self._asked = self._kept = time.monotonic()
        self._checkpoint = run.claim.checkpoint_blob

    def perform(self) -> None:
        """Train and publish; Interrupted where nobody wants it any more or this worker is to end."""
        run = self._run
        backbone = run.parts.networks.backbone
        require_consent(run, [self._identity_id], "train")
        references = references_of(run, self._identity_id, run.claim.options.get("reference_ids"))
        if not references:
            raise NoUsableReference("got no photo that is still there and usable, wanted at least one; add photos")
        adapter = self._trained(backbone, references, self._options())
        self._publish(backbone, adapter)

    @property
    def _identity_id(self) -> str:
        assert self._run.claim.identity_id is not None, "a training is of somebody"
        return self._run.claim.identity_id

    def _options(self) -> TrainOptions:
        wish = self._run.claim.options
        changes = {name: wish[name] for name in ("steps", "seed") if wish.get(name) is not None}
        every = self._run.parts.options.checkpoint_every
        return TrainOptions.preset(wish.get("preset", "balanced"), checkpoint_every=every, **changes)

    def _trained(self, backbone: Backbone, references: list[Reference], options: TrainOptions) -> Adapter:
        """Train with the options, or with half the batch where the device has too little memory."""
        half = replace(options, batch_size=max(1, options.batch_size // 2))
        resume = self._stored_state()
        if resume is not None and resume.fingerprint == fingerprint(backbone, references, half) and half != options:
            return self._attempt(backbone, references, half, resume)
        if resume is not None and resume.fingerprint != fingerprint(backbone, references, options):
            resume = None  # other photos or another bundle by now: from the beginning, with what there is
        try:
            return self._attempt(backbone, references, options, resume)
        except (torch.OutOfMemoryError, MemoryError):
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        try:
            return self._attempt(backbone, references, half, None)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise OutOfMemory(
                f"got no memory for a batch of {half.batch_size}, half of what was tried first"
            ) from error

    def _attempt(
        self, backbone: Backbone, references: list[Reference], options: TrainOptions, resume: TrainState | None
    ) -> Adapter:
        try:
            with named_out_of_memory():
                return train_injector(
                    backbone,
                    references,
                    options,
                    progress=self._report,
                    resume=resume,
                    should_stop=self._should_stop,
                    keep=self._keep_now_and_then,
                )
        except TrainingInterrupted as stopped:
            if self._run.held.order == "go":  # only this worker ends: another one goes on from here
                self._keep(stopped.state)
            raise

    def _should_stop(self) -> bool:
        """Between two steps, with the injector out of the UNet: let short jobs past, then say whether to stop."""
        if self._run.parts.bell.stopped:
            return True
        now = time.monotonic()
        if now >= self._mine_until and now - self._asked >= self._run.parts.options.look_seconds:
            took = self._run.elsewhere(self._let_past)
            self._asked = time.monotonic()
            self._mine_until = self._asked + took * _SHARE
        return self._run.stopped()

    def _report(self, done: TrainProgress) -> None:
        figures = {"loss": done.loss} | done.parts
        if done.held_out_identity is not None:
            figures["held_out_identity"] = done.held_out_identity
        self._run.progress("training", done.step, done.steps, **{k: round(v, 5) for k, v in figures.items()})

    def _keep_now_and_then(self, state: TrainState) -> None:
        if time.monotonic() - self._kept >= self._run.parts.options.checkpoint_seconds:
            self._keep(state)

    def _keep(self, state: TrainState) -> None:
        """Write a checkpoint, point the job at it, and delete the one before."""
        run = self._run
        blob = run.write(run.key(self._identity_id), "checkpoint", f"step{state.step}", pack_state(state))
        with run.ledger() as session:
            old = ledger.checkpoint(session, run.lease, blob, state.step)
        run.published()
        self._checkpoint = blob
        if old is not None:
            run.safe.drop(old)
        self._kept = time.monotonic()

    def _stored_state(self) -> TrainState | None:
        """Return the checkpoint that an earlier run of this job left; what is none any more is as good as none."""
        if self._checkpoint is None:
            return None
        key = self._run.key(self._identity_id)
        try:
            return unpack_state(self._run.safe.read(key, self._checkpoint))
        except (InvalidOption, MissingBlob, Tampered) as error:
            log.warning("checkpoint_unreadable", job=self._run.lease.job_id, error=str(error))
            return None

    def _publish(self, backbone: Backbone, adapter: Adapter) -> None:
        run = self._run
        data = pack_adapter(adapter)
        about: dict[str, Any] = adapter.metadata["training"]
        built = adapters.Built(
            blob=run.write(run.key(self._identity_id), "adapter", "injector", data),
            digest=hashlib.sha256(data).hexdigest(),
            bundle=backbone.name,
            bundle_digest=backbone.base_digest,
            size_bytes=len(data),
            metrics={**about, "quality_report": adapter.metadata["quality_report"]},
        )
        with run.tenant() as session:
            adapters.publish(session, run.lease, built, run.metrics(steps=float(about["steps"])))
        run.succeeded()
