"""How a bundle's networks lie on a device: all at once, or sparing of its memory; tuned for it, or as they come."""

from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import send_to_device
from diffusers import AutoencoderKL
from diffusers.models.attention import BasicTransformerBlock
from torch import nn

# Weights may take this share of a card; the rest is for activations, which at 512 px are about as much again.
_WEIGHTS_SHARE = 0.5


@dataclass(frozen=True)
class Layout:
    """Ways to spend less memory, or less time. Results agree to rounding, tiling apart, which draws faint seams."""

    offload: bool = False  # text encoders and ControlNet wait in main memory, and take turns on the device
    tiled_vae: bool = False  # the VAE works on quarters that overlap
    checkpointed: bool = False  # the UNet's activations are computed again in the backward pass instead of kept
    channels_last: bool = False  # memory order of UNet and ControlNet; decoders and recognizers have it anyway
    compiled: bool = False  # transformer blocks go through torch.compile; the first calls take minutes


SMALL_CARD = Layout(offload=True, tiled_vae=True, checkpointed=True)


def fitting_layout(weights_bytes: int, memory_bytes: int | None) -> Layout:
    """Return the layout for weights on a device of so much memory; None: main memory, where nothing is to be spared."""
    if memory_bytes is None or weights_bytes <= _WEIGHTS_SHARE * memory_bytes:
        return Layout()
    return SMALL_CARD


def device_memory(device: torch.device) -> int | None:
    """Return the bytes of a CUDA card; None for a CPU and for what cannot tell."""
    if device.type != "cuda":
        return None
    return int(torch.cuda.get_device_properties(device).total_memory)


def half_dtype(device: torch.device) -> torch.dtype:
    """Return the half precision of a device: bf16 where it computes in it, since fp16 overflows; else fp16."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16


def tile_vae(vae: AutoencoderKL, side: int) -> None:
    """Let a VAE work on tiles of half a crop's side: its own tiles are as large as the pictures it was trained on."""
    vae.enable_tiling()
    vae.tile_sample_min_size = side // 2
    vae.tile_latent_min_size = side // 2 // 2 ** (len(vae.config.block_out_channels) - 1)


def compile_blocks(*networks: nn.Module) -> None:
    """Compile networks' transformer blocks, each kind once; LoRA may come and go between them."""
    for module in (module for network in networks for module in network.modules()):
        if isinstance(module, BasicTransformerBlock):
            module.compile()


class Turns:
    """Networks too large to lie on a device together: one is brought when it is called, and those idle are sent away.

    What a gradient will pass through stays until it was called without one: its weights are needed once more.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._networks: dict[str, list[nn.Module]] = {}
        self.present: set[str] = set()
        self._held: set[str] = set()  # by a gradient to come

    def add(self, turn: str, network: nn.Module) -> None:
        """Give a network a turn; those of one turn lie on the device together."""
        self._networks.setdefault(turn, []).append(network.to("cpu"))
        self.present.discard(turn)
        network.register_forward_pre_hook(
            lambda _network, args, kwargs: self._bring(turn, args, kwargs), with_kwargs=True
        )

    def _bring(self, turn: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        (self._held.add if torch.is_grad_enabled() else self._held.discard)(turn)
        for other in self.present - self._held - {turn}:
            self._move(other, torch.device("cpu"))
            self.present.discard(other)
        if turn not in self.present:
            self._move(turn, self._device)
            self.present.add(turn)
        # Whoever calls looks at where the network lies, and it lay elsewhere.
        return send_to_device(args, self._device), send_to_device(kwargs, self._device)

    def _move(self, turn: str, device: torch.device) -> None:
        for network in self._networks[turn]:
            network.to(device)
