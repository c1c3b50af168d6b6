"""Prefixed UUIDv7 ids: they say what they name, and sort by the time they were made."""

import secrets
import time

from store.errors import InvalidRequest

PREFIXES = frozenset(
    {
        "ten",
        "key",
        "idn",
        "con",
        "ref",
        "adp",
        "upl",
        "res",
        "job",
        "era",
        "whe",
        "dlv",
        "evt",
        "aud",
        "use",
        "wrk",
        "obx",
    }
)


def new_id(prefix: str) -> str:
    """Return a new id, such as idn_01939a5c...; the third group counts parts of a millisecond (RFC 9562, method 3)."""
    assert prefix in PREFIXES
    nanoseconds = time.time_ns()
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    part = rest * 4096 // 1_000_000
    number = (milliseconds << 80) | (0x7 << 76) | (part << 64) | (0b10 << 62) | secrets.randbits(62)
    return f"{prefix}_{number:032x}"


def first_id(prefix: str, moment: float) -> str:
    """Return what sorts before every id made after a moment, in seconds since the epoch."""
    assert prefix in PREFIXES
    return f"{prefix}_{int(moment * 1000) << 80:032x}"


def kind_of(row_id: str) -> str:
    """Return the prefix of an id; InvalidRequest where it has none of ours."""
    prefix, _, rest = row_id.partition("_")
    if prefix not in PREFIXES or not rest.isalnum():
        raise InvalidRequest(f"got {row_id[:60]!r}, wanted an id of this service; copy it from where it was shown")
    return prefix
