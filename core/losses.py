"""Equations 2, 4 and 6 of the paper, and the identity loss beside them.

Symbols as there: z latent, z_t noised, abar_t cumulative product, omega_t^2 = abar_t / (1 - abar_t) = SNR.
Every loss comes per example (B,), so that the caller may weight and average.
"""

import torch
from diffusers import DDIMScheduler
from torch import Tensor


def alphas_cumprod(scheduler: DDIMScheduler, t: Tensor) -> Tensor:
    """Return abar_t of timesteps t (B,) as (B, 1, 1, 1), in fp32."""
    return scheduler.alphas_cumprod.to(t.device)[t].float()[:, None, None, None]


def noised(scheduler: DDIMScheduler, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Eq. 2, forward: z_t = sqrt(abar_t) z + sqrt(1 - abar_t) eps."""
    abar = alphas_cumprod(scheduler, t)
    return abar.sqrt().to(z) * z + (1 - abar).sqrt().to(z) * noise


def lq_started(scheduler: DDIMScheduler, noise: Tensor, z: Tensor, z_lq: Tensor, start: Tensor) -> Tensor:
    """Return the noise (B, C, h, w) that lies over z where sampling began at the noised LQ latent, at timesteps start.

    z_start = sqrt(abar) z_lq + sqrt(1 - abar) eps is z under the noise eps + omega_start (z_lq - z), and deterministic
    steps carry that noise along: a network that is to restore from such a start must learn to take it off.
    """
    abar = alphas_cumprod(scheduler, start)
    return noise + (abar / (1 - abar)).sqrt().to(z) * (z_lq - z)


def as_noise(scheduler: DDIMScheduler, output: Tensor, z_t: Tensor, t: Tensor) -> Tensor:
    """Return eps_theta in fp32 from what the UNet puts out: eps itself, or v = sqrt(abar) eps - sqrt(1 - abar) z.

    A bundle's scheduler says which; all of the paper's equations are written in eps.
    """
    if scheduler.config.prediction_type == "epsilon":
        return output.float()
    abar = alphas_cumprod(scheduler, t)
    return abar.sqrt() * output.float() + (1 - abar).sqrt() * z_t.float()


def predicted_latents(scheduler: DDIMScheduler, z_t: Tensor, noise_pred: Tensor, t: Tensor) -> Tensor:
    """Eq. 2, backward: z-hat = (z_t - sqrt(1 - abar_t) eps_theta) / sqrt(abar_t)."""
    abar = alphas_cumprod(scheduler, t)
    return (z_t - (1 - abar).sqrt().to(z_t) * noise_pred) / abar.sqrt().to(z_t)


def min_snr_weight(scheduler: DDIMScheduler, t: Tensor, gamma: float) -> Tensor:
    """Return min(gamma * omega_t^-2, 1) of timesteps t (B,): it acts where the SNR exceeds gamma."""
    abar = scheduler.alphas_cumprod.to(t.device)[t].double()
    return (gamma * (1 - abar) / abar).clamp(max=1).float()


def denoising_loss(
    scheduler: DDIMScheduler, noise_pred: Tensor, noise: Tensor, t: Tensor, gamma: float = 5.0
) -> Tensor:
    """Eq. 6: min(gamma * omega_t^-2, 1) * ||eps - eps_theta||^2, the square averaged over C, h, w."""
    error = (noise_pred.float() - noise.float()).square().mean(dim=(1, 2, 3))
    return min_snr_weight(scheduler, t, gamma) * error


def prior_loss(noise_pred: Tensor, base_noise_pred: Tensor, literal: bool = False) -> Tensor:
    """Eq. 4: how far the prediction for y* moved from the frozen network's.

    By default the mean square, reduced as eq. 6 is; literally ||.||_2, by torch's norm, whose gradient is 0 (not NaN)
    where the two agree, as they do at the first step.
    """
    difference = noise_pred.float() - base_noise_pred.float()
    if literal:
        return torch.linalg.vector_norm(difference.flatten(1), dim=1)
    return difference.square().mean(dim=(1, 2, 3))


def identity_loss(scheduler: DDIMScheduler, embeddings: Tensor, wanted: Tensor, t: Tensor) -> Tensor:
    """Return sqrt(abar_t) * (1 - cos) of unit embeddings (B, D) of x0-hat and of the person."""
    abar = alphas_cumprod(scheduler, t).flatten()
    return abar.sqrt() * (1 - (embeddings.float() * wanted.float()).sum(-1))
