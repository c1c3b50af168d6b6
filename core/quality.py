"""How good a face crop is: a score in [0, 1] and the words for what is wrong with it.

The small network here was taught on degradations whose parameters are known. The words start the quality tokens Q_i.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

WORDS = ("sharp", "blurry", "noisy", "compressed", "low resolution")
HIGH_QUALITY = 0.6  # a reference of at least this score counts as HQ
_SIDE = 128


@dataclass(frozen=True)
class Quality:
    """What an assessor says of one crop."""

    score: float  # 0 = nothing left, 1 = untouched
    words: tuple[str, ...]  # of WORDS; never empty


class QualityNet(nn.Module):
    """Crops (B, 3, S, S) in [-1, 1] -> score logits (B,) and word logits (B, len(WORDS))."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.config = {"width": width}
        sizes = (3 * 4, width, 2 * width, 2 * width, 3 * width)
        layers: list[nn.Module] = [nn.PixelUnshuffle(2)]
        for inside, outside in zip(sizes[:-1], sizes[1:], strict=True):
            layers += [nn.Conv2d(inside, outside, 3, 2, 1), nn.BatchNorm2d(outside), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(2 * sizes[-1], 1 + len(WORDS))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        if crops.shape[-1] != _SIDE:
            crops = functional.interpolate(crops, size=(_SIDE, _SIDE), mode="bilinear", antialias=True)
        features = self.features(crops)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=-1)
        out = self.head(pooled)
        return out[:, 0], out[:, 1:]

    @torch.no_grad()
    def assess(self, crops: Tensor) -> list[Quality]:
        """Judge crops (B, 3, S, S) in [-1, 1]."""
        scores, words = self(crops)
        return [
            Quality(score, chosen_words(likely))
            for score, likely in zip(torch.sigmoid(scores).tolist(), torch.sigmoid(words).tolist(), strict=True)
        ]


def chosen_words(likely: Sequence[float]) -> tuple[str, ...]:
    """Return the faults likelier than not, or "sharp" where there is none."""
    faults = [word for word, p in zip(WORDS, likely, strict=True) if p > 0.5 and word != "sharp"]
    return tuple(faults) or ("sharp",)


def save_quality(network: QualityNet, folder: Path) -> None:
    """Write the network as config and weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(network.config) + "\n")
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, folder / "model.safetensors")


def load_quality(folder: Path) -> QualityNet:
    """Load what `save_quality` wrote."""
    network = QualityNet(**json.loads((folder / "config.json").read_text()))
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return network.eval()
