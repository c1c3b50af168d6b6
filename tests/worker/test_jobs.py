"""Tests of every kind of job, end to end: rows and blobs in, rows and blobs out."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image
from sqlalchemy.orm import Session

from core.adapter_file import unpack_adapter
from core.decoder import pixels_sha256
from core.images import Photo, read_photo, xmp_in
from core.provenance import manifest_in
from store import consents, manifests, models
from tests.worker.house import Darkroom, House, photo

NOBODY = Photo(np.zeros((99, 99, 3), np.uint8))


@pytest.fixture(scope="module")
def bea(house: House, room: Darkroom) -> str:
    """A person with an adapter."""
    identity_id = house.identity()
    house.reference(identity_id, 3)
    room.work()
    house.training(identity_id, preset="fast", steps=3)
    room.work()
    return identity_id


def test_assessing(house: House, room: Darkroom) -> None:
    """Each photo gets its verdict: accepted with quality and advice, or rejected with a reason."""
    identity_id = house.identity()
    good, empty = (
        house.reference(identity_id, 1),
        house.reference(identity_id, 0, NOBODY),
    )
    again = house.reference(identity_id, 1, Photo(np.minimum(photo(1).pixels, 254)))  # another file of the same picture
    assert room.work() == 1  # one batch
    first, second, third = (house.row(models.Reference, each) for each in (good, empty, again))
    assert (first.state, first.reasons) == ("accepted", [])
    assert 0 <= first.quality_score <= 1
    assert first.quality_words
    assert "1 of 5" in first.advice or "sharp" in first.advice
    assert (second.state, second.reasons) == ("rejected", ["no_face"])
    assert (third.state, third.reasons) == ("rejected", ["duplicate"])
    assert house.job(first.job_id).metrics["compute_seconds"] > 0


def test_training(house: House, room: Darkroom, bea: str) -> None:
    """A training leaves an active adapter that core accepts, with its figures, and no checkpoint."""
    (row,) = [each for each in [house.row(models.Identity, bea)] if each.state == "personalized"]
    adapter = house.row(models.Adapter, row.active_adapter_id)
    _, data = house.adapter_of(adapter.job_id)
    assert hashlib.sha256(data).hexdigest() == adapter.digest
    assert unpack_adapter(data, room.parts.networks.backbone).metadata["training"]["steps"] == 3
    assert (adapter.bundle, adapter.bundle_digest) == ("tiny", room.parts.networks.backbone.base_digest)
    job = house.job(adapter.job_id)
    assert (job.state, job.metrics["steps"]) == ("succeeded", 3)
    losses = [event.data["loss"] for event in house.events(job.id) if event.type == "progress"]
    assert losses
    assert all(loss > 0 for loss in losses)


def test_instant_restoration(house: House, room: Darkroom, ada: str) -> None:
    """Before any training a photo is restored by the references alone; outside the face nothing changes."""
    restoration_id = house.restoration(ada, seed=7)
    room.work()
    row = house.row(models.Restoration, restoration_id)
    assert house.job_of(restoration_id).state == "succeeded"
    assert (row.tier_used, row.evidence["bundle"], row.evidence["seed"]) == ("instant", "tiny", 7)
    result = read_photo(house.blob(row.id, row.result_blob)).pixels
    before = photo(99).pixels
    assert result.shape == before.shape
    assert (result[:40] == before[:40]).all()
    assert (result != before).any()
    assert row.pixels_sha256 == pixels_sha256(result.shape, result.tobytes())
    (face,) = house.faces(row.id)
    assert face.evidence["tier"] in ("instant", "base")
    assert face.evidence["similarity_before"] is not None
    assert Image.open(io.BytesIO(house.blob(row.id, row.comparison_blob))).width == 1200


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
def test_a_result_says_where_it_came_from(house: House, room: Darkroom, ada: str, format: str) -> None:
    """Both pictures carry a manifest that this service signed, of their own pixels, bundle and restoration."""
    restoration_id = house.restoration(ada, format=format)
    room.work()
    row = house.row(models.Restoration, restoration_id)
    digests = []
    for picture, blob in (("result", row.result_blob), ("comparison", row.comparison_blob)):
        data = house.blob(row.id, blob)
        claim = manifests.read(house.safe.vault, house.tenant_id, manifest_in(xmp_in(data) or b"") or "")
        assert claim is not None
        pixels = read_photo(data).pixels
        assert claim.pixels_sha256 == pixels_sha256(pixels.shape, pixels.tobytes())
        assert (claim.restoration_id, claim.picture) == (row.id, picture)
        assert claim.bundle_digest == row.evidence["bundle_digest"]
        assert house.tenant_id.encode() not in data
        digests.append(claim.pixels_sha256)
    assert digests[0] == row.pixels_sha256 != digests[1]


def test_personalized_restoration_as_jpeg(house: House, room: Darkroom, bea: str) -> None:
    """With an adapter the tier is personalized; a JPEG's digest is that of its own decoded pixels."""
    restoration_id = house.restoration(bea, format="jpeg", fidelity=0.5)
    room.work()
    row = house.row(models.Restoration, restoration_id)
    assert row.tier_used == "personalized"
    data = house.blob(row.id, row.result_blob)
    assert data.startswith(b"\xff\xd8")
    (face,) = house.faces(row.id)
    adapter = house.row(models.Adapter, face.adapter_id)
    assert face.evidence["adapter_digest"] == adapter.digest
    assert b"compositeWithTrainedAlgorithmicMedia" in data
    assert (adapter.digest.encode() in data) == (face.evidence["tier"] == "personalized")
    pixels = read_photo(data).pixels
    assert row.pixels_sha256 == pixels_sha256(pixels.shape, pixels.tobytes())


