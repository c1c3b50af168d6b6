"""`idprefer serve` with the bundle that comes along: a stranger's first minutes, and instant beside a training."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from idprefer_client import Client
from idprefer_client.records import Job
from tests.how_to import follow
from tests.portraits import write_album
from tests.serving import MINI, serving

Say: TypeAlias = Callable[[str], None]
_FIRST_MINUTES_SECONDS = 180.0
_INSTANT_SECONDS = 10.0
_AGREEMENT: dict[str, Any] = {
    "subject": "customer 17", "attested_by": "front desk", "method": "click_through", "purposes": ["train", "restore"],
    "text": "I agree.", "text_version": "1", "jurisdiction": "DE",
}  # fmt: skip


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Tell figures whether or not the test passes: they are what this is for."""

    def aloud(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}; load {os.getloadavg()[0]:.1f}")  # noqa: T201

    return aloud


@pytest.mark.prove
@pytest.mark.timeout(1200)
def test_a_strangers_first_minutes(tmp_path: Path, say: Say) -> None:
    """On an empty folder, with curl alone and the page word for word: from `serve` to the restored photo and back."""
    references, _ = write_album(tmp_path)
    started = time.monotonic()
    with serving(tmp_path / "data", MINI) as served:
        ready = time.monotonic() - started
        said = follow(tmp_path, served.address, served.key)
        took = time.monotonic() - started
    say(f"ready after {ready:.1f} s, all done after {took:.1f} s")
    assert said.count('"state":"accepted"') == len(references)
    assert took < _FIRST_MINUTES_SECONDS


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a service with `mini` and one worker."""
    with (
        serving(tmp_path_factory.mktemp("serve") / "data", MINI) as served,
        Client(served.address, served.key, timeout_seconds=120.0) as made,
    ):
        yield made


def trained(client: Client, identity_id: str, share: float = 1.0, beside: Callable[[], None] | None = None) -> Job:
    """Train; do something beside it, once, when it has done a share of its steps."""
    job = client.trainings.start(identity_id, preset="balanced", seed=7)
    for event in client.jobs.events(job.id):
        if beside is not None and event.type == "progress" and event.data["step"] >= share * event.data["total"]:
            beside()
            beside = None
    assert beside is None
    return client.jobs.wait(job.id)


def rounded(figures: list[float]) -> str:
    """Return figures as they are told."""
    return ", ".join(f"{figure:.1f}" for figure in figures)


def seconds(job: Job) -> float:
    """Return how long a job took, from its start to its end."""
    assert job.started_at is not None
    assert job.finished_at is not None
    return (job.finished_at - job.started_at).total_seconds()


@pytest.mark.prove
@pytest.mark.timeout(1800)
def test_instant_means_instant(client: Client, tmp_path: Path, say: Say) -> None:
    """An instant restoration beside a training is done in time; the training ends at most that much later, the same."""
    references, bad = write_album(tmp_path)
    identity_id = client.identities.create("Ada").id
    client.consents.record(identity_id, **_AGREEMENT)
    client.references.add(identity_id, references, wait_seconds=60)
    took: list[float] = []

    def restore() -> None:
        asked = time.monotonic()
        restored = client.restorations.create(bad, identity_id, tier="instant", wait_seconds=60)
        took.append(time.monotonic() - asked)
        assert restored.state == "succeeded"

    alone = trained(client, identity_id)
    expected = client.adapters.get(str(alone.adapter_id)).digest
    late = []
    for share in (0.0, 0.5, 0.9):
        job = trained(client, identity_id, share, restore)
        assert client.adapters.get(str(job.adapter_id)).digest == expected
        late.append(seconds(job) - seconds(alone))
    say(f"training alone {seconds(alone):.1f} s; instant beside it {rounded(took)} s; it ended {rounded(late)} s later")
    assert max(took) < _INSTANT_SECONDS
    assert max(late) < _INSTANT_SECONDS
