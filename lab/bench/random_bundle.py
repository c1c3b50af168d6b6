"""A backbone of any size with random weights: speed and memory do not depend on what the weights say."""

import math
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from core.arcface import IResNet
from core.backbone import Backbone, laid_out, read_manifest
from core.layout import Layout
from core.precision import compute_dtype
from lab.pretrain.networks import new_scheduler, new_tokenizer

_RESNET_100 = (3, 13, 30, 3)  # the blocks of the strongest published packs' recognizers
_BLOCK = 1 << 20  # weights that are drawn; a network repeats them
_GAIN = 0.7  # of a layer's output over its input: deep stacks of 1 would grow


class RandomBackbone(Backbone):
    """A backbone whose folder holds configurations only."""

    @cached_property
    def tokenizer(self) -> Any:
        """Return a tokenizer of our own words at SDXL's prompt length."""
        tokenizer = new_tokenizer()
        tokenizer.model_max_length = CLIPTextConfig.from_pretrained(
            self.folder / "text_encoder"
        ).max_position_embeddings
        return tokenizer

    @cached_property
    def tokenizer_2(self) -> Any:
        """Return the same for the second text encoder."""
        return self.tokenizer

    @cached_property
    def text_encoder(self) -> Any:
        """Return the first text encoder."""
        return self._text_encoder(self._drawn(CLIPTextModel, "text_encoder"))

    @cached_property
    def text_encoder_2(self) -> Any:
        """Return the second text encoder."""
        return self._text_encoder(self._drawn(CLIPTextModelWithProjection, "text_encoder_2"))

    def _drawn(self, kind: Any, part: str) -> nn.Module:
        place = torch.device("cpu") if self.turns is not None else self.device
        return drawn(lambda: kind(CLIPTextConfig.from_pretrained(self.folder / part)), place, self.dtype)


def random_backbone(
    shapes: Path,
    device: str,
    dtype: torch.dtype | None = None,
    side: int | None = None,
    layout: Layout | None = None,
    recognizer_blocks: Sequence[int] = _RESNET_100,
) -> Backbone:
    """Return a backbone of a bundle's shapes for crops of `side` px, in the dtype that computes fastest here."""
    manifest = read_manifest(shapes)
    manifest["resolution"] = side or manifest["resolution"]
    place, layout = torch.device(device), layout or Layout()
    dtype = dtype or compute_dtype(place.type)
    kinds: dict[str, Any] = {
        "unet": UNet2DConditionModel,
        "controlnet": ControlNetModel,
        "vae": AutoencoderKL,
        "preview_decoder": AutoencoderTiny,
    }
    networks = {}
    for part, kind in kinds.items():
        waits = layout.offload and part == "controlnet"
        network_place = torch.device("cpu") if waits else place
        networks[part] = drawn(partial(kind.from_config, kind.load_config(shapes / part)), network_place, dtype)
    turns = laid_out(networks, place, layout, manifest["resolution"])
    recognizer = IResNet(recognizer_blocks, (64, 128, 256, 512)).to(place).eval().requires_grad_(False)
    return RandomBackbone(
        folder=shapes,
        manifest=manifest,
        device=place,
        dtype=dtype,
        scheduler=DDIMScheduler.from_config(
            new_scheduler().config, prediction_type="epsilon", timestep_spacing="leading"
        ),
        recognizer=recognizer,
        second_recognizer=None,
        quality=None,
        identity_projection=None,
        turns=turns,
        **networks,  # type: ignore[arg-type]
    )


def drawn(build: Callable[[], nn.Module], device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Return a network whose weights are drawn on the device in the dtype: never in fp32, never twice in memory."""
    with init_empty_weights():
        network = build()
    block = torch.randn(_BLOCK, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    for path, empty in list(network.named_parameters()):
        owner, _, name = path.rpartition(".")
        weight = nn.Parameter(_filled(empty.shape, name, block), requires_grad=False)
        setattr(network.get_submodule(owner), name, weight)
    return network.to(device).eval()


def _filled(shape: torch.Size, name: str, block: Tensor) -> Tensor:
    """Return a weight: zeros for a bias, ones for a norm, else repeats of the block at the size of its fan-in."""
    if name == "bias":
        return torch.zeros(shape, device=block.device, dtype=block.dtype)
    if len(shape) < 2:
        return torch.ones(shape, device=block.device, dtype=block.dtype)
    count = math.prod(shape)
    scaled = block[:count] * (_GAIN / math.sqrt(count / shape[0]))
    return scaled.repeat(-(-count // _BLOCK))[:count].reshape(shape)
