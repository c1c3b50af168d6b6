"""Tests of what of the input is kept: colours always, detail as far as its quality allows."""

from dataclasses import replace

import pytest
import torch

from core.backbone import Backbone
from core.blending import believed, blended
from core.colour import COLOUR_SIGMA, colour_shift, low_frequencies
from core.options import RestoreOptions
from core.quality import Quality


class Assessor:
    """A quality assessor that says what it is told."""

    def __init__(self, *scores: float) -> None:
        self._scores = scores

    def assess(self, crops: torch.Tensor) -> list[Quality]:
        """Return the scores, one for each crop."""
        assert len(crops) == len(self._scores)
        return [Quality(score, ("sharp",)) for score in self._scores]


def with_scores(backbone: Backbone, *scores: float) -> Backbone:
    """Return a bundle whose assessor gives these scores."""
    return replace(backbone, quality=Assessor(*scores))  # type: ignore[arg-type]


def pictures(seed: int) -> torch.Tensor:
    """Return two smooth pictures with a little noise, in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(2, 3, 4, 4, generator=generator) * 1.2 - 0.6
    smooth = torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bicubic")
    return (smooth + 0.05 * torch.randn(2, 3, 64, 64, generator=generator)).clamp(-1, 1)


def test_colours_are_the_inputs(backbone: Backbone) -> None:
    """A tinted result gets the input's colours back and, with colours only, keeps all of its own detail."""
    lq = pictures(0)
    detail = 0.1 * torch.randn(lq.shape, generator=torch.Generator().manual_seed(1))
    tinted = (lq + detail + torch.tensor([0.2, -0.1, 0.1])[:, None, None]).clamp(-1, 1)
    fixed = blended(with_scores(backbone, 0.9, 0.9), tinted, lq, RestoreOptions(detail_kept=0.0))
    assert (colour_shift(fixed, lq) < 0.2 * colour_shift(tinted, lq)).all()
    high = (fixed - low_frequencies(fixed)).flatten()
    wanted = (tinted - low_frequencies(tinted)).flatten()
    assert torch.corrcoef(torch.stack([high, wanted]))[0, 1] > 0.95


def test_the_better_the_input_the_more_of_it_is_kept(backbone: Backbone) -> None:
    """Of two equal pairs, the one whose input has the better score ends nearer to its input."""
    lq, x = pictures(0)[:1].repeat(2, 1, 1, 1), pictures(1)[:1].repeat(2, 1, 1, 1)
    good, bad = blended(with_scores(backbone, 0.9, 0.3), x, lq, RestoreOptions())
    assert (good - lq[0]).square().mean() < 0.5 * (bad - lq[0]).square().mean()


def test_without_an_assessor_only_colours(backbone: Backbone) -> None:
    """A bundle that cannot judge quality keeps colours only; without the fix the result stays what it was."""
    lq, x = pictures(0), pictures(1)
    none = replace(backbone, quality=None)
    colours = blended(with_scores(backbone, 0.9, 0.9), x, lq, RestoreOptions(detail_kept=0.0))
    assert torch.equal(blended(none, x, lq, RestoreOptions()), colours)
    assert torch.equal(blended(none, x, lq, RestoreOptions(colour_fix=False)), x)


@pytest.mark.parametrize("score", [0.0, 0.2, 0.4, 0.7, 1.0])
def test_sigma(score: float) -> None:
    """Detail kept runs from the colours' sigma to the score's own and past it; better scores have smaller ones."""
    (colours,), (own,), (past,) = (believed([score], kept) for kept in (0.0, 1.0, 1.5))
    assert colours == pytest.approx(COLOUR_SIGMA)
    assert past <= own <= colours
    (better,) = believed([min(1.0, score + 0.1)], 1.0)
    assert better <= own
