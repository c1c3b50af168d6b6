"""Sequences of made-up requests to things that are there: what one request leaves, the next one finds."""

import os
import time

import pytest

from tests.api.hand import Hand
from tests.api.operations import operations
from tests.api.sequences import Outcome, play
from tests.api.service import Service, Tenant

SEEDS = range(1, 11)
WELL, ILL = 8, 4
EACH, WANTED = 500, 5000


def test_a_sequence(service: Service, tenant: Tenant, hand: Hand) -> None:
    """One request to every operation: no failure of ours, and every answer as the document says."""
    outcome = play(service, tenant, hand, 0, well=1, ill=0)
    assert not outcome.failures, "\n\n".join(outcome.failures)
    assert len(outcome.seen) >= len(operations()) - 1
    assert outcome.succeeded


@pytest.mark.prove
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", SEEDS)
def test_very_many_sequences(
    seed: int, service: Service, tenant: Tenant, hand: Hand, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten sequences of more than five hundred requests that build on one another; each seed goes by itself."""
    assert len(SEEDS) * EACH >= WANTED
    started, cpu = time.monotonic(), time.process_time()
    outcome = play(service, tenant, hand, seed, WELL, ILL)
    with capsys.disabled():
        print(_told(seed, outcome, time.monotonic() - started, time.process_time() - cpu))  # noqa: T201
    assert not outcome.failures, "\n\n".join(outcome.failures)
    assert outcome.seen.total() >= EACH
    assert set(outcome.statuses) >= {200, 201, 202, 204, 404, 409, 422}


def _told(seed: int, outcome: Outcome, seconds: float, cpu_seconds: float) -> str:
    statuses = ", ".join(f"{status}: {times}" for status, times in sorted(outcome.statuses.items()))
    never = sorted({name for name, _ in outcome.seen} - outcome.succeeded)
    return (
        f"\nseed {seed}: {outcome.seen.total()} cases in {seconds:.0f} s ({cpu_seconds:.0f} s CPU, load "
        f"{os.getloadavg()[0]:.1f}), {len(outcome.failures)} failures; {statuses}; "
        f"{len(outcome.succeeded)} operations succeeded, not {', '.join(never) or 'any other'}"
    )
