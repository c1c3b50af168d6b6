"""A person as a restoration knows them: by an adapter, or by reference photos alone (the instant tier)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from core.backbone import Backbone
from core.injector import Adapter
from core.likeness import FaceEmbeddings, embed
from core.references import Reference, check_references, mean_identity
from core.tokens import PromptEmbeds, encode_prompt, project_identity

Tier = Literal["base", "instant", "personalized"]


@dataclass(frozen=True)
class Person:
    """Whom a face is restored as."""

    prompt: PromptEmbeds | None  # y: the adapter's, or the references' through the identity projection
    embeddings: FaceEmbeddings | None  # of the references, best photo first; None: other recognizers made them
    scores: torch.Tensor  # (n,) quality of the references
    adapter: Adapter | None = None

    @property
    def tier(self) -> Tier:
        """Return what a restoration as this person is called."""
        return "instant" if self.adapter is None else "personalized"

    @property
    def identity(self) -> FaceEmbeddings | None:
        """Return the quality-weighted mean of the references, one row for each recognizer."""
        if self.embeddings is None:
            return None
        rows = (self.embeddings.first, self.embeddings.second)
        return FaceEmbeddings(*(mean_identity(row, self.scores)[None] for row in rows))


def person_of_adapter(backbone: Backbone, adapter: Adapter, references: Sequence[Reference] = ()) -> Person:
    """Return the person an adapter was trained for; references beside it replace those that it remembers.

    An adapter fits any bundle of its base. Where that bundle has other recognizers, what the adapter remembers of the
    references means nothing to them: without references there is no guidance and no measuring then.
    """
    if references:
        embeddings, scores = _known(backbone, references)
        return Person(adapter.prompt, embeddings, scores, adapter)
    scores = torch.tensor([float(report["score"]) for report in adapter.metadata["quality_report"]])
    files = backbone.manifest["files"]
    ours = [files.get(f"{part}/recognition.onnx") for part in ("faces", "second_recognizer")]
    theirs = adapter.metadata["recognizers"]
    if theirs[0] != ours[0]:
        return Person(adapter.prompt, None, scores, adapter)
    second = adapter.second_references
    if theirs[1] != ours[1]:
        second = second[:, :0]
    return Person(adapter.prompt, FaceEmbeddings(adapter.references, second), scores, adapter)


@torch.no_grad()
def person_of_references(backbone: Backbone, references: Sequence[Reference]) -> Person:
    """Return the person of reference photos, without any training: [V] comes from the identity projection."""
    embeddings, scores = _known(backbone, references)
    prompt = None
    if backbone.identity_projection is not None:
        mean = mean_identity(embeddings.first, scores)
        prompt = encode_prompt(backbone, project_identity(backbone, mean.to(backbone.device)))
    return Person(prompt, embeddings, scores)


def _known(backbone: Backbone, references: Sequence[Reference]) -> tuple[FaceEmbeddings, torch.Tensor]:
    """Return both recognizers' embeddings and the scores of references, best photo first."""
    check_references(references, backbone.resolution)
    ordered = sorted(references, key=lambda reference: -reference.quality.score)
    embeddings = embed(backbone, torch.stack([reference.crop for reference in ordered]))
    return embeddings, torch.tensor([reference.quality.score for reference in ordered])
