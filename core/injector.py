"""The personalized injector (section 3.2 of the paper): LoRA on the cross-attention of the UNet's decoder.

`attached` puts the LoRA of any number of people into a UNet, lets every sample of a batch choose its own, and takes
them all out again: a LoRA left attached would paint one tenant's face onto another tenant's photo.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig
from peft.tuners.lora import Linear as LoraLinear
from torch import Tensor, nn

from core.options import Targets
from core.tokens import PromptEmbeds, TokenVectors

BASE = "__base__"  # PEFT's word for a sample without any adapter
_PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
# Which blocks, and which of a transformer block's two attentions (1: to itself, 2: to the prompt).
_WHERE: dict[str, tuple[str, str]] = {
    "decoder_cross": (r"up_blocks\..*", "2"),
    "all_cross": (r".*", "2"),
    "decoder_all": (r"up_blocks\..*", "[12]"),
    "all": (r".*", "[12]"),
}


def target_modules(unet: UNet2DConditionModel, targets: Targets = "decoder_cross") -> list[str]:
    """Return the names of the linear layers that carry LoRA, in the UNet's order."""
    blocks, attention = _WHERE[targets]
    pattern = re.compile(rf"{blocks}attn{attention}\.({'|'.join(map(re.escape, _PROJECTIONS))})")
    return [name for name, _ in unet.named_modules() if pattern.fullmatch(name)]


def lora_shapes(unet: UNet2DConditionModel, targets: Targets, rank: int) -> dict[str, tuple[int, int]]:
    """Return the shape of every LoRA weight, named as PEFT and diffusers name them."""
    shapes = {}
    for name in target_modules(unet, targets):
        layer = unet.get_submodule(name)
        shapes[f"{name}.lora_A.weight"] = (rank, int(layer.in_features))
        shapes[f"{name}.lora_B.weight"] = (int(layer.out_features), rank)
    return shapes


def lora_parameter_count(unet: UNet2DConditionModel, targets: Targets = "decoder_cross", rank: int = 16) -> int:
    """Return how many parameters an injector has on this UNet: 6,414,336 on SDXL's."""
    return sum(a * b for a, b in lora_shapes(unet, targets, rank).values())


def new_lora(
    unet: UNet2DConditionModel, targets: Targets, rank: int, generator: torch.Generator
) -> dict[str, nn.Parameter]:
    """Return fresh fp32 LoRA weights: A drawn as torch draws a linear layer, B zero, so that nothing changes yet."""
    lora = {}
    for name, shape in lora_shapes(unet, targets, rank).items():
        if "lora_A" in name:
            bound = shape[1] ** -0.5
            weight = (torch.rand(shape, generator=generator) * 2 - 1) * bound
        else:
            weight = torch.zeros(shape)
        lora[name] = nn.Parameter(weight.to(unet.device))
    return lora


@dataclass(frozen=True)
class Adapter:
    """Everything that personalizing one person leaves: small, safe to store, bound to one base model."""

    lora: dict[str, Tensor]  # fp16, named as PEFT and diffusers name them
    prompt: PromptEmbeds  # of y without quality words, fp32: serving needs no text encoder
    identity: TokenVectors  # [V] itself, fp32: another text pipeline can use it
    references: Tensor  # (n, D) unit embeddings of the references by the guidance recognizer, best photo first
    second_references: Tensor  # (n, D2) the same by the second recognizer; D2 = 0 where the bundle has none
    metadata: dict[str, Any]  # bundle, base_digest, recognizers, options, quality_report, training


