"""Tests of the equations against plain float64 computations."""

import math

import pytest
import torch
from diffusers import DDIMScheduler

from core.losses import (
    as_noise,
    denoising_loss,
    identity_loss,
    lq_started,
    min_snr_weight,
    noised,
    predicted_latents,
    prior_loss,
)
from lab.pretrain.networks import new_scheduler

T = torch.tensor([3, 100, 147, 500, 999])


@pytest.fixture
def scheduler() -> DDIMScheduler:
    """SDXL's noise schedule."""
    return new_scheduler()


def abar(t: int) -> float:
    """Return the cumulative product of 1 - beta of SDXL's schedule, in float64."""
    product = 1.0
    for i in range(t + 1):
        root = math.sqrt(0.00085) + (math.sqrt(0.012) - math.sqrt(0.00085)) * i / 999
        product *= 1 - root**2
    return product


def draw(seed: int) -> torch.Tensor:
    """Return a batch of random latents."""
    return torch.randn(len(T), 4, 6, 6, generator=torch.Generator().manual_seed(seed))


def test_noised_is_eq_2(scheduler: DDIMScheduler) -> None:
    """z_t = sqrt(abar) z + sqrt(1 - abar) eps."""
    z, noise = draw(0), draw(1)
    z_t = noised(scheduler, z, noise, T)
    for i, t in enumerate(T.tolist()):
        wanted = math.sqrt(abar(t)) * z[i].double() + math.sqrt(1 - abar(t)) * noise[i].double()
        torch.testing.assert_close(z_t[i].double(), wanted, atol=2e-6, rtol=1e-5)


def test_predicted_latents_undo_the_noise(scheduler: DDIMScheduler) -> None:
    """With the true noise, the backward half of eq. 2 gives z back."""
    z, noise = draw(0), draw(1)
    z_hat = predicted_latents(scheduler, noised(scheduler, z, noise, T), noise, T)
    torch.testing.assert_close(z_hat, z, atol=2e-4, rtol=1e-3)


def test_lq_started_is_where_sampling_goes(scheduler: DDIMScheduler) -> None:
    """DDIM from the noised LQ latent, towards the true z at every step, meets z under just this noise."""
    z, z_lq, noise = draw(0), draw(1), draw(2)
    begun = torch.full_like(T, 400)
    z_t = noised(scheduler, z_lq, noise, begun).double()
    wanted = lq_started(scheduler, noise, z, z_lq, begun)
    for here, there in ((400, 250), (250, 90)):
        eps = (z_t - math.sqrt(abar(here)) * z.double()) / math.sqrt(1 - abar(here))
        torch.testing.assert_close(wanted.double(), eps, atol=1e-4, rtol=1e-4)
        z_t = math.sqrt(abar(there)) * z.double() + math.sqrt(1 - abar(there)) * eps
    torch.testing.assert_close(z_t, noised(scheduler, z, wanted, torch.full_like(T, 90)).double(), atol=1e-4, rtol=1e-4)


def test_as_noise(scheduler: DDIMScheduler) -> None:
    """What a UNet puts out becomes eps: eps itself as it is, v by v = sqrt(abar) eps - sqrt(1 - abar) z."""
    z, noise = draw(0), draw(1)
    z_t = noised(scheduler, z, noise, T)
    v = torch.stack([math.sqrt(abar(t)) * noise[i] - math.sqrt(1 - abar(t)) * z[i] for i, t in enumerate(T.tolist())])
    by_v = DDIMScheduler.from_config(scheduler.config, prediction_type="v_prediction")
    by_eps = DDIMScheduler.from_config(scheduler.config, prediction_type="epsilon")
    torch.testing.assert_close(as_noise(by_v, v, z_t, T), noise, atol=1e-5, rtol=1e-5)
    assert torch.equal(as_noise(by_eps, noise, z_t, T), noise)


def test_min_snr_weight(scheduler: DDIMScheduler) -> None:
    """min(5 / SNR, 1) acts on SDXL's schedule for t < 147 only."""
    t = torch.arange(1000)
    weight = min_snr_weight(scheduler, t, gamma=5.0)
    for i in (0, 50, 146, 147, 999):
        wanted = min(5.0 * (1 - abar(i)) / abar(i), 1.0)
        assert weight[i].item() == pytest.approx(wanted, rel=2e-4)
    assert (weight < 1).nonzero().max() == 146


def test_denoising_loss_is_eq_6(scheduler: DDIMScheduler) -> None:
    """Eq. 6 per example: the weight times the mean square."""
    predicted, noise = draw(0), draw(1)
    got = denoising_loss(scheduler, predicted, noise, T, gamma=5.0)
    for i, t in enumerate(T.tolist()):
        square = ((predicted[i].double() - noise[i].double()) ** 2).mean().item()
        assert got[i].item() == pytest.approx(min(5 * (1 - abar(t)) / abar(t), 1.0) * square, rel=2e-4)


def test_prior_loss_is_eq_4() -> None:
    """Eq. 4 as a mean square, and literally as a norm."""
    ours, base = draw(0), draw(1)
    difference = (ours - base).double()
    squares, norms = prior_loss(ours, base), prior_loss(ours, base, literal=True)
    for i in range(len(T)):
        assert squares[i].item() == pytest.approx((difference[i] ** 2).mean().item(), rel=1e-5)
        assert norms[i].item() == pytest.approx(math.sqrt((difference[i] ** 2).sum().item()), rel=1e-5)


def test_literal_norm_has_a_gradient_where_both_agree() -> None:
    """At the first step theta = theta*: the norm's gradient must be zero there, not NaN."""
    ours = draw(0).requires_grad_()
    prior_loss(ours, ours.detach().clone(), literal=True).sum().backward()
    assert ours.grad is not None
    assert torch.equal(ours.grad, torch.zeros_like(ours))


def test_identity_loss(scheduler: DDIMScheduler) -> None:
    """sqrt(abar) * (1 - cos), per example."""
    generator = torch.Generator().manual_seed(0)
    ours, wanted = torch.nn.functional.normalize(torch.randn(2, len(T), 8, generator=generator), dim=-1)
    got = identity_loss(scheduler, ours, wanted, T)
    for i, t in enumerate(T.tolist()):
        cosine = (ours[i].double() * wanted[i].double()).sum().item()
        assert got[i].item() == pytest.approx(math.sqrt(abar(t)) * (1 - cosine), rel=2e-4)
