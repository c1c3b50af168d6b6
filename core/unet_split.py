"""The UNet's forward pass in two halves: down and middle blocks, then the decoder, which alone carries the injector.

Together they equal `unet(...)`; apart, the first half need not be run twice for the prior loss, nor be differentiated
once the tokens are frozen.
"""

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from core.tokens import PromptEmbeds


@dataclass(frozen=True)
class Halfway:
    """What the decoder needs of a batch: the middle block's output, the skips, the time embedding, the prompt."""

    hidden: Tensor  # (B, C, h, w)
    skips: tuple[Tensor, ...]
    time: Tensor  # (B, E): timestep, pooled prompt and crop size
    prompt: Tensor  # (B, L, C)

    @staticmethod
    def cat(parts: "list[Halfway]") -> "Halfway":
        """Join batches, in order."""
        return Halfway(
            torch.cat([p.hidden for p in parts]),
            tuple(torch.cat(skips) for skips in zip(*(p.skips for p in parts), strict=True)),
            torch.cat([p.time for p in parts]),
            torch.cat([p.prompt for p in parts]),
        )

    def halves(self) -> "tuple[Halfway, Halfway]":
        """Split a batch in the middle."""
        count = len(self.hidden) // 2
        first, second = (
            Halfway(self.hidden[part], tuple(skip[part] for skip in self.skips), self.time[part], self.prompt[part])
            for part in (slice(None, count), slice(count, None))
        )
        return first, second


def encode_half(
    unet: UNet2DConditionModel,
    z_t: Tensor,
    t: Tensor,
    prompt: PromptEmbeds,
    conditions: dict[str, Tensor],
    residuals: tuple[list[Tensor], Tensor] | None = None,
) -> Halfway:
    """Run the down and middle blocks; residuals are the ControlNet's (down, middle), where it is on."""
    time = unet.time_embedding(unet.get_time_embed(sample=z_t, timestep=t))
    extra = unet.get_aug_embed(emb=time, encoder_hidden_states=prompt.embeds, added_cond_kwargs=conditions)
    time = time if extra is None else time + extra
    hidden = unet.conv_in(z_t)
    skips: list[Tensor] = [hidden]
    for block in unet.down_blocks:
        hidden, outputs = block(hidden_states=hidden, temb=time, **_cross(block, prompt.embeds))
        skips.extend(outputs)
    hidden = unet.mid_block(hidden, time, **_cross(unet.mid_block, prompt.embeds))
    if residuals is not None:
        down, middle = residuals
        skips = [skip + residual for skip, residual in zip(skips, down, strict=True)]
        hidden = hidden + middle
    return Halfway(hidden, tuple(skips), time, prompt.embeds)


def decode_half(unet: UNet2DConditionModel, halfway: Halfway) -> Tensor:
    """Run the decoder: Halfway -> noise prediction (B, C, h, w)."""
    hidden, skips = halfway.hidden, list(halfway.skips)
    for block in unet.up_blocks:
        count = len(block.resnets)
        used, skips = tuple(skips[-count:]), skips[:-count]
        hidden = block(
            hidden_states=hidden,
            temb=halfway.time,
            res_hidden_states_tuple=used,
            # Latents that do not halve evenly come back a pixel off, so the next skip's size decides.
            upsample_size=skips[-1].shape[2:] if skips else None,
            **_cross(block, halfway.prompt),
        )
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(hidden)))


def _cross(block: Any, embeds: Tensor) -> dict[str, Tensor]:
    """Return the prompt for a block that attends to it; SDXL's first and last blocks do not."""
    return {"encoder_hidden_states": embeds} if getattr(block, "has_cross_attention", False) else {}
