"""Latents -> pixels: the VAE's decoder and its preview decoder, learned over an encoder that is written, not learned.

The encoder is `linear_codec`'s. The decoders see its latents with the posterior's noise on them, so that they forgive
what the denoiser leaves; the preview decoder is a small fast one for previews and for guidance.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor, nn
from torch.nn import functional

from lab.pretrain.data import CropOptions, Photos, centre_crops, random_crops

_EDGE_WEIGHT = 0.5
# Most steps see windows of this side: four times as many steps in the same time, and a decoder is local.
_WINDOW, _WINDOW_SHARE = 64, 0.9


class DecoderStage:
    """Trains both decoders over the frozen encoder, so that latents already in use stay what they are."""

    name = "autoencoder"

    def __init__(self, training: Photos, held_out: Photos, vae: AutoencoderKL, preview: AutoencoderTiny) -> None:
        self._training, self._held_out = training, held_out
        self._vae, self._preview = vae, preview
        for frozen in (vae.encoder, vae.quant_conv, preview.encoder):
            frozen.requires_grad_(False)

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the networks being trained."""
        return {"vae": self._vae, "preview": self._preview}

    @torch.no_grad()
    def draw(self, batch_size: int, generator: torch.Generator, progress: float) -> tuple[Tensor, Tensor]:
        """Return pictures and their latents, with the posterior's noise."""
        index = torch.randint(len(self._training), (batch_size,), generator=generator)
        x = random_crops(self._training.pixels[index], CropOptions(), generator).to(self._vae.device)
        if progress < _WINDOW_SHARE:
            top, left = (int(v) for v in torch.randint(x.shape[-1] - _WINDOW + 1, (2,), generator=generator))
            x = x[..., top : top + _WINDOW, left : left + _WINDOW]
        posterior = self._vae.encode(x).latent_dist
        return x, posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=generator).to(x.device)

    def loss(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Return the reconstruction errors of both decoders."""
        x, z = batch
        picture = _picture_loss(self._vae.decode(z).sample, x)
        preview = _picture_loss(self._preview.decode(z).sample, x)
        return picture + preview, {"picture": picture.item(), "preview": preview.item()}

    def evaluate(self) -> dict[str, float]:
        """Return held-out PSNR of both decoders in dB, without the posterior's noise."""
        x = centre_crops(self._held_out.pixels, 128).to(self._vae.device)
        mean = torch.cat([self._vae.encode(part).latent_dist.mean for part in x.split(16)])
        figures = {}
        for name, decoder in (("psnr", self._vae), ("preview_psnr", self._preview)):
            decoded = torch.cat([decoder.decode(part).sample for part in mean.split(16)]).clamp(-1, 1)
            figures[name] = float((-10 * torch.log10(((decoded - x) / 2).square().mean((1, 2, 3)))).mean())
        return figures


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
    edges = sum((decoded.diff(dim=dim) - x.diff(dim=dim)).abs().mean() for dim in (-1, -2))
    return functional.mse_loss(decoded, x) + (decoded - x).abs().mean() + _EDGE_WEIGHT * edges
