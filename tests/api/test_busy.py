"""How quickly `idprefer serve` answers while its worker trains `mini` beside it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from idprefer_client import Client, JobFailed
from idprefer_client.records import Job
from tests.api.pace import Paced, keep_pace
from tests.portraits import write_album
from tests.serving import MINI, Served, serving

_AGREEMENT: dict[str, Any] = {
    "subject": "customer 17", "attested_by": "front desk", "method": "click_through", "purposes": ["train", "restore"],
    "text": "I agree.", "text_version": "1", "jurisdiction": "DE",
}  # fmt: skip
TRIES = 3
BEARABLE_SECONDS = 1.0
"""What a person at the studio takes for an answer; how fast it really is, is printed."""


def _training(client: Client, folder: Path) -> Job:
    """Start a training that is longer than what is measured; return it when it has got going."""
    references, _ = write_album(folder)
    identity_id = client.identities.create("Ada").id
    client.consents.record(identity_id, **_AGREEMENT)
    for added in client.references.add(identity_id, references):
        client.jobs.wait(str(added.job_id))  # for as long as a busy machine takes
    job = client.trainings.start(identity_id, preset="fast", steps=5000)
    for event in client.jobs.events(job.id):
        if event.type == "progress" and event.data["step"] >= 5:
            return job
    raise AssertionError("got a training that ended at once")


def _best(served: Served, job: Job, say: Callable[[str], None], what: str) -> Paced:
    tries = [asyncio.run(keep_pace(served.address, served.key, job.id)) for _ in range(TRIES)]
    best = min(tries, key=lambda paced: paced.p99)
    say(f"{what}: {best}; p99 of all: {', '.join(f'{paced.p99 * 1000:.1f} ms' for paced in tries)}")
    return best


@pytest.mark.prove
@pytest.mark.timeout(1800)
def test_beside_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """At 100 requests a second the worker's training slows the answers down, but nobody waits for a second."""

    def say(figure: str) -> None:
        with capsys.disabled():
            print(f"\n{figure}")  # noqa: T201 -- the figures are what this is for

    monkeypatch.setenv("IDPREFER_REQUESTS_PER_MINUTE", "1000000")
    with serving(tmp_path / "data", MINI) as served, Client(served.address, served.key, timeout_seconds=120) as client:
        job = _training(client, tmp_path)
        busy = _best(served, job, say, "the worker trains")
        assert client.jobs.get(job.id).state == "running"
        client.jobs.cancel(job.id)
        with pytest.raises(JobFailed, match="canceled"):
            client.jobs.wait(job.id)
        _best(served, job, say, "the worker is idle")
    assert busy.p99 <= BEARABLE_SECONDS
