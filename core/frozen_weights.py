"""Frozen weights kept in half precision beside the full ones: autocast would cast every one of them at every use."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_CAST = (nn.Conv2d, nn.Linear)  # what autocast runs in half precision; norms stay as they are


class FrozenWeights:
    """The weights that do not learn of some networks' convolutions and linear layers, once more in another dtype."""

    def __init__(self, networks: Sequence[nn.Module], dtype: torch.dtype) -> None:
        layers = [m for network in networks for m in network.modules() if isinstance(m, _CAST)]
        frozen = {id(p): p for layer in layers for p in layer.parameters(recurse=False) if not p.requires_grad}
        self._weights: list[tuple[nn.Parameter, Tensor, Tensor]] = [
            (p, p.data, p.data.to(dtype)) for p in frozen.values() if p.is_floating_point()
        ]

    @contextmanager
    def cast(self) -> Iterator[None]:
        """Let the layers use the cast weights, through a backward pass too; afterwards they have their own again."""
        for parameter, _, cast in self._weights:
            parameter.data = cast
        try:
            yield
        finally:
            for parameter, own, _ in self._weights:
                parameter.data = own
