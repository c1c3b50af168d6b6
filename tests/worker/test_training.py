"""Tests of trainings as jobs: stopped, resumed, fenced off, out of memory, and letting others past."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import update

from core.adapter_file import pack_adapter
from core.errors import NotFinite
from core.training import TrainProgress
from core.training import train_injector as train_for_real
from store import ledger, models
from store.columns import now
from tests.worker.house import Darkroom, House, after, darkroom
from worker import training

STEPS = 6
Act = Callable[[int, Callable[[], None]], None]


@pytest.fixture(scope="module")
def undisturbed(house: House, room: Darkroom, ada: str) -> bytes:
    """The adapter of a training that nothing happened to."""
    job_id = house.training(ada, preset="fast", steps=STEPS)
    room.work()
    return house.adapter_of(job_id)[1]


@pytest.fixture
def at_step(monkeypatch: pytest.MonkeyPatch) -> Act:
    """Let something happen right after a step of the next training."""

    def happen(step: int, act: Callable[[], None]) -> None:
        trigger = after(step, act)

        def train(*args: Any, progress: Callable[[TrainProgress], None], **kwargs: Any) -> Any:
            def report(done: TrainProgress) -> None:
                progress(done)
                trigger()

            return train_for_real(*args, progress=report, **kwargs)

        monkeypatch.setattr(training, "train_injector", train)

    return happen


def checkpoints(house: House, job_id: str) -> list[str]:
    """Return the names of a job's checkpoints in the safe."""
    return [name for name in house.blobs() if f"/checkpoint/{job_id}/" in name]


def kinds(house: House, job_id: str) -> list[str]:
    """Return what happened to a job, without its progress."""
    return [event.type for event in house.events(job_id) if event.type not in ("progress", "checkpoint")]


def given_back(house: House, tiny_folder: Path, identity_id: str, at_step: Act) -> str:
    """Let a worker begin a training and end after its fifth step; return the job, which waits for another worker."""
    leaving = darkroom(house, tiny_folder)
    job_id = house.training(identity_id, preset="fast", steps=STEPS)
    at_step(5, leaving.bell.stop)
    with leaving.worker.alive():
        leaving.worker.turn()
    leaving.parts.database.close()
    return job_id


def test_given_back_and_resumed(
    house: House, room: Darkroom, ada: str, undisturbed: bytes, tiny_folder: Path, at_step: Act
) -> None:
    """A worker that ends leaves a checkpoint, another one goes on from it, and the result is the same to the bit."""
    job_id = given_back(house, tiny_folder, ada, at_step)
    job = house.job(job_id)
    assert (job.state, job.strikes, job.checkpoint_step) == ("queued", 0, 5)
    assert len(checkpoints(house, job_id)) == 1
    at_step(STEPS, lambda: None)
    room.work()
    assert house.job(job_id).state == "succeeded"
    assert house.job(job_id).attempt == 2
    assert house.adapter_of(job_id)[1] == undisturbed


def test_an_unreadable_checkpoint_is_as_good_as_none(
    house: House, room: Darkroom, ada: str, undisturbed: bytes, tiny_folder: Path, at_step: Act
) -> None:
    """A checkpoint that is whole in the safe and yet none to this version: the training begins anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "pack_state", lambda state: b"of another version")
        job_id = given_back(house, tiny_folder, ada, at_step)
    assert house.job(job_id).checkpoint_step == 5
    at_step(STEPS, lambda: None)
    room.work()
    assert house.job(job_id).state == "succeeded"
    assert house.adapter_of(job_id)[1] == undisturbed


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_lost_checkpoint_is_as_good_as_none(
    house: House, room: Darkroom, ada: str, undisturbed: bytes, tiny_folder: Path, at_step: Act, damage: str
) -> None:
    """A checkpoint whose object is gone, or damaged, does not fail its training for ever: it begins anew."""
    job_id = given_back(house, tiny_folder, ada, at_step)
    (name,) = checkpoints(house, job_id)
    sealed = b"".join(house.safe.blobs.get(name))
    house.safe.blobs.delete(name)
    if damage == "cut":
        house.safe.blobs.put(name, lambda: iter([sealed[:-1]]), len(sealed) - 1)
    at_step(STEPS, lambda: None)
    room.work()
    assert house.job(job_id).state == "succeeded"
    assert house.adapter_of(job_id)[1] == undisturbed


def test_canceled_within_a_step(house: House, room: Darkroom, ada: str, at_step: Act) -> None:
    """A cancelled training does not begin another step."""
    job_id = house.training(ada, preset="fast", steps=STEPS)
    done: list[int] = []
    at_step(3, lambda: house.cancel(job_id))
    with pytest.MonkeyPatch.context() as patch:
        real = training.Training._report

        def report(self: training.Training, progress: TrainProgress) -> None:
            done.append(progress.step)
            real(self, progress)

        patch.setattr(training.Training, "_report", report)
        room.work()
    assert house.job(job_id).state == "canceled"
    assert done == [1, 2, 3]
    assert kinds(house, job_id)[-1] == "canceled"


def lose_lease(house: House, room: Darkroom, job_id: str) -> None:
    """Let a job's lease run out and be swept, as if its worker had slept."""
    with room.parts.database.transaction(None) as session:
        session.execute(update(models.Job).where(models.Job.id == job_id).values(lease_until=now(-60)))
        assert ledger.sweep(session).requeued == [job_id]