def test_a_group_photo(house: House, room: Darkroom, ada: str, bea: str) -> None:
    """Two people in one photo, one with an adapter and one without: each is restored where they were pointed out."""
    places = ((64, 128), (192, 128))
    boxes = [(26.0, 90.0, 102.0, 166.0), (154.0, 90.0, 230.0, 166.0)]
    restoration_id = house.restoration(ada, bea, picture=photo(5, *places), boxes=boxes)
    room.work()
    assert house.job_of(restoration_id).error is None
    first, second = house.faces(restoration_id)
    assert first.box[2] < second.box[0]
    assert (first.adapter_id is None, second.adapter_id is None) == (True, False)


def test_people_are_locked_in_one_order(
    house: House, room: Darkroom, ada: str, bea: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever order a photo's people were named in, their rows are locked in that of their ids."""
    locked: list[str] = []
    real = consents.require

    def require(session: Session, identity: models.Identity, purpose: str) -> None:
        locked.append(identity.id)
        real(session, identity, purpose)

    for people in ((ada, bea), (bea, ada)):
        house.restoration(*people)
    monkeypatch.setattr(consents, "require", require)
    room.work()
    assert locked == sorted([ada, bea]) * 2


def test_what_the_photo_does_not_show(house: House, room: Darkroom, ada: str) -> None:
    """A photo without a face fails by name, in a sentence that says what to do; nothing is left in the safe."""
    blobs = set(house.blobs())
    restoration_id = house.restoration(ada, picture=NOBODY)
    room.work()
    job = house.job_of(restoration_id)
    assert (job.state, job.error["code"], job.error["retryable"]) == ("failed", "no_face", False)
    assert "wanted" in job.error["detail"]
    assert len(set(house.blobs()) - blobs) == 1  # the input


def test_one_bad_photo_in_a_batch(house: House, room: Darkroom, ada: str) -> None:
    """Restorations of two tenants run as one batch, and a bad photo among them fails alone."""
    other = house.other_tenant()
    theirs = other.identity()
    other.reference(theirs, 8)
    room.work()
    good = house.restoration(ada)
    bad = house.restoration(ada, picture=NOBODY)
    foreign = other.restoration(theirs)
    assert room.work() == 1
    states = house.job_of(good).state, house.job_of(bad).state, other.job_of(foreign).state
    assert states == ("succeeded", "failed", "succeeded")


def test_without_consent_nothing_runs(house: House, room: Darkroom, ada: str) -> None:
    """A consent that is gone by the time a job starts ends the job before a byte is read."""
    restoration_id = house.restoration(ada)
    with house.desk.transaction(house.tenant_id) as session:
        rows = session.query(models.Consent).filter_by(tenant_id=house.tenant_id, identity_id=ada).all()
        kept = [(row.id, row.purposes) for row in rows]
        for row in rows:
            row.purposes = ["train"]
    room.work()
    assert house.job_of(restoration_id).error["code"] == "consent_required"
    with house.desk.transaction(house.tenant_id) as session:
        for row_id, purposes in kept:
            session.get_one(models.Consent, {"tenant_id": house.tenant_id, "id": row_id}).purposes = purposes
