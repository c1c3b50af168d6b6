"""Sequences of made-up requests to things that are there: what one request leaves, the next one finds."""

import os
import time

import pytest

from tests.api.hand import Hand
from tests.api.sequences import LENGTH, Outcome, play
from tests.api.service import Service, Tenant

FEW = 5
SEEDS = range(1, 15)
PER_SEED = 50
WANTED = 5000


def test_some_sequences(service: Service, tenant: Tenant, hand: Hand) -> None:
    """A few sequences of eight requests: no failure of ours, and every answer as the document says."""
    outcome = play(service, tenant, hand, 0, FEW)
    assert not outcome.failures, "\n\n".join(outcome.failures)
    assert outcome.seen.total() == FEW * LENGTH
    assert outcome.succeeded


@pytest.mark.prove
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", SEEDS)
def test_very_many_sequences(
    seed: int, service: Service, tenant: Tenant, hand: Hand, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fourteen seeds of fifty sequences: 5,600 requests that build on one another; each seed goes by itself."""
    assert len(SEEDS) * PER_SEED * LENGTH >= WANTED
    started, cpu = time.monotonic(), time.process_time()
    outcome = play(service, tenant, hand, seed, PER_SEED)
    with capsys.disabled():
        print(_told(seed, outcome, time.monotonic() - started, time.process_time() - cpu))  # noqa: T201
    assert not outcome.failures, "\n\n".join(outcome.failures)
    assert outcome.seen.total() >= PER_SEED * LENGTH
    assert set(outcome.statuses) >= {200, 201, 202, 204, 404, 409, 422}


def _told(seed: int, outcome: Outcome, seconds: float, cpu_seconds: float) -> str:
    statuses = " ".join(f"{status}:{times}" for status, times in sorted(outcome.statuses.items()))
    return (
        f"\nseed {seed}: {outcome.seen.total()} cases in {seconds:.0f} s ({cpu_seconds:.0f} s CPU, load "
        f"{os.getloadavg()[0]:.1f}), {len(outcome.succeeded)} operations succeeded, {len(outcome.failures)} failures; "
        f"{statuses}"
    )
