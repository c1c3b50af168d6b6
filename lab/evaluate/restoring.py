"""Rows turned into pictures: adapters trained and faces restored once, and kept, so that a stopped run goes on."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

import core
from core.adapter_file import pack_adapter, unpack_adapter
from core.backbone import Backbone
from core.blending import blended
from core.errors import InvalidOption
from core.images import Photo, encode_photo, read_photo_file, write_atomically
from core.injector import Adapter
from core.likeness import embed
from core.matching import Wish
from core.person import Person, person_of_adapter, person_of_references
from core.pixels import to_pixels, to_tensor
from core.restoration import PreparedFace, face_condition, restore_faces
from core.sampling import sample
from core.training import train_injector
from lab.evaluate.people import EvaluatedPerson, Trial
from lab.evaluate.plugged import Backbones
from lab.evaluate.rows import Row

BATCH = 8  # faces at a time: the activations of more take memory and save no time on a processor
Report = Callable[[str, int], None]  # what was done, and how many faces of it; a training counts as none


@dataclass(frozen=True)
class Picture:
    """One restored face as it lies on disk."""

    path: Path
    seconds: float | None  # of its batch, shared among the batch's faces; None: made elsewhere
    fallback: str | None = None  # why the gate took the base model's face, or the input

    def pixels(self) -> np.ndarray:
        """Read the picture, (S, S, 3) uint8."""
        return read_photo_file(self.path).pixels.copy()  # what Pillow hands out is read-only


class Studio:
    """A backbone with a folder in which everything that was made is kept by what decided it."""

    def __init__(self, backbone: Backbone, folder: Path, report: Report = lambda what, faces: None) -> None:
        # The rate is no file of the bundle's; and what other code made is not what this code would make.
        made_with = f"{backbone.digest[:12]}-{backbone.token_learning_rate:g}-{_method_digest()[:12]}"
        self._backbone, self._folder, self._report = backbone, folder / made_with, report
        self._backbones = Backbones(backbone)

    def pictures(
        self, row: Row, person: EvaluatedPerson, other: EvaluatedPerson, inputs: Sequence[str]
    ) -> dict[tuple[str, str], Picture]:
        """Return the row's pictures of a person by (photo, input); `other` is whose adapter a row may take instead."""
        if row.folder is not None:
            self._report(f"{person.name}: {row.name}", len(person.trials) * len(inputs))
            return _made_elsewhere(Path(row.folder), person, inputs)
        folder = self._folder / "pictures" / row.key() / f"{person.name}-{person.reference_key()}"
        if row.who == "other":
            folder = folder.with_name(f"{folder.name}-as-{other.name}-{other.reference_key()}")
        made = _read_pictures(folder)
        wanted = [(trial, name) for trial in person.trials for name in inputs]
        missing = [(trial, name) for trial, name in wanted if trial.key(name) not in made]
        self._report(f"{person.name}: {row.name}", len(wanted) - len(missing))
        if missing:
            whom = self._whom(row, person, other)
            for batch in _batches(missing, BATCH):
                made |= self._restored(row, whom, batch, folder)
                _write_pictures(folder, made)
                self._report(f"{person.name}: {row.name}", len(batch))
        return {(trial.entry.photo, name): made[trial.key(name)] for trial, name in wanted}

    def can_make(self, row: Row) -> bool:
        """Say whether the bundle has what a row asks for: one with a single recognizer has none to exchange it with."""
        return not row.exchanged or self._backbone.second_recognizer is not None

    def training_seconds(self, row: Row, person: EvaluatedPerson) -> float | None:
        """Return how long the row's adapter took to train, or None where it has none of its own."""
        if row.train is None:
            return None
        seconds: float = json.loads(self._adapter_path(row, person).with_suffix(".json").read_text())["seconds"]
        return seconds

    def adapter(self, row: Row, person: EvaluatedPerson) -> Adapter:
        """Return the adapter of a row for a person, trained at its first use."""
        path = self._adapter_path(row, person)
        if not path.exists():
            self._train(row, person, path)
        return unpack_adapter(path.read_bytes(), self._backbone)

    def _train(self, row: Row, person: EvaluatedPerson, path: Path) -> None:
        assert row.train is not None, f"row {row.name} has no adapter"
        backbone = self._backbone if row.projection else replace(self._backbone, identity_projection=None)
        references = person.references(backbone, row.good_references)
        start = perf_counter()
        adapter = train_injector(
            backbone,
            references,
            row.train,
            progress=lambda done: self._report(f"{person.name}: training {done.step}/{done.steps}", 0),
        )
        seconds = perf_counter() - start
        write_atomically(path.with_suffix(".json"), json.dumps({"seconds": seconds}).encode())
        write_atomically(path, pack_adapter(adapter))

    def _adapter_path(self, row: Row, person: EvaluatedPerson) -> Path:
        name = f"{person.name}-{person.reference_key()}.safetensors"
        return self._folder / "adapters" / row.training_key() / name

    def _whom(self, row: Row, person: EvaluatedPerson, other: EvaluatedPerson) -> Callable[[Trial], Person | None]:
        """Return as whom the row restores each of a person's photos; None: as nobody in particular."""
        backbone = self._restores(row)
        if row.who == "truth":
            return lambda trial: person_of_references(backbone, [trial.as_reference(backbone)])
        whom = None
        if row.who == "references":
            whom = person_of_references(backbone, person.references(backbone, row.good_references))
        elif row.who in ("own", "other"):
            whom = person_of_adapter(backbone, self.adapter(row, person if row.who == "own" else other))
        return lambda trial: whom

    def _restores(self, row: Row) -> Backbone:
        """Return what a row restores with; what its adapter was trained with is always the bundle itself."""
        return self._backbones.get(row.controlnet, row.exchanged)

    def _restored(
        self, row: Row, whom: Callable[[Trial], Person | None], batch: Sequence[tuple[Trial, str]], folder: Path
    ) -> dict[str, Picture]:
        """Restore one batch and write its pictures; returned by the trial's key."""
        backbone = self._restores(row)
        start = perf_counter()
        faces = [aligned_face(backbone, trial.degraded(name), whom(trial), trial.entry.seed) for trial, name in batch]
        pixels, fallbacks = _pixels(backbone, row, faces)
        seconds = (perf_counter() - start) / len(batch)
        pictures = {}
        for (trial, name), shown, fallback in zip(batch, pixels, fallbacks, strict=True):
            path = folder / f"{Path(trial.entry.photo).stem} {name} {trial.key(name)[:8]}.png"
            write_atomically(path, encode_photo(Photo(shown)))
            pictures[trial.key(name)] = Picture(path, seconds, fallback)
        return pictures


