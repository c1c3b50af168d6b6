"""The evaluated people: clean crops, references of mixed quality, and the degraded inputs, as the manifest says."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.assessment import judged
from core.backbone import Backbone
from core.pixels import to_pixels, to_tensor
from core.references import Reference
from lab.evaluate.dataset import Frame, Photo, Skipped, photo_files, read_crops
from lab.evaluate.manifest import REFERENCES, Manifest, PersonEntry, TrialEntry, make_manifest


@dataclass(frozen=True)
class Trial:
    """One test photo: what it should look like, and how its degraded versions are drawn."""

    entry: TrialEntry
    photo: Photo

    @property
    def truth(self) -> Tensor:
        """Return the clean crop (3, S, S) in [-1, 1]."""
        return self.photo.crop

    def degraded(self, name: str) -> Tensor:
        """Return the input of a severity or level (3, S, S), in 8-bit steps as a file would have it."""
        return to_tensor(to_pixels(self.entry.inputs[name](self.truth)))

    def as_reference(self, backbone: Backbone) -> Reference:
        """Return the clean crop as a reference of itself: what nobody has, for the bound of what a reference can do."""
        return Reference(self.truth, judged(backbone, self.truth))

    def key(self, name: str) -> str:
        """Return a digest of the input of a severity or level, and of the sampling noise."""
        return _digest([self.photo.digest(), asdict(self.entry.inputs[name]), self.entry.seed])


@dataclass(frozen=True)
class EvaluatedPerson:
    """One person with everything of theirs in memory."""

    entry: PersonEntry
    photos: dict[str, Photo]
    trials: tuple[Trial, ...]

    @property
    def name(self) -> str:
        """Return the folder's name."""
        return self.entry.person

    def references(self, backbone: Backbone, good: int) -> list[Reference]:
        """Return the references: the first `good` as they are, the others degraded."""
        crops = []
        for i, reference in enumerate(self.entry.references):
            crop = self.photos[reference.photo].crop
            crops.append(crop if i < good else to_tensor(to_pixels(reference.spoiling(crop))))
        return [Reference(crop, judged(backbone, crop)) for crop in crops]

    def reference_key(self) -> str:
        """Return a digest of the references, and of how they are degraded where they are."""
        return _digest([[asdict(r), self.photos[r.photo].digest()] for r in self.entry.references])

    def clean(self) -> Tensor:
        """Return all of the person's clean crops (n, 3, S, S)."""
        return torch.stack([photo.crop for photo in self.photos.values()])


def read_people(
    root: Path, manifest: Manifest, backbone: Backbone, frame: Frame
) -> tuple[list[EvaluatedPerson], list[Skipped]]:
    """Read the manifest's people; skipped are photos that cannot be read, and people who then lack what is needed."""
    people, skipped = [], []
    for entry in manifest.people:
        person, unread = _read_person(root, entry, backbone, frame)
        skipped += unread
        if person is not None:
            people.append(person)
    return people, skipped


def _read_person(
    root: Path, entry: PersonEntry, backbone: Backbone, frame: Frame
) -> tuple[EvaluatedPerson | None, list[Skipped]]:
    """Read one person; where a reference cannot be read, they are drawn anew from the photos that are left."""
    photos: dict[str, Photo] = {}
    skipped: list[Skipped] = []
    while True:
        names = [r.photo for r in entry.references] + [trial.photo for trial in entry.trials]
        unusable = {one.name for one in skipped}
        read, unread = read_crops(root, [n for n in names if n not in photos and n not in unusable], backbone, frame)
        photos, skipped = photos | read, skipped + unread
        trials = tuple(Trial(trial, photos[trial.photo]) for trial in entry.trials if trial.photo in photos)
        if all(r.photo in photos for r in entry.references) and trials:
            used = {name: photos[name] for name in names if name in photos}
            return EvaluatedPerson(entry, used, trials), skipped
        unusable = {one.name for one in skipped}
        left = [file for file in photo_files(root / entry.person) if f"{entry.person}/{file}" not in unusable]
        if len(left) <= REFERENCES:
            why = f"{len(left)} usable photos, wanted {REFERENCES} references and a test photo"
            return None, [*skipped, Skipped(entry.person, why)]
        entry = make_manifest({entry.person: left})[0].limited(None, len(entry.trials)).people[0]


def clean_crops(people: Sequence[EvaluatedPerson]) -> tuple[Tensor, list[str]]:
    """Return the clean crops (n, 3, S, S) of all people and who is in each."""
    names = [person.name for person in people for _ in person.photos]
    return torch.cat([person.clean() for person in people]), names


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
