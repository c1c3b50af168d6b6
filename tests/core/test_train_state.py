"""Tests of checkpoints as bytes."""

import json

import pytest
import torch
from safetensors.torch import save

from core.errors import InvalidOption
from core.train_state import TrainState, pack_state, unpack_state

STATE = TrainState({"parameter/x": torch.arange(6.0)}, 7, "f" * 64, "float32", 5, 0.25, None)


def test_round_trip() -> None:
    """A checkpoint comes back equal to the bit, numbers and all."""
    got = unpack_state(pack_state(STATE))
    assert got.metadata() == STATE.metadata()
    assert torch.equal(got.tensors["parameter/x"], STATE.tensors["parameter/x"])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no checkpoint",
        pack_state(STATE)[:-4],
        save(STATE.tensors),
        save(STATE.tensors, {"training": "{"}),
        save(STATE.tensors, {"training": json.dumps({"step": 1})}),
        save(STATE.tensors, {"training": json.dumps([1])}),
    ],
)
def test_no_checkpoint(data: bytes) -> None:
    """Bytes that are none, or half of one, are refused with what to do."""
    with pytest.raises(InvalidOption, match="start anew"):
        unpack_state(data)
