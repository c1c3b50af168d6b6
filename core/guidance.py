"""ID-preserving sampling: eq. 7 with a step that is the same size at every timestep, and a cosine at which to stop.

eps~ = eps^ + delta * grad_eps <f_face(D(z-hat(eps))), f_face(x_ref)>: the gradient passes through the decoder and the
face network only, since z-hat = (z_t - sqrt(1 - abar) eps) / sqrt(abar) is affine in eps; never through the UNet.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from core.arcface import to_arcface_frame
from core.backbone import Backbone
from core.losses import alphas_cumprod
from core.options import RestoreOptions


@dataclass(frozen=True)
class IdentityTarget:
    """Whom each face of a batch is to resemble, and how much."""

    embeddings: Tensor  # (B, D), unit length: f_face(x_ref); zeros for a face that has no reference
    cosines: Tensor  # (B,): at or above it a face is left alone


def acts_at(options: RestoreOptions, step: int, t: int) -> bool:
    """Say whether guidance acts at the step with timestep t; the paper's literal rule acts at every one."""
    if not options.guidance or options.literal_guidance:
        return options.guidance
    low, high = options.guidance_window
    return low <= t <= high and step % options.guidance_every == 0


def guided_noise(
    backbone: Backbone, z_t: Tensor, noise_pred: Tensor, t: int, target: IdentityTarget, options: RestoreOptions
) -> Tensor:
    """Return eps~ of eq. 7 for noise_pred (B, C, h, w); faces at their target cosine, or without one, keep theirs."""
    abar = alphas_cumprod(backbone.scheduler, torch.tensor([t]))
    noise_pred = noise_pred.float()
    for _ in range(options.guidance_iterations):
        cosines, gradient = _ascent(backbone, z_t.float(), noise_pred, abar, target, options.literal_guidance)
        wanting = target.embeddings.abs().sum(-1) > 0
        if not options.literal_guidance:
            wanting &= cosines < target.cosines
        if not wanting.any():
            break
        move = gradient if options.literal_guidance else gradient / _rms(gradient) * abar.sqrt().to(gradient)
        noise_pred = noise_pred + options.guidance_step * move * wanting[:, None, None, None]
    return noise_pred


def _ascent(
    backbone: Backbone, z_t: Tensor, noise_pred: Tensor, abar: Tensor, target: IdentityTarget, full_decoder: bool
) -> tuple[Tensor, Tensor]:
    """Return the cosine of every face (B,) and its gradient with respect to the noise prediction."""
    decode = backbone.decode if full_decoder else backbone.preview
    abar = abar.to(z_t)
    with torch.enable_grad():
        eps = noise_pred.detach().requires_grad_()
        z_hat = (z_t.detach() - (1 - abar).sqrt() * eps) / abar.sqrt()
        cosines = (backbone.recognizer(to_arcface_frame(decode(z_hat).float())) * target.embeddings).sum(-1)
        (gradient,) = torch.autograd.grad(cosines.sum(), eps)
    return cosines.detach(), gradient


def _rms(x: Tensor) -> Tensor:
    """Return the root mean square of each example, never quite zero."""
    return x.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
