"""What goes wrong on purpose, each thing for some seconds and then over."""

import os
import random
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress

import redis

from store.doorbell import QUEUES, CeleryDoorbell
from tests.chaos.stack import Program, Stack
from tests.servers import OwnServer

Fault = Callable[[Stack, random.Random], None]


def schedule(seed: int, count: int, names: list[str] | None = None) -> list[str]:
    """Return the names of so many faults in a random order, each kind as often as any other."""
    chance = random.Random(seed)
    drawn: list[str] = []
    while len(drawn) < count:
        round_of_all = sorted(names or FAULTS)
        chance.shuffle(round_of_all)
        drawn += round_of_all
    return drawn[:count]


def _killed(program: Program, seconds: float) -> None:
    program.kill()
    time.sleep(seconds)
    program.start()


def _stopped(program: Program, seconds: float) -> None:
    program.signal(signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        program.signal(signal.SIGCONT)


def _restarted(server: OwnServer, with_signal: signal.Signals, seconds: float) -> None:
    server.end(with_signal)
    time.sleep(seconds)
    server.start()


def worker_killed(stack: Stack, chance: random.Random) -> None:
    """A whole worker dies, and comes back."""
    _killed(chance.choice(stack.workers), chance.uniform(0.5, 3))


def worker_child_killed(stack: Stack, chance: random.Random) -> None:
    """The process that works dies, as out of memory; Celery's parent starts another."""
    for child in chance.choice(stack.workers).children():
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def worker_stopped(stack: Stack, chance: random.Random) -> None:
    """A worker sleeps, perhaps longer than its lease lasts, and wakes up as if nothing had been."""
    _stopped(chance.choice(stack.workers), chance.uniform(0.5, 1.7) * stack.lease_seconds)


def worker_drained(stack: Stack, chance: random.Random) -> None:
    """A worker is told to end and is started again, as in a rolling upgrade."""
    worker = chance.choice(stack.workers)
    worker.drain()
    worker.start()


def api_killed(stack: Stack, chance: random.Random) -> None:
    """The API dies in the middle of requests."""
    _killed(stack.api, chance.uniform(0.2, 2))


def api_stopped(stack: Stack, chance: random.Random) -> None:
    """The API sleeps."""
    _stopped(stack.api, chance.uniform(1, 5))


def caretaker_killed(stack: Stack, chance: random.Random) -> None:
    """Nobody sweeps for a while."""
    _killed(stack.caretaker, chance.uniform(0.5, 5))


def redis_killed(stack: Stack, chance: random.Random) -> None:
    """The broker dies with all its bells, and comes back empty."""
    _restarted(stack.redis, signal.SIGKILL, chance.uniform(0.5, 8))


def redis_flushed(stack: Stack, chance: random.Random) -> None:
    """All bells are lost at once."""
    with redis.Redis.from_url(stack.redis.url) as broker:
        broker.flushall()


def redis_stopped(stack: Stack, chance: random.Random) -> None:
    """The broker accepts connections and says nothing."""
    assert stack.redis.process is not None
    stack.redis.process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(chance.uniform(2, 6))
    finally:
        stack.redis.process.send_signal(signal.SIGCONT)


def bells_lost(stack: Stack, chance: random.Random) -> None:
    """Bells vanish for a while before anybody hears them."""
    over = time.monotonic() + chance.uniform(2, 6)
    with redis.Redis.from_url(stack.redis.url) as broker:
        while time.monotonic() < over:
            broker.delete(*QUEUES.values())
            time.sleep(0.02)


def bells_doubled(stack: Stack, chance: random.Random) -> None:
    """It rings fifty times for nothing."""
    with closing(CeleryDoorbell(stack.settings.redis_url)) as bell:
        for _ in range(50):
            bell.wake(chance.choice(sorted(QUEUES)))


def postgres_restarted(stack: Stack, chance: random.Random) -> None:
    """The database ends all connections, and comes back."""
    _restarted(stack.postgres, signal.SIGINT, chance.uniform(0, 3))


def postgres_crashed(stack: Stack, chance: random.Random) -> None:
    """The database stops without a checkpoint, and recovers from its log."""
    _restarted(stack.postgres, signal.SIGQUIT, chance.uniform(0, 3))


def s3_refuses(stack: Stack, chance: random.Random) -> None:
    """The object store says 503 to everything."""
    stack.s3.failures = 1_000_000
    time.sleep(chance.uniform(1, 8))
    stack.s3.failures = 0


def s3_slow(stack: Stack, chance: random.Random) -> None:
    """The object store takes seconds for each answer."""
    stack.s3.delay_seconds = chance.uniform(0.5, 3)
    time.sleep(chance.uniform(3, 8))
    stack.s3.delay_seconds = 0.0


def s3_truncates(stack: Stack, chance: random.Random) -> None:
    """Every answer of the object store ends half way."""
    stack.s3.cut = True
    time.sleep(chance.uniform(1, 5))
    stack.s3.cut = False


def s3_full(stack: Stack, chance: random.Random) -> None:
    """The object store has no room for another object."""
    stack.s3.full = True
    time.sleep(chance.uniform(1, 8))
    stack.s3.full = False


FAULTS: Mapping[str, Fault] = {
    fault.__name__: fault
    for fault in (
        worker_killed, worker_child_killed, worker_stopped, worker_drained, api_killed, api_stopped, caretaker_killed,
        redis_killed, redis_flushed, redis_stopped, bells_lost, bells_doubled, postgres_restarted, postgres_crashed,
        s3_refuses, s3_slow, s3_truncates, s3_full,
    )
}  # fmt: skip
