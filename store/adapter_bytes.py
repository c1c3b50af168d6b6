"""An adapter's bytes, looked at without loading them: safetensors, our format, nothing but finite numbers.

Names, shapes and types are compared with the backbone's own by the worker, before it uses them.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

from store.errors import DamagedAdapter

FORMAT = "idprefer-adapter-1"
MAX_BYTES = 64 * 2**20
_HEADER_BYTES = 2**20
_TYPES = {"F16": ("<f2", 2), "F32": ("<f4", 4)}  # as numpy names them, and their bytes
_PARTS = ("lora.", "prompt.", "identity.", "references.")


@dataclass(frozen=True)
class Label:
    """What an adapter says of itself."""

    bundle: str
    base_digest: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Checked:
    """An adapter's bytes that are what they say; `digest` is their SHA-256."""

    data: bytes
    digest: str
    label: Label


def checked(data: bytes) -> Checked:
    """Check an adapter's bytes: before a transaction begins, since it takes a while; else DamagedAdapter."""
    label = read_label(data)
    return Checked(data, hashlib.sha256(data).hexdigest(), label)


def read_label(data: bytes) -> Label:
    """Return an adapter's label once its bytes are known to be what they say; DamagedAdapter where not."""
    header, body = _split(data)
    stored = header.pop("__metadata__", {})
    if not isinstance(stored, dict) or list(stored) != [FORMAT]:
        raise DamagedAdapter(f"got a file without the metadata {FORMAT!r}, wanted an adapter as this service writes it")
    _check_layout(header, len(body))
    for name, entry in header.items():
        _check_numbers(name, entry, body)
    return _label(stored[FORMAT])


def _split(data: bytes) -> tuple[dict[str, Any], memoryview]:
    if len(data) > MAX_BYTES:
        raise DamagedAdapter(f"got an adapter of {len(data):,} bytes, wanted at most {MAX_BYTES:,}")
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= length <= min(_HEADER_BYTES, len(data) - 8):
        raise DamagedAdapter("got bytes that are no safetensors file, wanted a whole adapter; download it anew")
    try:
        header = json.loads(data[8 : 8 + length], object_pairs_hook=_once)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise DamagedAdapter("got a safetensors file whose header is no JSON object, wanted a whole adapter")
    return header, memoryview(data)[8 + length :]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; one that has a key twice could mean one thing to us and another to who loads it."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise DamagedAdapter("got an adapter that has a key twice, wanted each once; export it anew")
    return found


def _check_layout(header: dict[str, Any], size: int) -> None:
    """The tensors must fill the file without gap or overlap."""
    end = 0
    try:
        spans = sorted(tuple(entry["data_offsets"]) for entry in header.values())
        for start, stop in spans:
            if start != end or stop < start:
                raise ValueError
            end = stop
    except (TypeError, KeyError, ValueError):
        raise DamagedAdapter("got tensors that do not lie one after the other, wanted a whole adapter") from None
    if end != size or not spans:
        raise DamagedAdapter(f"got tensors of {end} bytes in a file that holds {size}, wanted a whole adapter")


def _check_numbers(name: str, entry: dict[str, Any], body: memoryview) -> None:
    shape, kind = entry.get("shape"), entry.get("dtype")
    if not name.startswith(_PARTS) or kind not in _TYPES:
        raise DamagedAdapter(f"got the tensor {name[:80]!r} of type {kind!r}, wanted those of an adapter, F16 or F32")
    if not isinstance(shape, list) or not all(type(side) is int and 0 <= side < 2**31 for side in shape):
        raise DamagedAdapter(f"got the tensor {name[:80]!r} without a shape, wanted one")
    start, stop = entry["data_offsets"]
    name_of_type, size = _TYPES[kind]
    if math.prod(shape) * size != stop - start:
        raise DamagedAdapter(f"got {stop - start} bytes for {name[:80]!r} of shape {shape}, wanted as many as fit it")
    if not _finite(body[start:stop], name_of_type):
        raise DamagedAdapter(f"got {name[:80]!r} with numbers that are not finite; wanted an adapter as it was trained")


def _finite(numbers: memoryview, name_of_type: str) -> bool:
    import numpy as np  # lazily: the API starts sooner, and few requests bring an adapter

    return bool(np.isfinite(np.frombuffer(numbers, name_of_type)).all())


def _label(text: Any) -> Label:
    try:
        metadata = json.loads(text, object_pairs_hook=_once)
        label = Label(metadata["bundle"], metadata["base_digest"], metadata["options"])
    except (TypeError, KeyError, ValueError, RecursionError):
        raise DamagedAdapter(
            "got an adapter that does not say its bundle, base and options; wanted one that does"
        ) from None
    if not (isinstance(label.bundle, str) and isinstance(label.base_digest, str) and isinstance(label.options, dict)):
        raise DamagedAdapter("got an adapter whose label has values of other types, wanted it as it was written")
    return label
