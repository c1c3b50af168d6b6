"""Tests of the quality assessor's interface and files."""

from pathlib import Path

import pytest
import torch

from core.quality import WORDS, QualityNet, chosen_words, load_quality, save_quality


@pytest.mark.parametrize(
    ("likely", "words"),
    [
        ((0.9, 0.1, 0.1, 0.1, 0.1), ("sharp",)),
        ((0.1, 0.1, 0.1, 0.1, 0.1), ("sharp",)),
        ((0.9, 0.9, 0.1, 0.1, 0.1), ("blurry",)),
        ((0.1, 0.6, 0.7, 0.1, 0.8), ("blurry", "noisy", "low resolution")),
    ],
)
def test_chosen_words(likely: tuple[float, ...], words: tuple[str, ...]) -> None:
    """The faults likelier than not, or "sharp" where there is none; never nothing, never both."""
    assert chosen_words(likely) == words
    assert set(words) <= set(WORDS)


@pytest.mark.parametrize("side", [64, 128, 512])
def test_any_size_is_judged(side: int) -> None:
    """Crops of any side get a score in [0, 1] and at least one word."""
    torch.manual_seed(0)
    crops = torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1
    for judged in QualityNet().eval().assess(crops):
        assert 0 <= judged.score <= 1
        assert judged.words


def test_saved_network_judges_alike(tmp_path: Path) -> None:
    """What was written and read again gives the same numbers to the bit."""
    torch.manual_seed(2)
    network = QualityNet(width=8).eval()
    save_quality(network, tmp_path / "quality")
    crops = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert load_quality(tmp_path / "quality").assess(crops) == network.assess(crops)
