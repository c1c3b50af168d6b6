"""A reference photo beside the person's others -> a verdict, and which photo would help next."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.assessment import Assessment, accepted_references, assess_photo, compared
from core.backbone import Backbone
from core.images import Photo
from core.quality import HIGH_QUALITY

_WANTED = 5  # photos of one person


@dataclass(frozen=True)
class Verdict:
    """What is made of one photo, and what the person could do next."""

    assessment: Assessment
    advice: str | None


def assess(backbone: Backbone, photo: Photo, others: Sequence[Assessment]) -> Verdict:
    """Judge a photo beside the person's accepted ones: who they show is settled, so it is the new one that must fit."""
    assessment = assess_photo(backbone, photo)
    if assessment.accepted:
        assessment = _beside(backbone, assessment, others)
    if not assessment.accepted:
        return Verdict(assessment, _sentence(assessment.explanation))
    if assessment.explanation:
        return Verdict(assessment, "This may be somebody else than in the photos before it: take it out if so.")
    return Verdict(assessment, _advice([*others, assessment]))


def _beside(backbone: Backbone, assessment: Assessment, others: Sequence[Assessment]) -> Assessment:
    results = compared(backbone, [*others, assessment])
    if results[-1].reason == "duplicate":
        return replace(results[-1], explanation="the photo is there already; add one of another day")
    if any(result.reason == "different_person" for result in results):
        sentence = "it shows somebody else than the photos before it; add photos of one person only"
        return replace(assessment, reason="different_person", explanation=sentence)
    return results[-1]


def _advice(accepted: Sequence[Assessment]) -> str | None:
    """Say which photo would help most beside those that are accepted."""
    references = accepted_references(accepted)
    if not any(reference.quality.score >= HIGH_QUALITY for reference in references):
        return "None of the photos is sharp: one clear photo of the face, however old, would help most."
    if len(references) < _WANTED:
        return f"{len(references)} of {_WANTED} photos: one of another day, in other light, would help most."
    return None


def _sentence(explanation: str) -> str:
    return explanation[:1].upper() + explanation[1:] + "."
