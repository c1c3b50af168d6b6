"""What the input still shows, for what the model made of it: its colours always, its detail as far as its quality goes.

A blur leaves the coarse structure of a face as it was, and a small denoiser draws that structure less exactly than the
input shows it. So the result's low frequencies are replaced by the input's, under a Gaussian that is the narrower the
better the input is; an untouched photo comes back almost as it was.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from core.backbone import Backbone
from core.colour import COLOUR_SIGMA, low_frequencies
from core.options import RestoreOptions

# Quality score of the input -> the Gaussian's sigma, as a share of the crop's side; between them linear in its log.
# Measured on the tuning people: where ID was best and neither noise nor blocks of the input came back.
_BELIEVED = {0.2: 1 / 32, 0.35: 1 / 48, 0.5: 1 / 85, 0.7: 1 / 128, 0.85: 1 / 235, 0.93: 1 / 350, 1.0: 1 / 400}


def blended(backbone: Backbone, x: Tensor, lq: Tensor, options: RestoreOptions) -> Tensor:
    """Return x (B, 3, S, S) in [-1, 1] with the input's colours and, by `detail_kept`, more of its frequencies."""
    if not options.colour_fix:
        return x
    sigmas = [COLOUR_SIGMA] * len(x)
    if backbone.quality is not None and options.detail_kept > 0:
        scores = [quality.score for quality in backbone.quality.assess(lq.to(backbone.device))]
        sigmas = believed(scores, options.detail_kept)
    change = lq - x
    moved = [low_frequencies(part[None], sigma)[0] for part, sigma in zip(change, sigmas, strict=True)]
    return (x + torch.stack(moved)).clamp(-1, 1)


def believed(scores: Sequence[float], detail_kept: float) -> list[float]:
    """Return for each quality score the sigma, as a share of the side, above which the input's frequencies count.

    detail_kept: 0 = colours only, whatever the score; 1 = as far as the score allows; above it further.
    """
    floor = math.log(COLOUR_SIGMA)
    trusted = np.nan_to_num(scores, nan=0.0)  # what cannot be judged is trusted least
    found = np.interp(trusted, list(_BELIEVED), [math.log(sigma) for sigma in _BELIEVED.values()])
    return [math.exp(floor + detail_kept * (value - floor)) for value in found.tolist()]
