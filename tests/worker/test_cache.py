"""Tests of what a worker keeps in memory."""

import threading

import pytest

from worker.cache import Warm


def sized(value: str) -> int:
    """Say that a word takes as many bytes as it has letters."""
    return len(value)


def test_the_least_recently_used_goes_first() -> None:
    """Beyond the limit in bytes, what was used longest ago is loaded anew; what was just used stays."""
    cache: Warm[str] = Warm(10, sized)
    for key in ("a", "b", "a", "c"):
        cache.get(key, "person", lambda: "12345")
    assert cache.keys() == ["c", "a"]
    assert cache.get("a", "person", lambda: "never asked") == "12345"
    assert cache.get("b", "person", lambda: "anew!") == "anew!"


def test_one_larger_than_the_limit_is_kept_alone() -> None:
    """What is being used stays, however large it is."""
    cache: Warm[str] = Warm(3, sized)
    cache.get("a", "person", lambda: "1")
    cache.get("b", "person", lambda: "12345")
    assert cache.keys() == ["b"]


def test_many_ask_and_it_is_loaded_once() -> None:
    """Threads that ask for one thing at once share one loading."""
    cache: Warm[str] = Warm(100, sized)
    loads, may_end = [], threading.Event()

    def load() -> str:
        loads.append(1)
        may_end.wait(5)
        return "value"

    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(cache.get("a", "person", load))) for _ in range(8)]
    for thread in threads:
        thread.start()
    may_end.set()
    for thread in threads:
        thread.join()
    assert (got, len(loads)) == (["value"] * 8, 1)


def test_a_failure_is_not_kept() -> None:
    """What could not be loaded is tried again the next time."""
    cache: Warm[str] = Warm(100, sized)

    def fail() -> str:
        raise OSError("the store is away")

    with pytest.raises(OSError, match="away"):
        cache.get("a", "person", fail)
    assert cache.get("a", "person", lambda: "there") == "there"


def test_who_is_erased_is_forgotten() -> None:
    """Forgetting one person, or one thing, leaves the others; what was being loaded does not come back late."""
    cache: Warm[str] = Warm(100, sized)
    for key, owner in (("a", "ada"), ("b", "bob"), ("c", "bob")):
        cache.get(key, owner, lambda: "x")
    cache.forget("ada")
    cache.forget("c")
    assert cache.keys() == ["b"]
    assert cache.get("late", "ada", lambda: "was on its way") == "was on its way"
    assert cache.keys() == ["b"]
