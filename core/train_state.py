"""What a training needs to go on where it stopped, as tensors and metadata that fit into a safetensors file."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from core.backbone import Backbone
from core.errors import InvalidOption
from core.options import TrainOptions
from core.references import Reference


@dataclass(frozen=True)
class TrainState:
    """A training after some of its steps; resumed, it goes on as if it had never stopped."""

    tensors: dict[str, Tensor]  # parameters, Adam's moments, the best parameters so far
    step: int  # steps done
    fingerprint: str  # of the backbone, the references and the options: a resume must bring the same
    compute_dtype: str  # the probe that chose it may answer otherwise in another process
    best_step: int = 0  # the step with the best held-out ID
    best_identity: float | None = None  # that ID
    last_identity: float | None = None  # the latest

    def metadata(self) -> dict[str, str]:
        """Return everything but the tensors, as safetensors' metadata."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "tensors"}
        return {"training": json.dumps(values)}

    @staticmethod
    def from_parts(tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> "TrainState":
        """Return the state kept as tensors and metadata."""
        values: dict[str, Any] = json.loads(metadata["training"])
        return TrainState(tensors, **values)


def pack_state(state: TrainState) -> bytes:
    """Return a state as the bytes of a safetensors file."""
    return save(state.tensors, state.metadata())


def unpack_state(data: bytes) -> TrainState:
    """Return the state that bytes hold; InvalidOption where they are no checkpoint."""
    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return TrainState.from_parts(tensors, header["__metadata__"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InvalidOption(f"got bytes that are no checkpoint ({error}), wanted a whole one; start anew") from error


def settled(options: TrainOptions, backbone: Backbone) -> TrainOptions:
    """Return the options with what they leave to the bundle."""
    return replace(options, token_learning_rate=options.token_learning_rate or backbone.token_learning_rate)


def fingerprint(backbone: Backbone, references: Sequence[Reference], options: TrainOptions) -> str:
    """Return a SHA-256 over all that decides how a training goes; how often it is kept does not."""
    decisive = settled(options, backbone).as_dict()
    del decisive["checkpoint_every"]
    chosen = json.dumps(decisive, sort_keys=True)
    digest = hashlib.sha256(f"{backbone.digest} {chosen}".encode())
    for reference in references:
        digest.update(reference.crop.detach().cpu().float().contiguous().numpy().tobytes())
        digest.update(f"{reference.quality.score!r} {reference.quality.words!r}".encode())
    return digest.hexdigest()


def check_resumable(state: TrainState, wanted: str) -> None:
    """InvalidOption where a state belongs to another training."""
    if state.fingerprint != wanted:
        raise InvalidOption(
            "got a checkpoint of other references, options or another bundle, wanted one of this very training; "
            "start anew without it"
        )


def dtype_named(name: str) -> torch.dtype:
    """Return the dtype of a state's `compute_dtype`."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
