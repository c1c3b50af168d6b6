"""The ControlNet looks at the LQ face once in a restoration, not once in a step: the face stays the same."""

from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def hint_kept(controlnet: ControlNetModel) -> Iterator[None]:
    """Let the stem's output be kept; meanwhile the ControlNet sees one batch of pictures only. Undone on leaving."""
    stem = controlnet.controlnet_cond_embedding
    controlnet.controlnet_cond_embedding = _Kept(stem)
    try:
        yield
    finally:
        controlnet.controlnet_cond_embedding = stem
