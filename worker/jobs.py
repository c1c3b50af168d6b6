"""Claimed jobs, done: rows and blobs in, core in the middle, rows and blobs out. Read this first."""

from collections.abc import Callable, Sequence
from functools import partial

from store import ledger, models, references
from store.errors import Gone
from worker.assessing import assess
from worker.outcome import attempt
from worker.parts import Parts
from worker.people import assessments_of, photo_of, require_consent
from worker.restoring import restore
from worker.run import Run
from worker.training import Training


def perform(parts: Parts, claims: Sequence[ledger.Claim], let_past: Callable[[], None]) -> None:
    """Do jobs of one kind that were claimed together; `let_past` runs short jobs between two steps of a training."""
    runs = [Run(parts, parts.heart.hold(claim)) for claim in claims]
    try:
        if claims[0].kind == "restore":
            restore(runs)
        for run in runs:
            if run.claim.kind == "assess":
                attempt(run, partial(_assess, run))
            elif run.claim.kind == "train":
                attempt(run, Training(run, let_past).perform)
    finally:
        for run in runs:
            parts.heart.let_go(run.held)


def _assess(run: Run) -> None:
    """Judge one reference photo beside the person's others."""
    row = _reference(run)
    backbone = run.parts.networks.backbone
    photo = photo_of(run, run.key(row.identity_id), row.blob or "")
    verdict = assess(backbone, photo, assessments_of(run, row.identity_id))
    assessment = verdict.assessment
    quality = None if assessment.reference is None else assessment.reference.quality
    judged = references.Verdict(
        accepted=assessment.accepted,
        reasons=[] if assessment.reason is None else [assessment.reason],
        advice=verdict.advice,
        quality_score=None if quality is None else round(quality.score, 4),
        quality_words=[] if quality is None else list(quality.words),
    )
    with run.tenant() as session:
        references.judge(session, run.lease, judged, run.metrics())
    run.succeeded()
    if assessment.accepted:  # the next job of this person need not look at the photo again
        run.parts.caches.references.get(row.id, row.identity_id, lambda: assessment)


def _reference(run: Run) -> models.Reference:
    with run.tenant(read_only=True) as session:
        row = session.get(models.Reference, {"tenant_id": run.lease.tenant_id, "id": run.claim.reference_id})
    if row is None or row.blob is None:
        raise Gone("got a reference photo that has been deleted, wanted one to judge; add it again")
    require_consent(run, [row.identity_id], "train")
    return row
