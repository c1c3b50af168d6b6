"""Tests of the degradations: ranges, seeds, each part on its own, the words and the score."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from core.degradation import (
    UNTOUCHED,
    Degradation,
    combined,
    degrade,
    describe,
    draw,
    draw_second_order,
    quality_score,
)
from core.quality import WORDS

SEVERITIES = ("light", "medium", "heavy")


LUMA = (0.299, 0.587, 0.114)  # what JPEG makes brightness of


def luma(x: Tensor) -> Tensor:
    """Return the brightness (S, S) of a picture or of a difference (3, S, S)."""
    return torch.einsum("c,chw->hw", torch.tensor(LUMA), x)


def generator(seed: int = 0) -> torch.Generator:
    """Return a seeded generator."""
    return torch.Generator().manual_seed(seed)


def face(side: int = 128) -> Tensor:
    """Return a smooth picture with edges, (3, side, side) in [-1, 1]."""
    axis = torch.linspace(-3, 3, side)
    waves = torch.sin(4 * axis)[None] * torch.cos(3 * axis)[:, None]
    edges = (axis[None].abs() < 1).float() * 0.5
    return torch.stack([waves * 0.6, edges + waves * 0.2, waves.T * 0.5])


@pytest.mark.parametrize("severity", [None, *SEVERITIES])
def test_draws_keep_to_their_ranges(severity: str | None) -> None:
    """Every draw lies in FaceMe's ranges, and in its severity's part of them; half the blurs are round."""
    ranges = {
        None: ((0.2, 10.0), (1, 16), (0, 15), (30, 100)),
        "light": ((0.2, 3.5), (1, 6), (0, 5), (75, 100)),
        "medium": ((3.5, 6.5), (6, 11), (5, 10), (50, 75)),
        "heavy": ((6.5, 10.0), (11, 16), (10, 15), (30, 50)),
    }[severity]
    source = generator()
    drawn = [draw(source, severity) for _ in range(300)]
    for d in drawn:
        for value, (low, high) in zip((d.blur_sigma, d.downscale, d.noise, d.jpeg), ranges, strict=True):
            assert low <= value <= high
        assert ranges[0][0] <= d.blur_sigma_y <= ranges[0][1]
    assert 0.35 < np.mean([d.blur_sigma == d.blur_sigma_y for d in drawn]) < 0.65


def test_seeds_repeat() -> None:
    """The same seed draws and degrades to the same bits; another does not."""
    assert draw(generator(4), None) == draw(generator(4), None) != draw(generator(5), None)
    bad = draw(generator(4), "heavy")
    assert torch.equal(degrade(face(), bad, generator(1)), degrade(face(), bad, generator(1)))
    assert not torch.equal(degrade(face(), bad, generator(1)), degrade(face(), bad, generator(2)))
    assert draw_second_order(generator(3)) == draw_second_order(generator(3))


def test_unknown_severity() -> None:
    """A severity that is none names those that are."""
    with pytest.raises(ValueError, match="light, medium, heavy"):
        draw(generator(), "severe")


def test_untouched() -> None:
    """The empty degradation leaves the picture as it is, JPEG's rounding of colours apart."""
    assert luma(degrade(face(), UNTOUCHED, generator()) - face()).abs().max() < 0.02
    assert quality_score(UNTOUCHED) == 1.0
    assert describe(UNTOUCHED) == ("sharp",)


def test_blur_is_gaussian() -> None:
    """A round blur of sigma 8 px at 512 px is scipy's Gaussian of 2 px at 128 px, away from the border."""
    blurred = degrade(face(), replace(UNTOUCHED, blur_sigma=8.0, blur_sigma_y=8.0), generator())
    wanted = gaussian_filter(face().numpy(), (0, 2, 2))
    assert np.abs(blurred.numpy() - wanted)[:, 16:-16, 16:-16].mean() < 0.012


