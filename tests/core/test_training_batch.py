"""Tests of what a training step learns from."""

import torch

from core.backbone import Backbone
from core.losses import alphas_cumprod, predicted_latents
from core.options import TrainOptions
from core.references import Reference, encode_references
from core.training_batch import Batch, draw_batch


def drawn(backbone: Backbone, references: list[Reference], options: TrainOptions) -> Batch:
    """Return a batch of references with degraded twins where the options have the ControlNet on."""
    generator = torch.Generator().manual_seed(3)
    encoded = encode_references(backbone, references, generator, degraded=options.control)
    return draw_batch(encoded, backbone.scheduler, options, generator)


def test_plain(backbone: Backbone, references: list[Reference]) -> None:
    """Without the ControlNet nothing is degraded, and the noise is white."""
    batch = drawn(backbone, references, TrainOptions(batch_size=64))
    assert int(batch.t.max()) > 800
    assert abs(float(batch.noise.std()) - 1) < 0.05


def test_strength(backbone: Backbone, references: list[Reference]) -> None:
    """Timesteps come from as much of the schedule as restoring uses."""
    batch = drawn(backbone, references, TrainOptions(batch_size=64, strength=0.25))
    assert 200 < int(batch.t.max()) < 250


def test_as_served(backbone: Backbone, references: list[Reference]) -> None:
    """With the ControlNet on, the noise to predict leads from a start at the twin's latent back to the crop's."""
    generator = torch.Generator().manual_seed(3)
    encoded = encode_references(backbone, references, generator, degraded=True)
    assert encoded.degraded is not None
    options = TrainOptions(batch_size=16, control=True, strength=0.4)
    batch = draw_batch(encoded, backbone.scheduler, options, generator)
    z = predicted_latents(backbone.scheduler, batch.z_t, batch.noise, batch.t)
    means, stds = (values[batch.which, batch.version] for values in (encoded.means, encoded.stds))
    assert float(((z - means) / stds).std()) < 1.1  # a sample of the posterior
    abar = alphas_cumprod(backbone.scheduler, torch.tensor([399]))
    leaning = (abar / (1 - abar)).sqrt() * (encoded.degraded.means[batch.which, batch.version] - z)
    white = batch.noise - leaning
    assert abs(float(white.std()) - 1) < 0.1
    assert abs(float((white * leaning).mean() / leaning.square().mean())) < 0.2


def test_twins_are_degraded(backbone: Backbone, references: list[Reference]) -> None:
    """A twin shows its own crop, worse; its latents are its picture's."""
    encoded = encode_references(backbone, references, torch.Generator().manual_seed(0), degraded=True)
    assert encoded.degraded is not None
    hints = encoded.degraded.hints
    assert hints.shape == encoded.pictures.shape
    difference = (hints * 2 - 1 - encoded.pictures).abs().mean(dim=(2, 3, 4))
    assert (difference > 0).all()
    assert float(hints.min()) >= 0
    assert float(hints.max()) <= 1
    latents = backbone.encode(hints[0] * 2 - 1)
    torch.testing.assert_close(encoded.degraded.means[0], latents.detach().float(), atol=1e-4, rtol=1e-3)
