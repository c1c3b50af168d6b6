"""What one training step learns from: which crops of which references, and noised how far."""

from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from core.losses import lq_started, noised
from core.options import TrainOptions
from core.references import EncodedReferences


@dataclass(frozen=True)
class Batch:
    """B examples."""

    which: Tensor  # (B,) of the references
    version: Tensor  # (B,) of their crops: which of the degraded twins the ControlNet sees, too
    noise: Tensor  # (B, C, h, w): what is to be predicted
    t: Tensor  # (B,) timesteps
    z_t: Tensor  # (B, C, h, w), eq. 2


def draw_batch(
    encoded: EncodedReferences, scheduler: DDIMScheduler, options: TrainOptions, generator: torch.Generator
) -> Batch:
    """Draw a batch: timesteps from the part of the schedule that restoring uses, the rest evenly.

    Where the references have degraded twins, z_t is what a restoration meets that began at the twin's noised latent.
    """
    # 1. which reference, which of its crops: one sample of the VAE's posterior for each, in fp32
    count = options.batch_size
    which = torch.randint(len(encoded.means), (count,), generator=generator)
    version = torch.randint(encoded.means.shape[1], (count,), generator=generator)
    means, stds = encoded.means[which, version], encoded.stds[which, version]
    z = means + stds * torch.randn(means.shape, generator=generator).to(means)
    # 2. how much noise
    last = scheduler.config.num_train_timesteps
    top = max(1, round(options.strength * last))
    noise = torch.randn(z.shape, generator=generator).to(z)
    t = torch.randint(top, (count,), generator=generator).to(z.device)
    # 3. as it would be served
    if encoded.degraded is not None and options.strength < 1:
        start = torch.full_like(t, top - 1)
        noise = lq_started(scheduler, noise, z, encoded.degraded.means[which, version], start)
    return Batch(which, version, noise, t, noised(scheduler, z, noise, t))