def test_a_stale_worker_publishes_nothing(
    house: House, room: Darkroom, ada: str, undisturbed: bytes, tiny_folder: Path, at_step: Act
) -> None:
    """A worker that lost its lease stops, deletes what it wrote, and is not to blame; whoever has it now publishes."""
    stale = darkroom(house, tiny_folder, checkpoint_every=1000)
    job_id = house.training(ada, preset="fast", steps=STEPS)
    at_step(4, lambda: lose_lease(house, room, job_id))
    with stale.worker.alive():
        stale.worker.turn()
        assert house.job(job_id).state == "queued"
        stale.parts.heart.beat(lambda: None)
    stale.parts.database.close()
    blobs = set(house.blobs())
    room.work()
    job = house.job(job_id)
    assert (job.state, job.lease_epoch) == ("succeeded", 2)
    assert house.adapter_of(job_id)[1] == undisturbed
    assert len([name for name in set(house.blobs()) - blobs if "/adapter/" in name]) == 1


def test_fenced_at_the_last_moment(
    house: House, room: Darkroom, ada: str, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that wakes up with its result in hand finds the door closed, and takes the result away again."""
    stale = darkroom(house, tiny_folder)
    job_id = house.training(ada, preset="fast", steps=2)

    def slow(adapter: Any) -> bytes:
        lose_lease(house, room, job_id)
        return pack_adapter(adapter)

    monkeypatch.setattr(training, "pack_adapter", slow)
    with stale.worker.alive():
        stale.worker.turn()
    stale.parts.database.close()
    monkeypatch.undo()
    assert house.job(job_id).state == "queued"
    assert not [name for name in house.blobs() if f"/adapter/{job_id}" in name]
    room.work()
    assert house.job(job_id).state == "succeeded"


def test_out_of_memory_halves_the_batch(
    house: House, room: Darkroom, ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the device has too little memory, the training is done with half the batch."""
    tried: list[int] = []

    def train(backbone: Any, references: Any, options: Any, **kwargs: Any) -> Any:
        tried.append(options.batch_size)
        if options.batch_size > 2:
            raise torch.OutOfMemoryError("full")
        return train_for_real(backbone, references, options, **kwargs)

    monkeypatch.setattr(training, "train_injector", train)
    job_id = house.training(ada, preset="fast", steps=2)
    room.work()
    assert house.job(job_id).state == "succeeded"
    assert tried == [4, 2]


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        (torch.OutOfMemoryError("full"), "out_of_memory", True),
        (NotFinite("the loss of step 3 is nan, wanted a finite number"), "not_finite", False),
        (KeyError("a bug"), "internal", True),
    ],
)
def test_failures_have_names(
    house: House,
    room: Darkroom,
    ada: str,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    code: str,
    retryable: bool,
) -> None:
    """Whatever goes wrong ends the job by name, and the worker goes on."""

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(training, "train_injector", fail)
    job_id = house.training(ada, preset="fast", steps=2)
    room.work()
    job = house.job(job_id)
    assert (job.state, job.error["code"], job.error["retryable"]) == ("failed", code, retryable)
    assert "wanted" in job.error["detail"] or "retry" in job.error["detail"]


def test_instant_means_instant(house: House, room: Darkroom, ada: str, undisturbed: bytes, at_step: Act) -> None:
    """On the only worker, a training lets a restoration past between two steps, and ends as if it had not."""
    started: list[str] = []
    job_id = house.training(ada, preset="fast", steps=STEPS)
    at_step(3, lambda: started.append(house.restoration(ada, tier="instant")))
    room.work()
    restored, trained = house.job_of(started[0]), house.job(job_id)
    assert (restored.state, trained.state) == ("succeeded", "succeeded")
    assert restored.finished_at < trained.finished_at
    assert house.adapter_of(job_id)[1] == undisturbed
    assert trained.metrics["compute_seconds"] < (trained.finished_at - trained.started_at).total_seconds()


def test_a_training_is_not_starved(house: House, room: Darkroom, ada: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many restorations keep coming, the training gets a share of the time between them."""
    log: list[str] = []
    real = training.Training._report

    def report(self: training.Training, progress: TrainProgress) -> None:
        log.append("step")
        real(self, progress)

    monkeypatch.setattr(training.Training, "_report", report)
    one = Darkroom(replace(room.parts, options=replace(room.parts.options, batch=1)), room.worker, room.bell)
    monkeypatch.setattr(room.worker, "_parts", one.parts)
    job_id = house.training(ada, preset="fast", steps=STEPS)
    real_turn = room.worker.turn

    def turn(*kinds: Any) -> bool:
        if kinds:
            house.restoration(ada, tier="instant")  # another one is always waiting
            log.append("restoration")
        return real_turn(*kinds)

    monkeypatch.setattr(room.worker, "turn", turn)
    assert real_turn(["train"])
    assert house.job(job_id).state == "succeeded"
    assert log.count("step") == STEPS
    assert "restoration" in log
    between = "".join(word[0] for word in log)
    assert "rr" not in between
    monkeypatch.undo()
    room.work()
