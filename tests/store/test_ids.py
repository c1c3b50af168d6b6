"""Ids: prefixed, unguessable, in the order they were made."""

import time
from uuid import UUID

import pytest

from store.errors import InvalidRequest
from store.ids import kind_of, new_id


def test_an_id_is_a_uuid7_with_a_prefix() -> None:
    """After the prefix comes a UUID of version 7 that carries the time."""
    prefix, _, number = new_id("idn").partition("_")
    uuid = UUID(number)
    assert (prefix, uuid.version, uuid.variant) == ("idn", 7, "specified in RFC 4122")
    assert abs((uuid.int >> 80) / 1000 - time.time()) < 5


def test_ids_sort_by_the_time_they_were_made() -> None:
    """Even within a millisecond, later ids are greater."""
    made = []
    for _ in range(100):
        made.append(new_id("job"))
        time.sleep(2e-6)
    assert made == sorted(made)
    assert len(set(made)) == 100


def test_the_prefix_says_what_it_is() -> None:
    """The kind is read from the id; what is no id of ours is refused."""
    assert kind_of(new_id("res")) == "res"
    for wrong in ("", "res", "xyz_0123", "res_", "res_../x"):
        with pytest.raises(InvalidRequest, match="id of this service"):
            kind_of(wrong)
