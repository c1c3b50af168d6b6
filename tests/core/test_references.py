"""Tests of the reference photos: which is kept out, which one guides, what is cached of them."""

from collections.abc import Sequence

import pytest
import torch

from core.backbone import Backbone
from core.errors import NoUsableReference
from core.references import (
    Reference,
    check_references,
    encode_references,
    face_embeddings,
    guiding_reference,
    held_out_reference,
    mean_identity,
    target_cosine,
)

A, B, C = torch.nn.functional.normalize(torch.tensor([[1.0, 0.1, 0.0], [1.0, 0.5, 0.0], [0.0, 1.0, 0.2]]), dim=-1)


@pytest.mark.parametrize(
    ("scores", "kept_out"),
    [
        ([0.9], None),
        ([0.2], None),
        ([0.9, 0.8], 1),
        ([0.7, 0.9, 0.8, 0.1], 2),
        ([0.9, 0.2], None),
        ([0.9, 0.2, 0.4], 2),
        ([0.3, 0.2], None),
        ([0.3, 0.2, 0.1], 0),
    ],
)
def test_held_out_reference(scores: Sequence[float], kept_out: int | None) -> None:
    """The second best good one, or else the best bad one of three; never the only good one, never a lone one."""
    assert held_out_reference(scores) == kept_out


def test_target_cosine() -> None:
    """The median over pairs of good references; fewer than two of them: the bundle's constant."""
    embeddings = torch.stack([A, B, C])
    assert target_cosine(embeddings, torch.tensor([0.9, 0.9, 0.1]), 0.4) == pytest.approx((A @ B).item())
    pairs = sorted([(A @ B).item(), (A @ C).item(), (B @ C).item()])
    assert target_cosine(embeddings, torch.tensor([0.9, 0.9, 0.9]), 0.4) == pytest.approx(pairs[1])
    assert target_cosine(embeddings, torch.tensor([0.9, 0.1, 0.1]), 0.4) == 0.4


def test_guiding_reference() -> None:
    """The good reference most like the input, though a bad one be more like it; with none good, the best."""
    embeddings = torch.stack([A, B, C])
    assert torch.equal(guiding_reference(embeddings, torch.tensor([0.9, 0.8, 0.1]), C), B)
    assert torch.equal(guiding_reference(embeddings, torch.tensor([0.1, 0.3, 0.2]), C), B)


def test_mean_identity_weighs_by_quality() -> None:
    """A better photo counts for more, and the mean has unit length."""
    mean = mean_identity(torch.stack([A, C]), torch.tensor([0.9, 0.1]))
    assert mean.norm().item() == pytest.approx(1.0)
    assert mean @ A > mean @ C


def test_no_reference() -> None:
    """Nothing to learn from is an error a person can mend."""
    with pytest.raises(NoUsableReference):
        check_references([], 128)


def test_wrong_size(references: list[Reference]) -> None:
    """A crop of another size is named with both sizes."""
    with pytest.raises(ValueError, match="128.*64"):
        check_references(references, 64)


def test_encoded_references(backbone: Backbone, references: list[Reference]) -> None:
    """The first crop is the photo itself, the second its mirror image, and the latents are theirs."""
    encoded = encode_references(backbone, references, torch.Generator().manual_seed(0))
    for i, reference in enumerate(references):
        torch.testing.assert_close(encoded.pictures[i, 0], reference.crop, atol=1e-4, rtol=0)
        torch.testing.assert_close(encoded.pictures[i, 1], reference.crop.flip(-1), atol=1e-4, rtol=0)
        latents = backbone.encode(encoded.pictures[i]).detach()
        torch.testing.assert_close(encoded.means[i], latents, atol=1e-5, rtol=1e-4)
    assert (encoded.stds > 0).all()
    assert torch.equal(encoded.embeddings, face_embeddings(backbone, torch.stack([r.crop for r in references])))
