"""The quality assessor's training: photos spoilt by degradations whose every parameter is known."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn import functional

from core.degradation import UNTOUCHED, Degradation, combined, degrade, describe, draw, draw_second_order, quality_score
from core.quality import WORDS, QualityNet
from lab.pretrain.data import CropOptions, Photos, centre_crops, random_crops

_UNTOUCHED_SHARE = 0.15
_LEFT_OUT = 0.3  # probability that a part of the degradation is: else all faults would always come together
_TWICE = 0.15  # probability of a second round
_SEVERITIES = (None, "light", "medium", "heavy")
_CROPS = CropOptions(side=128)


class QualityStage:
    """Trains a QualityNet to tell score and words of a degradation from its result."""

    name = "quality"

    def __init__(self, training: Photos, held_out: Photos, network: QualityNet) -> None:
        self._training, self._held_out, self._network = training, held_out, network

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the network."""
        return {"quality": self._network}

    def draw(self, batch_size: int, generator: torch.Generator, progress: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return spoilt crops with their true scores and words."""
        index = torch.randint(len(self._training), (batch_size,), generator=generator)
        crops = random_crops(self._training.pixels[index], _CROPS, generator)
        return spoil(crops, generator)

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Return the cross-entropies of the score and of the words."""
        spoilt, scores, words = batch
        device = next(self._network.parameters()).device
        got_scores, got_words = (out.float() for out in self._network(spoilt.to(device)))
        score = functional.binary_cross_entropy_with_logits(got_scores, scores.to(device))
        word = functional.binary_cross_entropy_with_logits(got_words, words.to(device))
        error = (torch.sigmoid(got_scores) - scores.to(device)).abs().mean()
        return 2 * score + word, {"score_error": error.item(), "words": word.item()}

    def evaluate(self) -> dict[str, float]:
        """Return the figures on held-out people."""
        return quality_figures(self._network, self._held_out)


def spoil(crops: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Degrade crops (B, 3, S, S); returns them with their true scores (B,) and words (B, len(WORDS)) in {0, 1}."""
    drawn = [draw_mixed(generator) for _ in crops]
    spoilt = []
    for crop, rounds in zip(crops, drawn, strict=True):
        for degradation in rounds:
            crop = degrade(crop, degradation, generator)
        spoilt.append(crop)
    whole = [combined(*rounds) for rounds in drawn]
    words = torch.tensor([[float(word in describe(d)) for word in WORDS] for d in whole])
    return torch.stack(spoilt), torch.tensor([quality_score(d) for d in whole]), words


def draw_mixed(generator: torch.Generator) -> list[Degradation]:
    """Draw no degradation, one of which some parts may be left out, or two in a row."""
    if torch.rand((), generator=generator) < _UNTOUCHED_SHARE:
        return []
    if torch.rand((), generator=generator) < _TWICE:
        return draw_second_order(generator)
    return [_thinned(generator)]


def quality_figures(network: QualityNet, photos: Photos) -> dict[str, float]:
    """Return the rank correlation of the score with the truth and each word's balanced accuracy, at 128 px."""
    generator = torch.Generator().manual_seed(11)
    spoilt, scores, words = spoil(centre_crops(photos.pixels, 128), generator)
    judged = [quality for part in spoilt.split(64) for quality in network.assess(part)]
    figures = {"rank_correlation": float(spearmanr([q.score for q in judged], scores.numpy()).statistic)}
    for i, word in enumerate(WORDS):
        said = np.array([word in quality.words for quality in judged])
        true = words[:, i].numpy() > 0.5
        figures[word.replace(" ", "_")] = float((said[true].mean() + (~said[~true]).mean()) / 2)
    return figures


def _thinned(generator: torch.Generator) -> Degradation:
    """Draw a degradation of any severity and leave each of its parts out now and then."""
    severity = _SEVERITIES[int(torch.randint(len(_SEVERITIES), (), generator=generator))]
    whole = draw(generator, severity)
    groups = (("blur_sigma", "blur_sigma_y"), ("downscale",), ("noise",), ("jpeg",))
    left_out = torch.rand(len(groups), generator=generator) < _LEFT_OUT
    names = [name for group, gone in zip(groups, left_out.tolist(), strict=True) if gone for name in group]
    return replace(whole, **{name: getattr(UNTOUCHED, name) for name in names})