class Attached:
    """The LoRA layers that sit in a UNet for the while, and which sample of the next batch uses which."""

    def __init__(self, unet: nn.Module, loras: Mapping[str, Mapping[str, Tensor]]) -> None:
        self._unet = unet
        self._names = set(loras)
        self._chosen: list[str] | None = None
        self._layers: dict[str, LoraLinear] = {}
        for name, lora in loras.items():
            _add(unet, self._layers, name, lora)
        for layer in self._layers.values():
            layer.register_forward_pre_hook(self._hand_over, with_kwargs=True)

    def select(self, names: Sequence[str]) -> None:
        """Choose an adapter, or `__base__`, for every sample of the next UNet calls (a CFG-doubled batch: of both)."""
        assert self._names.issuperset(set(names) - {BASE}), f"{set(names)} are not all among {self._names}"
        self._chosen = list(names)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Take the layers out for a while: others may use the UNet between two steps of a training."""
        self.remove()
        try:
            yield
        finally:
            self.insert()

    def insert(self) -> None:
        """Put the LoRA layers in the place of the UNet's own, which they wrap."""
        for path, layer in self._layers.items():
            _replace(self._unet, path, layer)

    def remove(self) -> None:
        """Put the UNet's own layers back."""
        for path, layer in self._layers.items():
            _replace(self._unet, path, layer.base_layer)

    def forget_layers(self) -> None:
        """Forget the layers: each holds a hook that holds this, so that else they would wait for a garbage collection.

        A person who was erased must not linger in memory until then.
        """
        self._layers.clear()

    def _hand_over(self, _layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Hand the choice to a PEFT layer: diffusers would drop it on the way."""
        assert self._chosen is not None, "select() comes before the first UNet call"
        # A lone adapter that everybody uses needs no gathering and scattering.
        alone = len(self._names) == 1 and self._names == set(self._chosen)
        return args, kwargs if alone else {**kwargs, "adapter_names": self._chosen}


@contextmanager
def attached(unet: UNet2DConditionModel, adapters: Mapping[str, Adapter]) -> Iterator[Attached]:
    """Put adapters into the UNet under the given names; on leaving, the UNet is what it was, to the bit."""
    with inserted(unet, {name: adapter.lora for name, adapter in adapters.items()}) as handle:
        yield handle


@contextmanager
def inserted(unet: UNet2DConditionModel, loras: Mapping[str, Mapping[str, Tensor]]) -> Iterator[Attached]:
    """Put bare LoRA weights into the UNet, as `attached` does; parameters are used as they are, so they can learn."""
    handle = Attached(unet, loras)
    try:
        handle.insert()
        yield handle
    finally:
        handle.remove()
        handle.forget_layers()


def _add(unet: nn.Module, layers: dict[str, LoraLinear], name: str, lora: Mapping[str, Tensor]) -> None:
    """Give one adapter's weights to the PEFT layers, making those that are not there yet."""
    for key, a in lora.items():
        path, part, _ = key.rsplit(".", 2)
        if part != "lora_A":
            continue
        config = LoraConfig(r=len(a), lora_alpha=len(a), init_lora_weights=False)
        with torch.device("meta"):  # drawing weights that are replaced at once would cost more than all the rest
            if path in layers:
                layers[path].update_layer(name, len(a), lora_alpha=len(a), config=config)
            else:
                base = unet.get_submodule(path)
                assert isinstance(base, nn.Linear), f"{path} is a {type(base).__name__}: another LoRA is still in it"
                layers[path] = LoraLinear(base, name, config, r=len(a), lora_alpha=len(a))
        layer = layers[path]
        layer.lora_A[name].weight = _ready(a, layer.base_layer.weight)
        layer.lora_B[name].weight = _ready(lora[f"{path}.lora_B.weight"], layer.base_layer.weight)


def _ready(value: Tensor, base_weight: Tensor) -> nn.Parameter:
    """Return a LoRA weight where the base weight is: a parameter in training as it is, else in the base's dtype."""
    if isinstance(value, nn.Parameter):
        return value
    return nn.Parameter(value.to(base_weight.device, base_weight.dtype), requires_grad=False)


def _replace(unet: nn.Module, path: str, layer: nn.Module) -> None:
    parent, _, child = path.rpartition(".")
    setattr(unet.get_submodule(parent), child, layer)