def aligned_face(backbone: Backbone, lq: torch.Tensor, whom: Person | None, seed: int = 0) -> PreparedFace:
    """Return an aligned crop (3, S, S) in [-1, 1] as a face ready for the batch."""
    side = float(lq.shape[-1])
    embeddings = embed(backbone, lq[None])
    return PreparedFace(Wish(whom, seed=seed), (0.0, 0.0, side, side), np.eye(2, 3), to_pixels(lq), embeddings, None)


def _pixels(backbone: Backbone, row: Row, faces: Sequence[PreparedFace]) -> tuple[list[np.ndarray], list[str | None]]:
    """Return what a row makes of faces, and why the gate fell where it did."""
    if row.who == "input":
        return [face.aligned for face in faces], [None] * len(faces)
    if row.gated:
        results = restore_faces(backbone, faces, row.restore)
        return [result.pixels for result in results], [result.evidence.fallback for result in results]
    lq = torch.stack([to_tensor(face.aligned) for face in faces])
    conditions = [face_condition(backbone, face, row.restore) for face in faces]
    x = sample(backbone, lq, conditions, row.restore).cpu()
    x = blended(backbone, x, lq, row.restore)
    return [to_pixels(face) for face in x], [None] * len(faces)


def write_inputs(people: Sequence[EvaluatedPerson], inputs: Sequence[str], folder: Path) -> int:
    """Write every degraded input for other programs to restore, as person/photo.jpg input.png; returns how many."""
    for person in people:
        for trial in person.trials:
            for name in inputs:
                data = encode_photo(Photo(to_pixels(trial.degraded(name))))
                write_atomically(folder / _file(person, trial, name), data)
    return sum(len(person.trials) for person in people) * len(inputs)


def _made_elsewhere(folder: Path, person: EvaluatedPerson, inputs: Sequence[str]) -> dict[tuple[str, str], Picture]:
    """Return another program's results; InvalidOption where one is missing or of another size."""
    pictures = {}
    for trial in person.trials:
        for name in inputs:
            picture = Picture(folder / _file(person, trial, name), None)
            got, wanted = picture.pixels().shape, to_pixels(trial.truth).shape
            if got != wanted:
                raise InvalidOption(f"got {picture.path} of {got[1]}x{got[0]} px, wanted {wanted[1]}x{wanted[0]}")
            pictures[trial.entry.photo, name] = picture
    return pictures


def _file(person: EvaluatedPerson, trial: Trial, name: str) -> Path:
    return Path(person.name) / f"{Path(trial.entry.photo).name} {name}.png"


@cache
def _method_digest() -> str:
    """Return a digest of the code that trains and restores."""
    digest = hashlib.sha256()
    for path in sorted(Path(core.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _batches(items: Sequence[tuple[Trial, str]], size: int) -> Iterator[Sequence[tuple[Trial, str]]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _read_pictures(folder: Path) -> dict[str, Picture]:
    """Return by their keys the pictures that an earlier run left: only what is listed is whole."""
    listed = folder / "pictures.json"
    if not listed.exists():
        return {}
    entries = json.loads(listed.read_text())
    return {key: Picture(folder / entry["file"], entry["seconds"], entry["fallback"]) for key, entry in entries.items()}


def _write_pictures(folder: Path, pictures: dict[str, Picture]) -> None:
    entries = {
        key: {"file": picture.path.name, "seconds": picture.seconds, "fallback": picture.fallback}
        for key, picture in pictures.items()
    }
    write_atomically(folder / "pictures.json", json.dumps(entries, indent=1).encode())
