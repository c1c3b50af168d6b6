"""Hostile adapters at both gates, the front desk's and the worker's: each refused with its reason."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from core import errors as core_errors
from core.adapter_file import FORMAT, pack_adapter, unpack_adapter
from core.backbone import Backbone, load_backbone
from lab.pretrain.bundle import write_tiny_bundle
from store import errors as store_errors
from store.adapter_bytes import read_label
from tests.api.service import serving
from tests.core.conftest import made_adapter

SECONDS = 2.0
LONGEST_MESSAGE = 500
Header = dict[str, Any]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A tiny bundle."""
    return load_backbone(write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny", seed=0))


@pytest.fixture(scope="module")
def adapter(backbone: Backbone) -> bytes:
    """An adapter that both gates let in."""
    return pack_adapter(made_adapter(backbone, 4))


def _parts(data: bytes) -> tuple[Header, bytes]:
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


def _whole(header: Header | bytes, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def _first(header: Header) -> str:
    return next(name for name in header if name.startswith("lora."))


def _twice(data: bytes) -> bytes:
    header, body = _parts(data)
    name = _first(header)
    again = json.dumps({name: header[name]}).encode()
    return _whole(json.dumps(header).encode()[:-1] + b"," + again[1:], body)


def _two_labels(data: bytes) -> bytes:
    header, body = _parts(data)
    again = json.dumps({"__metadata__": header["__metadata__"]}).encode()
    return _whole(again[:-1] + b"," + json.dumps(header).encode()[1:], body)


def _twice_in_the_label(data: bytes) -> bytes:
    header, body = _parts(data)
    header["__metadata__"][FORMAT] = '{"bundle": "x",' + header["__metadata__"][FORMAT][1:]
    return _whole(header, body)


def _numbers(value: float, of: str) -> Callable[[bytes], bytes]:
    def poisoned(data: bytes) -> bytes:
        header, body = _parts(data)
        name = next(one for one in header if one.startswith(of))
        start, end = header[name]["data_offsets"]
        dtype = torch.float16 if header[name]["dtype"] == "F16" else torch.float32
        bad = torch.full(((end - start) // dtype.itemsize,), value, dtype=dtype).numpy().tobytes()
        return _whole(header, body[:start] + bad + body[end:])

    return poisoned


def _changed(**entry: Any) -> Callable[[bytes], bytes]:
    def changed(data: bytes) -> bytes:
        header, body = _parts(data)
        header[_first(header)].update(entry)
        return _whole(header, body)

    return changed


def _named(name: str) -> Callable[[bytes], bytes]:
    def renamed(data: bytes) -> bytes:
        header, body = _parts(data)
        header[name] = header.pop(_first(header))
        return _whole(header, body)

    return renamed


def _labelled(**entry: Any) -> Callable[[bytes], bytes]:
    def labelled(data: bytes) -> bytes:
        header, body = _parts(data)
        header["__metadata__"][FORMAT] = json.dumps(json.loads(header["__metadata__"][FORMAT]) | entry)
        return _whole(header, body)

    return labelled


def _many(count: int) -> Callable[[bytes], bytes]:
    def crowded(data: bytes) -> bytes:
        header, body = _parts(data)
        end = len(body)
        for number in range(count):
            header[f"lora.{number}"] = {"dtype": "F16", "shape": [0], "data_offsets": [end, end]}
        return _whole(header, body)

    return crowded


def _pickled(_data: bytes) -> bytes:
    # A pickle that would run a command when it is loaded; made by hand, since nothing here may know pickle.
    return b"cposix\nsystem\n(S'touch /tmp/idprefer-was-here'\ntR."


HOSTILE: dict[str, Callable[[bytes], bytes]] = {
    "a tensor twice": _twice,
    "its label twice": _two_labels,
    "an entry of its label twice": _twice_in_the_label,
    "NaN": _numbers(float("nan"), "lora."),
    "infinity": _numbers(float("inf"), "lora."),
    "NaN in an embedding": _numbers(float("nan"), "identity."),
    "another shape": _changed(shape=[1, 1]),
    "a shape below zero": _changed(shape=[-1, -16]),
    "a shape beyond every memory": _changed(shape=[2**31 - 1, 2**31 - 1]),
    "a shape of 40,000 dimensions": _changed(shape=[2**31 - 1] * 40_000),
    "a shape of nine dimensions": _changed(shape=[1] * 9),
    "a shape of text": _changed(shape="large"),
    "a shape of fractions": _changed(shape=[4.0, 4.0]),
    "another type": _changed(dtype="F64"),
    "a type that is a list": _changed(dtype=["F16"]),
    "a type of 400,000 letters": _changed(dtype="F" * 400_000),
    "offsets out of the file": _changed(data_offsets=[0, 2**40]),
    "offsets that go back": _changed(data_offsets=[64, 0]),
    "offsets of text": _changed(data_offsets=["0", "64"]),
    "offsets that are fractions": _changed(data_offsets=[0.0, 64.0]),
    "offsets that are no numbers": _changed(data_offsets=[float("nan"), 64]),
    "100,000 offsets": _changed(data_offsets=[0] * 100_000),
    "a name of 400,000 letters": _named("a" * 400_000),
    "a name that climbs": _named("../../../../etc/cron.d/x"),
    "a name that climbs behind a prefix": _named("lora./../../../etc/passwd"),
    "an absolute name": _named("/etc/passwd"),
    "a name of nul": _named("lora.\0"),
    "100,000 tensors": _many(100_000),
    "5,000 tensors": _many(5_000),
    "a header that is deep": lambda data: _whole(b"[" * 200_000 + b"]" * 200_000, b""),
    "a header larger than the file": lambda data: (2**62).to_bytes(8, "little") + data[8:],
    "a header in UTF-16": lambda data: _whole(json.dumps(_parts(data)[0]).encode("utf-16-le"), _parts(data)[1]),
    "a header that is a list": lambda data: _whole(b"[]", b""),
    "a pickle": _pickled,
    "a zip, as torch saves": lambda data: b"PK\3\4" + data,
    "another program's adapter": lambda data: save({"lora.a": torch.zeros(4).half()}, {"format": "pt"}),
    "nothing": lambda data: b"",
    "its first half": lambda data: data[: len(data) // 2],
    "a byte too many": lambda data: data + b"\0",
    "200 MiB of zeros": lambda data: bytes(200 << 20),
}
HOSTILE_LABELS: dict[str, Any] = {
    "a bundle of half a letter": {"bundle": "x\ud800"},
    "a bundle with NUL": {"bundle": "x\0"},
    "a bundle of 300 letters": {"bundle": "x" * 300},
    "a bundle that is none": {"bundle": None},
    "a digest with NUL": {"base_digest": "\0"},
    "a digest of 100,000 letters": {"base_digest": "b" * 100_000},
    "a number that is none": {"options": {"steps": float("nan")}},
    "an endless number": {"options": {"steps": float("inf")}},
    "options with NUL": {"options": {"\0": 1}},
    "options of half a letter": {"options": {"steps": "\udfff"}},
    "options in options": {"options": {"steps": {"steps": 1}}},
    "options that are a list": {"options": []},
    "a million letters": {"options": {"steps": "x" * 500_000}},
}
"""What an adapter says of itself: the desk keeps it in a database, which does not take everything that JSON can say."""
LAX_AT_THE_DESK = {"another shape", "a name that climbs behind a prefix", "a name of nul", "5,000 tensors"}
"""What only somebody who knows the bundle can see; at the desk it is bytes, and stays bytes."""


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_adapter(what: str, adapter: bytes, backbone: Backbone) -> None:
    """Within two seconds of a core both gates refuse it, and say what they got and what they wanted."""
    data = HOSTILE[what](adapter)
    started = time.process_time()
    with pytest.raises((core_errors.DamagedAdapter, core_errors.AdapterMismatch), match=r"(?s)got .*wanted"):
        unpack_adapter(data, backbone)
    if what not in LAX_AT_THE_DESK:
        with pytest.raises(store_errors.DamagedAdapter, match=r"(?s)got .*wanted") as refused:
            read_label(data)
        assert len(str(refused.value)) < LONGEST_MESSAGE
    assert time.process_time() - started < SECONDS
    assert not Path("/tmp/idprefer-was-here").exists()


@pytest.mark.parametrize("what", HOSTILE_LABELS)
def test_a_hostile_label(what: str, adapter: bytes) -> None:
    """The desk believes no label that a database would choke on."""
    with pytest.raises(store_errors.DamagedAdapter, match=r"(?s)got .*wanted") as refused:
        read_label(_labelled(**HOSTILE_LABELS[what])(adapter))
    assert len(str(refused.value)) < LONGEST_MESSAGE


def test_an_entry_too_many(adapter: bytes) -> None:
    """A tensor says its type, shape and place, and nothing else."""
    with pytest.raises(store_errors.DamagedAdapter, match="exactly dtype, shape and data_offsets"):
        read_label(_changed(note="of Grace Hopper")(adapter))


def test_a_number_beyond_every_number(adapter: bytes) -> None:
    """JSON has no endless numbers, but a number can be written that becomes one."""
    header, body = _parts(adapter)
    label = json.loads(header["__metadata__"][FORMAT])
    label["options"]["steps"] = "HERE"
    header["__metadata__"][FORMAT] = json.dumps(label).replace('"HERE"', "1e999")
    with pytest.raises(store_errors.DamagedAdapter):
        read_label(_whole(header, body))


def test_the_desk_names_the_damage(tmp_path: Path, adapter: bytes) -> None:
    """Whatever comes in place of an adapter, its sender is told so and nothing breaks."""
    with serving(tmp_path) as service:
        tenant = service.tenant()
        path = f"/v1/identities/{tenant.identity()}/adapters/import"
        whats = [HOSTILE[what] for what in HOSTILE if what not in LAX_AT_THE_DESK | {"200 MiB of zeros"}]
        for hostile in [*whats, *(_labelled(**entry) for entry in HOSTILE_LABELS.values())]:
            answer = tenant.http.post(path, files={"file": hostile(adapter)})
            assert (answer.status_code, answer.json()["code"]) == (422, "damaged_adapter"), answer.text
            assert len(answer.content) < 2 * LONGEST_MESSAGE


def test_what_is_whole_is_let_in(adapter: bytes, backbone: Backbone) -> None:
    """The adapter that all of these were made from passes both gates."""
    assert unpack_adapter(adapter, backbone).lora
    assert read_label(adapter).base_digest == backbone.base_digest
