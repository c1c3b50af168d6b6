"""Tests of people as restorations know them, and of how alike two faces are."""

from dataclasses import replace

import pytest
import torch

from core.backbone import Backbone
from core.errors import NoUsableReference
from core.injector import Adapter
from core.likeness import FaceEmbeddings, embed, likeness, target_constant
from core.person import person_of_adapter, person_of_references
from core.references import Reference, mean_identity
from core.tokens import encode_prompt, project_identity


def recalibrated(backbone: Backbone, calibration: dict[str, object]) -> Backbone:
    """Return the bundle with another calibration."""
    return replace(backbone, manifest=backbone.manifest | {"calibration": calibration})


@torch.no_grad()
def test_person_of_references(backbone: Backbone, references: list[Reference]) -> None:
    """References alone give [V] through the projection of their weighted mean, and their embeddings, best first."""
    person = person_of_references(backbone, references[::-1])
    assert person.tier == "instant"
    assert person.scores.tolist() == pytest.approx([0.9, 0.8, 0.2])
    wanted = embed(backbone, torch.stack([reference.crop for reference in references]))
    assert person.embeddings is not None
    torch.testing.assert_close(person.embeddings.first, wanted.first)
    mean = mean_identity(wanted.first, person.scores)
    assert person.prompt is not None
    torch.testing.assert_close(person.prompt.embeds, encode_prompt(backbone, project_identity(backbone, mean)).embeds)
    assert person.identity is not None
    torch.testing.assert_close(person.identity.first[0], mean)


def test_person_without_projection(backbone: Backbone, references: list[Reference]) -> None:
    """A bundle without identity projection has guidance to go by, and no [V]."""
    person = person_of_references(replace(backbone, identity_projection=None), references)
    assert person.prompt is None
    assert person.embeddings is not None


def test_nobody(backbone: Backbone) -> None:
    """Without references there is no person."""
    with pytest.raises(NoUsableReference):
        person_of_references(backbone, [])


def test_person_of_adapter(backbone: Backbone, alice: Adapter) -> None:
    """An adapter brings its prompt, what it remembers of the references, and their scores."""
    person = person_of_adapter(backbone, alice)
    assert person.tier == "personalized"
    assert person.prompt is alice.prompt
    assert person.embeddings is not None
    assert torch.equal(person.embeddings.first, alice.references)
    assert person.scores.tolist() == pytest.approx([0.9, 0.9])


def test_adapter_of_another_second_recognizer(backbone: Backbone, alice: Adapter) -> None:
    """Another second recognizer is not asked about embeddings that are not its own; the first still is."""
    first = alice.metadata["recognizers"][0]
    other = replace(
        alice, second_references=torch.ones(2, 8), metadata=alice.metadata | {"recognizers": [first, "0" * 64]}
    )
    person = person_of_adapter(backbone, other)
    assert person.embeddings is not None
    assert person.embeddings.second.shape == (2, 0)


def test_references_replace_what_an_adapter_remembers(
    backbone: Backbone, alice: Adapter, references: list[Reference]
) -> None:
    """With photos beside the adapter, the photos are compared with and guided to."""
    person = person_of_adapter(backbone, alice, references)
    assert person.adapter is alice
    assert person.embeddings is not None
    assert len(person.embeddings) == 3


def test_likeness_is_calibrated(backbone: Backbone) -> None:
    """A stranger's cosine is 0, the same person's 1, linear between; without calibration it is the cosine itself."""
    base = torch.eye(3)
    faces = FaceEmbeddings(torch.stack([base[0], base[1], (base[0] + base[1]) / 2**0.5]), torch.zeros(3, 0))
    person = FaceEmbeddings(base[:1], torch.zeros(1, 0))
    assert likeness(backbone, faces, person).tolist() == pytest.approx([1.0, 0.0, 0.5**0.5])
    scaled = recalibrated(backbone, {"first": [0.5, 0.9]})
    assert likeness(scaled, faces, person).tolist() == pytest.approx([1.25, -1.25, (0.5**0.5 - 0.5) / 0.4])


def test_both_recognizers_speak(backbone: Backbone) -> None:
    """With two recognizers the likeness is the mean of what each says on its own scale."""
    base = torch.eye(2)
    face, person = FaceEmbeddings(base[:1], base[1:]), FaceEmbeddings(base[:1], base[:1])
    assert likeness(backbone, face, person).tolist() == [0.5]
    second_only = recalibrated(backbone, {"first": [0.0, 2.0], "second": [-1.0, 1.0]})
    assert likeness(second_only, face, person).tolist() == [0.5]


def test_target_constant(backbone: Backbone) -> None:
    """The bundle says how alike two good photos of one person are, or a constant does."""
    assert target_constant(recalibrated(backbone, {"target_cosine": 0.83})) == 0.83
    assert 0 < target_constant(backbone) < 1
