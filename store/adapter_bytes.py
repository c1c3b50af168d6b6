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
_LABEL_BYTES = 256 * 2**10  # its report on each of 64 references takes some hundred bytes
_NAME_LETTERS = 200  # of a bundle, of a base's digest
_DIMENSIONS = 8  # adapters have two or four
_ENTRY = {"dtype", "shape", "data_offsets"}
_PLAIN = (str, int, float, bool, type(None))  # values of options
_TYPES = {"F16": ("<f2", 2), "F32": ("<f4", 4)}  # as numpy names them, and their bytes
_DIGITS = 20  # of a whole number
_UNIT = 1e-3  # how far the length of a reference's embedding may be from 1
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
        header = _strict(data[8 : 8 + length].decode())
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise DamagedAdapter("got a safetensors file whose header is no JSON object, wanted a whole adapter")
    return header, memoryview(data)[8 + length :]


def _strict(text: str) -> Any:
    """Return parsed JSON; ValueError for what one parser reads and the next one does not."""
    return json.loads(
        text, object_pairs_hook=_once, parse_constant=_no_constant, parse_int=_bounded, parse_float=_finite_number
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; one that has a key twice could mean one thing to us and another to who loads it."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise DamagedAdapter("got an adapter that has a key twice, wanted each once; export it anew")
    return found


def _bounded(digits: str) -> int:
    """Return a whole number of so many digits at most; ValueError for a longer one."""
    if len(digits) > _DIGITS:
        raise ValueError(digits[:_DIGITS])
    return int(digits)


def _finite_number(text: str) -> float:
    """Return a number; ValueError for one beyond all that a float can hold."""
    if not math.isfinite(number := float(text)):
        raise ValueError(text[:_DIGITS])
    return number


def _no_constant(constant: str) -> None:
    raise ValueError(constant)


def _check_layout(header: dict[str, Any], size: int) -> None:
    """The tensors must fill the file without gap or overlap."""
    end = 0
    try:
        spans = sorted(_span(entry) for entry in header.values())
        for start, stop in spans:
            if start != end or not start <= stop <= size:
                raise ValueError
            end = stop
    except (TypeError, ValueError):
        raise DamagedAdapter("got tensors that do not lie one after the other, wanted a whole adapter") from None
    if end != size or not spans:
        raise DamagedAdapter(f"got tensors of {end} bytes in a file that holds {size}, wanted a whole adapter")


def _span(entry: Any) -> tuple[int, int]:
    if not isinstance(entry, dict) or set(entry) != _ENTRY:
        raise DamagedAdapter("got a tensor of other entries, wanted exactly dtype, shape and data_offsets for each")
    start, stop = entry["data_offsets"]
    if type(start) is not int or type(stop) is not int:
        raise TypeError
    return start, stop


def _check_numbers(name: str, entry: dict[str, Any], body: memoryview) -> None:
    shape, kind = entry["shape"], entry["dtype"]
    if not name.startswith(_PARTS) or not isinstance(kind, str) or kind not in _TYPES:
        raise DamagedAdapter(f"got {name[:80]!r} of another name or type than an adapter's, wanted F16 or F32")
    if not isinstance(shape, list) or len(shape) > _DIMENSIONS or not all(map(_is_side, shape)):
        raise DamagedAdapter(f"got {name[:80]!r} without a shape, wanted one of at most {_DIMENSIONS} dimensions")
    start, stop = entry["data_offsets"]
    name_of_type, size = _TYPES[kind]
    if math.prod(shape) * size != stop - start:
        raise DamagedAdapter(f"got {stop - start} bytes for {name[:80]!r}, wanted as many as fit its shape")
    if not _finite(body[start:stop], name_of_type):
        raise DamagedAdapter(f"got {name[:80]!r} with numbers that are not finite; wanted an adapter as it was trained")
    if name.startswith("references.") and not _are_unit(body[start:stop], name_of_type, shape):
        raise DamagedAdapter(f"got {name[:80]!r} with embeddings that are not of unit length; wanted them as they were")


def _are_unit(numbers: memoryview, name_of_type: str, shape: list[int]) -> bool:
    """Say whether embeddings (n, D) are of unit length, as whatever is compared with them relies on; D may be 0."""
    import numpy as np

    if len(shape) != 2:
        return False
    if shape[1] == 0:
        return True
    rows = np.frombuffer(numbers, name_of_type).reshape(shape).astype(np.float64)
    return bool((np.abs(np.linalg.norm(rows, axis=-1) - 1) <= _UNIT).all())


def _is_side(side: Any) -> bool:
    return type(side) is int and 0 <= side < 2**31


def _finite(numbers: memoryview, name_of_type: str) -> bool:
    import numpy as np  # lazily: the API starts sooner, and few requests bring an adapter

    return bool(np.isfinite(np.frombuffer(numbers, name_of_type)).all())


def _label(text: Any) -> Label:
    if not isinstance(text, str) or len(text) > _LABEL_BYTES:
        raise DamagedAdapter(f"got an adapter without a label, wanted one of at most {_LABEL_BYTES:,} letters")
    try:
        metadata = _strict(text)
        label = Label(metadata["bundle"], metadata["base_digest"], metadata["options"])
    except (TypeError, KeyError, ValueError, RecursionError):
        raise DamagedAdapter(
            "got an adapter that does not say its bundle, base and options; wanted one that does"
        ) from None
    if not (_is_name(label.bundle) and _is_name(label.base_digest) and _are_options(label.options)):
        raise DamagedAdapter("got an adapter whose label has values of other types, wanted it as it was written")
    return label


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and len(name) <= _NAME_LETTERS and _is_storable(name)


def _are_options(options: Any) -> bool:
    """Say whether these are names and plain values that every database keeps."""
    return (
        isinstance(options, dict) and all(isinstance(value, _PLAIN) for value in options.values())
        and _is_storable(options)
    )  # fmt: skip


def _is_storable(value: Any) -> bool:
    """Say whether a plain value is valid UTF-8 and finite throughout, without NUL."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        return "\\u0000" not in text and bool(text.encode())
    except ValueError:
        return False
