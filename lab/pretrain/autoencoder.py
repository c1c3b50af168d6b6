"""Pixels <-> latents: the VAE of a bundle and its preview decoder, a small fast copy of the VAE's decoder.

The denoiser is only as good as the latent space is smooth, so two terms ask for that: the posterior's KL, and
scale equivariance (half-size latents must decode to the half-size picture).
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor, nn
from torch.nn import functional

from lab.pretrain.data import CropOptions, Photos, centre_crops, random_crops

_KL_WEIGHT = 2e-3
_EQUIVARIANCE_WEIGHT = 0.25
_EDGE_WEIGHT = 0.5
# Most steps see windows of this side: four times as many steps in the same time, and an autoencoder is local.
_WINDOW, _WINDOW_SHARE = 64, 0.93


class AutoencoderStage:
    """Trains VAE and preview decoder together; the preview decoder sees the latents, and moves nothing else."""

    name = "autoencoder"

    def __init__(self, training: Photos, held_out: Photos, vae: AutoencoderKL, preview: AutoencoderTiny) -> None:
        self._training, self._held_out = training, held_out
        self._vae, self._preview = vae, preview
        self._preview.encoder.requires_grad_(False)

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the networks being trained."""
        return {"vae": self._vae, "preview": self._preview}

    def loss(self, batch_size: int, generator: torch.Generator, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Return reconstruction + edges + KL + scale equivariance + the preview's reconstruction."""
        index = torch.randint(len(self._training), (batch_size,), generator=generator)
        x = random_crops(self._training.pixels[index], CropOptions(), generator).to(self._vae.device)
        if progress < _WINDOW_SHARE:
            top, left = (int(v) for v in torch.randint(x.shape[-1] - _WINDOW + 1, (2,), generator=generator))
            x = x[..., top : top + _WINDOW, left : left + _WINDOW]
        posterior = self._vae.encode(x).latent_dist
        z = posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=generator).to(x.device)
        reconstruction = _picture_loss(self._vae.decode(z).sample, x)
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        half_z, half_x = (functional.interpolate(v[::2], scale_factor=0.5, mode="area") for v in (z, x))
        equivariance = _picture_loss(self._vae.decode(half_z).sample, half_x)
        preview = _picture_loss(self._preview.decode(z.detach()).sample, x)
        loss = reconstruction + _KL_WEIGHT * kl + _EQUIVARIANCE_WEIGHT * equivariance + preview
        return loss, {"picture": reconstruction.item(), "kl": kl.item(), "preview": preview.item()}

    def evaluate(self) -> dict[str, float]:
        """Return held-out PSNR of both decoders in dB, the latents' spread, and the share of it that is noise."""
        x = centre_crops(self._held_out.pixels, 128).to(self._vae.device)
        posterior = torch.cat([self._vae.encode(part).latent_dist.parameters for part in x.split(16)])
        mean, log_variance = posterior.chunk(2, dim=1)
        figures = {"latent_std": float(mean.std()), "noise_std": float(torch.exp(0.5 * log_variance).mean())}
        for name, decoder in (("psnr", self._vae), ("preview_psnr", self._preview)):
            decoded = torch.cat([decoder.decode(part).sample for part in mean.split(16)]).clamp(-1, 1)
            figures[name] = float((-10 * torch.log10(((decoded - x) / 2).square().mean((1, 2, 3)))).mean())
        return figures


class DecoderStage(AutoencoderStage):
    """Goes on training both decoders over a frozen encoder, so that latents already in use stay what they are."""

    name = "decoder"

    def __init__(self, training: Photos, held_out: Photos, vae: AutoencoderKL, preview: AutoencoderTiny) -> None:
        super().__init__(training, held_out, vae, preview)
        self._vae.encoder.requires_grad_(False)
        self._vae.quant_conv.requires_grad_(False)


def latent_scale(vae: AutoencoderKL, photos: Photos, count: int = 256) -> float:
    """Return the factor that gives the latents of the first `count` photographs unit variance."""
    with torch.no_grad():
        x = centre_crops(photos.pixels[:count], 128).to(vae.device)
        z = torch.cat([vae.encode(part).latent_dist.mean for part in x.split(16)])
    return float(1 / z.std())


def save(vae: AutoencoderKL, preview: AutoencoderTiny, scale: float, bundle: Path) -> None:
    """Write `vae/` and `preview_decoder/` in fp16 diffusers layout, both with the scaling factor."""
    vae.register_to_config(scaling_factor=scale)
    preview.register_to_config(scaling_factor=scale)
    vae.half().save_pretrained(bundle / "vae")
    preview.half().save_pretrained(bundle / "preview_decoder")
    vae.float(), preview.float()


def _picture_loss(decoded: Tensor, x: Tensor) -> Tensor:
    """Return the mean absolute error of pixels and of their differences: the second keeps edges sharp."""
    decoded = decoded.float()
    edges = sum(
        (decoded.diff(dim=dim) - x.diff(dim=dim)).abs().mean() for dim in (-1, -2)
    )
    return functional.mse_loss(decoded, x) + (decoded - x).abs().mean() + _EDGE_WEIGHT * edges
