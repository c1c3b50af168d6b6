"""The ControlNet's stem looks at an LQ face once, not once in a step: the face stays the same.

Restoring shows one batch of faces again and again; training comes back to the same crops in batches of other mixtures.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from diffusers import ControlNetModel
from torch import Tensor, nn


class _Kept(nn.Module):
    """A stem that remembers what it made of the one picture it is shown, for each size of the batch."""

    def __init__(self, stem: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self._made: dict[int, Tensor] = {}

    def forward(self, hint: Tensor) -> Tensor:
        if len(hint) not in self._made:
            self._made[len(hint)] = self.stem(hint)
        return self._made[len(hint)]


class _Given(nn.Module):
    """In the stem's place: what the stem made before, whatever picture is shown."""

    def __init__(self, stem: nn.Module, made: Tensor) -> None:
        super().__init__()
        self.stem = stem  # so that it goes along where the network is moved meanwhile
        self._made = made

    def forward(self, _hint: Tensor) -> Tensor:
        return self._made


@contextmanager
def hint_kept(controlnet: ControlNetModel) -> Iterator[None]:
    """Let the stem's output be kept; meanwhile the ControlNet sees one batch of pictures only. Undone on leaving."""
    with _stem_replaced(controlnet, _Kept(controlnet.controlnet_cond_embedding)):
        yield


@contextmanager
def hint_given(controlnet: ControlNetModel, embedded: Tensor) -> Iterator[None]:
    """Let the ControlNet go by what its stem made of pictures before, not by the hint that it is passed."""
    with _stem_replaced(controlnet, _Given(controlnet.controlnet_cond_embedding, embedded)):
        yield


@torch.no_grad()
def embedded_hints(controlnet: ControlNetModel, hints: Tensor) -> Tensor:
    """Return what the stem makes of pictures (n, m, 3, S, S) in [0, 1], m at a time: (n, m, C, h, w).

    It works where the stem lies: a network that waits for its turn in main memory stays there.
    """
    stem = controlnet.controlnet_cond_embedding
    reversed_channels = controlnet.config.controlnet_conditioning_channel_order == "bgr"
    pictures = (hints.flip(2) if reversed_channels else hints).to(stem.conv_in.weight.device)
    return torch.stack([stem(some) for some in pictures]).to(hints.device)


@contextmanager
def _stem_replaced(controlnet: ControlNetModel, replacement: nn.Module) -> Iterator[None]:
    stem = controlnet.controlnet_cond_embedding
    controlnet.controlnet_cond_embedding = replacement
    try:
        yield
    finally:
        controlnet.controlnet_cond_embedding = stem
