"""The doorbell: it wakes, and it never gets in the way."""

import multiprocessing
import threading
import time
from collections.abc import Iterator

import pytest
import redis

from store.doorbell import QUEUES, CeleryDoorbell, Doorbell, LocalDoorbell
from tests.servers import free_port


@pytest.fixture
def celery_bell(redis_url: str) -> Iterator[CeleryDoorbell]:
    """A doorbell over a real broker."""
    bell = CeleryDoorbell(redis_url)
    yield bell
    bell.close()


@pytest.fixture(params=["local", "celery"])
def bell(request: pytest.FixtureRequest) -> Doorbell:
    """A doorbell of either kind."""
    if request.param == "local":
        return LocalDoorbell(threading.Event())
    made: CeleryDoorbell = request.getfixturevalue("celery_bell")
    return made


@pytest.mark.parametrize("kind", QUEUES)
def test_ringing_is_quick_and_never_fails(bell: Doorbell, kind: str) -> None:
    """Any kind can be rung for, again and again."""
    bell.wake(kind)
    started = time.monotonic()
    for _ in range(5):
        bell.wake(kind)
    assert time.monotonic() - started < 2


def test_a_ring_is_heard_once() -> None:
    """A local bell wakes who waits, at once, and one waiter only."""
    bell = LocalDoorbell(threading.Event())
    assert not bell.wait(0.01)
    threading.Timer(0.05, bell.wake, ["train"]).start()
    started = time.monotonic()
    assert bell.wait(5)
    assert time.monotonic() - started < 2
    assert not bell.wait(0.01)


def test_a_ring_reaches_another_process() -> None:
    """The flag may be one that a spawned worker shares."""
    flag = multiprocessing.get_context("spawn").Event()
    bell = LocalDoorbell(flag)
    bell.wake("restore")
    assert flag.is_set()
    assert bell.wait(1)


def test_a_ring_is_a_message_on_its_lane(celery_bell: CeleryDoorbell, redis_url: str) -> None:
    """Each kind has a queue of its own at the broker; the message carries nothing that matters."""
    with redis.Redis.from_url(redis_url) as broker:
        broker.delete(*QUEUES.values())
        celery_bell.wake("train")
        assert [broker.llen(queue) for queue in QUEUES.values()] == [0, 0, 1]
        message = broker.lpop(QUEUES["train"])
        assert isinstance(message, bytes)
        assert b"idprefer.drain" in message
        assert b"tenant" not in message


def test_an_absent_broker_only_costs_a_moment() -> None:
    """Where nobody answers, ringing gives up soon and without an error."""
    bell = CeleryDoorbell(f"redis://127.0.0.1:{free_port()}/0")
    started = time.monotonic()
    bell.wake("train")
    assert time.monotonic() - started < 5
    bell.close()