def test_oblong_blur_has_a_direction() -> None:
    """A blur along x keeps the edges that run along x, and loses the others."""
    stripes = torch.sin(torch.linspace(0, 120, 128))
    across, along = stripes[None, None].expand(3, 128, -1), stripes[None, :, None].expand(3, -1, 128)
    blur = replace(UNTOUCHED, blur_sigma=10.0, blur_sigma_y=0.2)
    assert degrade(across, blur, generator()).std() < 0.5 * degrade(along, blur, generator()).std()
    turned = replace(blur, blur_angle=np.pi / 2)
    assert degrade(across, turned, generator()).std() > 2 * degrade(along, turned, generator()).std()


def test_noise_has_its_level() -> None:
    """Noise of 12 levels in each colour is felt as that in brightness, which JPEG keeps."""
    noisy = degrade(torch.zeros(3, 256, 256), replace(UNTOUCHED, noise=12.0), generator())
    wanted = 12.0 * float(np.linalg.norm(LUMA))
    assert float(luma(noisy).std()) * 127.5 == pytest.approx(wanted, rel=0.05)


def test_downscaling_loses_detail() -> None:
    """Twice the factor at twice the side is the same picture: lengths are stated for 512 px."""
    losses = [
        float((degrade(face(), replace(UNTOUCHED, downscale=d), generator()) - face()).abs().mean()) for d in (1, 8, 16)
    ]
    assert losses == sorted(losses)
    small = degrade(face(128), replace(UNTOUCHED, downscale=16.0), generator())
    large = degrade(face(256), replace(UNTOUCHED, downscale=16.0), generator())
    halved = torch.nn.functional.interpolate(large[None], size=(128, 128), mode="bilinear", antialias=True)[0]
    assert (small - halved).abs().mean() < 0.05


def test_severities_are_ordered() -> None:
    """Each severity is worse than the one before, in pixels and in score."""
    scores, errors = [], []
    for severity in SEVERITIES:
        source = generator(2)
        drawn = [draw(source, severity) for _ in range(8)]
        scores.append(float(np.mean([quality_score(d) for d in drawn])))
        errors.append(float(np.mean([float((degrade(face(), d, source) - face()).abs().mean()) for d in drawn])))
    assert all(a > b for a, b in pairwise(scores))
    assert all(a < b for a, b in pairwise(errors))
    assert scores[0] > 0.6 > scores[1] > scores[2] > 0


def test_shape_and_range() -> None:
    """Whatever was drawn, the shape is kept and the values stay in [-1, 1]."""
    source = generator(9)
    for side in (64, 128, 300):
        for _ in range(3):
            x = degrade(face(side), draw(source, None), source)
            assert x.shape == (3, side, side)
            assert float(x.abs().max()) <= 1


def test_words() -> None:
    """Each fault has its word, and the words are those that the assessor knows."""
    faults = {
        "blurry": replace(UNTOUCHED, blur_sigma=5.0),
        "low resolution": replace(UNTOUCHED, downscale=8.0),
        "noisy": replace(UNTOUCHED, noise=9.0),
        "compressed": replace(UNTOUCHED, jpeg=40.0),
    }
    for word, degradation in faults.items():
        assert describe(degradation) == (word,)
        assert word in WORDS
    assert describe(Degradation(5.0, 5.0, 0.0, 8.0, 9.0, 40.0)) == tuple(faults)


def test_score_falls_with_every_part() -> None:
    """More of anything is worse."""
    for name, value in (("blur_sigma", 9.0), ("downscale", 12.0), ("noise", 12.0), ("jpeg", 40.0)):
        assert quality_score(replace(UNTOUCHED, **{name: value})) < 0.95
    assert quality_score(Degradation(10.0, 10.0, 0.0, 16.0, 15.0, 30.0)) == pytest.approx(0.0, abs=1e-6)


def test_rounds_combine() -> None:
    """Two rounds blur and grain like one of the root of the sum of squares, and keep the worst of the rest."""
    a, b = Degradation(3.0, 3.0, 0.1, 4.0, 6.0, 80.0), Degradation(4.0, 4.0, 0.2, 2.0, 8.0, 50.0)
    both = combined(a, b)
    assert both == Degradation(5.0, 5.0, 0.2, 4.0, 10.0, 50.0)
    assert combined() == UNTOUCHED
    assert len(draw_second_order(generator())) == 2
