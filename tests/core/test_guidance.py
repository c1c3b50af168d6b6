"""Tests of eq. 7: its gradient, its step, where it acts and where it stops."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from core.arcface import to_arcface_frame
from core.backbone import Backbone
from core.guidance import IdentityTarget, acts_at, guided_noise
from core.losses import predicted_latents
from core.options import RestoreOptions

T = 400


@pytest.fixture
def scene(backbone: Backbone) -> tuple[Tensor, Tensor, IdentityTarget]:
    """Two noised latents, their noise predictions, and whom they are to resemble."""
    generator = torch.Generator().manual_seed(0)
    z_t, noise_pred = torch.randn(2, 2, *backbone.latent_shape, generator=generator)
    wanted = torch.randn(2, backbone.recognizer.embedding_size, generator=generator)
    return z_t, noise_pred, IdentityTarget(torch.nn.functional.normalize(wanted, dim=-1), torch.ones(2))


def z_hat(backbone: Backbone, z_t: Tensor, noise_pred: Tensor) -> Tensor:
    """Return the latents that a noise prediction means at T."""
    return predicted_latents(backbone.scheduler, z_t, noise_pred, torch.full((len(z_t),), T))


def cosines(backbone: Backbone, latents: Tensor, target: IdentityTarget, decode: Callable[[Tensor], Tensor]) -> Tensor:
    """Return how alike latents' faces are to their targets."""
    return (backbone.recognizer(to_arcface_frame(decode(latents))) * target.embeddings).sum(-1)


def test_literal_rule_is_eq_7(backbone: Backbone, scene: tuple[Tensor, Tensor, IdentityTarget]) -> None:
    """eps~ - eps^ is delta times the gradient, as finite differences in float64 through the full VAE give it."""
    z_t, noise_pred, target = scene
    options = RestoreOptions(literal_guidance=True, guidance_iterations=1, guidance_step=100.0)
    moved = guided_noise(backbone, z_t, noise_pred, T, target, options) - noise_pred
    exact = replace(backbone, vae=deepcopy(backbone.vae).double(), recognizer=deepcopy(backbone.recognizer).double())
    target64 = IdentityTarget(target.embeddings.double(), target.cosines)
    direction = torch.randn(noise_pred.shape, generator=torch.Generator().manual_seed(1)).double()

    def at(distance: float) -> Tensor:
        latents = z_hat(backbone, z_t.double(), noise_pred.double() + distance * direction)
        x = exact.vae.decode(latents / exact.vae.config.scaling_factor).sample
        return (exact.recognizer(to_arcface_frame(x)) * target64.embeddings).sum(-1)

    slope = (at(1e-4) - at(-1e-4)) / 2e-4
    got = (moved.double() * direction).sum(dim=(1, 2, 3)) / 100.0
    torch.testing.assert_close(got, slope, atol=1e-7, rtol=1e-2)
    assert slope.abs().min() > 1e-5


def test_step_moves_the_picture_by_the_same_amount_everywhere(
    backbone: Backbone, scene: tuple[Tensor, Tensor, IdentityTarget]
) -> None:
    """The RMS by which z-hat moves is guidance_step * sqrt(1 - abar), at any timestep: never x212 at the start."""
    z_t, noise_pred, target = scene
    options = RestoreOptions(guidance_iterations=1, guidance_step=0.1)
    for t in (150, 400, 780):
        moved = guided_noise(backbone, z_t, noise_pred, t, target, options)
        steps = torch.full((2,), t)
        shift = predicted_latents(backbone.scheduler, z_t, moved, steps) - predicted_latents(
            backbone.scheduler, z_t, noise_pred, steps
        )
        wanted = 0.1 * (1 - backbone.scheduler.alphas_cumprod[t]).sqrt()
        torch.testing.assert_close(shift.square().mean(dim=(1, 2, 3)).sqrt(), wanted.expand(2), atol=0, rtol=1e-2)


def test_guidance_raises_the_cosine(
    backbone: Backbone, scene: tuple[Tensor, Tensor, IdentityTarget], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few iterations bring each face nearer to its target; the UNet is never run."""
    monkeypatch.setattr(backbone.unet, "forward", None)
    z_t, noise_pred, target = scene
    options = RestoreOptions(guidance_iterations=5, guidance_step=0.05)
    before = cosines(backbone, z_hat(backbone, z_t, noise_pred), target, backbone.preview)
    moved = guided_noise(backbone, z_t, noise_pred, T, target, options)
    after = cosines(backbone, z_hat(backbone, z_t, moved), target, backbone.preview)
    assert (after > before).all()


def test_faces_at_their_target_are_left_alone(backbone: Backbone, scene: tuple[Tensor, Tensor, IdentityTarget]) -> None:
    """A face that is alike enough, or has no reference, keeps its noise prediction to the bit; others move."""
    z_t, noise_pred, target = scene
    content = replace(target, cosines=torch.tensor([-1.0, 1.0]))
    moved = guided_noise(backbone, z_t, noise_pred, T, content, RestoreOptions())
    assert torch.equal(moved[0], noise_pred[0])
    assert not torch.equal(moved[1], noise_pred[1])
    nobody = replace(target, embeddings=target.embeddings * torch.tensor([[0.0], [1.0]]))
    moved = guided_noise(backbone, z_t, noise_pred, T, nobody, RestoreOptions())
    assert torch.equal(moved[0], noise_pred[0])
    assert not torch.equal(moved[1], noise_pred[1])


def test_iterations_stop_at_the_target(backbone: Backbone, scene: tuple[Tensor, Tensor, IdentityTarget]) -> None:
    """However many iterations are allowed, none follows once the target is reached."""
    z_t, noise_pred, target = scene
    reached = cosines(backbone, z_hat(backbone, z_t, noise_pred), target, backbone.preview).detach()
    near = replace(target, cosines=reached + 1e-6)
    few, many = (
        guided_noise(backbone, z_t, noise_pred, T, near, RestoreOptions(guidance_iterations=n, guidance_step=0.05))
        for n in (1, 30)
    )
    assert torch.equal(few, many)


def test_no_gradient_is_left_anywhere(backbone: Backbone, scene: tuple[Tensor, Tensor, IdentityTarget]) -> None:
    """Neither the networks nor the result keep a gradient."""
    z_t, noise_pred, target = scene
    assert not guided_noise(backbone, z_t, noise_pred, T, target, RestoreOptions()).requires_grad
    for module in (backbone.unet, backbone.vae, backbone.preview_decoder, backbone.recognizer):
        assert module is not None
        assert all(p.grad is None for p in module.parameters())


def test_where_guidance_acts() -> None:
    """Inside its window and every so many steps; the literal rule always; switched off never."""
    options = RestoreOptions(guidance_window=(100, 800), guidance_every=2)
    assert [acts_at(options, step, t) for step, t in ((0, 999), (2, 800), (3, 700), (4, 100), (6, 99))] == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert acts_at(RestoreOptions(literal_guidance=True), 1, 999)
    assert not acts_at(RestoreOptions(literal_guidance=True, guidance=False), 1, 500)
    assert not acts_at(RestoreOptions(guidance=False), 0, 500)
