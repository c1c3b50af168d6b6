"""Which photos are references, which are tests, and how each is degraded: drawn from the file names, and hashed.

The same names give the same manifest on every machine, so that no figure can be bought by drawing again. The three
severities are of the first order, in FaceMe's ranges stated for crops of 512 px; LQ references come from those ranges.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.degradation import Degradation, combined, degrade, describe, draw, draw_second_order
from lab.evaluate.phone import PhoneShot, draw_phone, shot

COMMITTED = Path(__file__).with_name("manifest.json")
FORMAT = "idprefer-manifest-1"
SEVERITIES = ("light", "medium", "heavy")
LEVELS = ("level 1", "level 2", "level 3", "level 4", "level 5")  # fifths of the ranges, for Figure 1
SECOND_ORDER, PHONE = "second order", "phone"
INPUTS = (*SEVERITIES, *LEVELS, SECOND_ORDER, PHONE)
REFERENCES = 5
GOOD_REFERENCES = 3  # of the five stay as they are: the paper's mean
# FaceMe's ranges, from harmless to worst: blur sigma, downsampling, noise, JPEG quality.
_BEST, _WORST = (0.2, 1.0, 0.0, 100.0), (10.0, 16.0, 15.0, 30.0)


@dataclass(frozen=True)
class Spoiling:
    """What is done to one picture, with the seed of its noise."""

    seed: int
    rounds: tuple[Degradation, ...] = ()  # one after the other
    phone: PhoneShot | None = None  # before them

    def __call__(self, x: Tensor) -> Tensor:
        """Degrade x (3, S, S) in [-1, 1]."""
        generator = torch.Generator().manual_seed(self.seed)
        if self.phone is not None:
            x = shot(x, self.phone, generator)
        for degradation in self.rounds:
            x = degrade(x, degradation, generator)
        return x

    def words(self) -> tuple[str, ...]:
        """Return what this is called."""
        return describe(combined(*self.rounds)) if self.phone is None else (PHONE,)


@dataclass(frozen=True)
class ReferenceEntry:
    """One reference photo."""

    photo: str  # person/file
    good: bool  # stays as it is in the main table
    spoiling: Spoiling  # what makes it an LQ reference, where it is to be one


@dataclass(frozen=True)
class TrialEntry:
    """One test photo with its degraded versions."""

    photo: str
    seed: int  # of the sampling noise, whatever row restores it
    inputs: dict[str, Spoiling]  # by severity and by level


@dataclass(frozen=True)
class PersonEntry:
    """One person's references and tests."""

    person: str
    references: tuple[ReferenceEntry, ...]  # best kept first: with n good ones, the first n stay as they are
    trials: tuple[TrialEntry, ...]


@dataclass(frozen=True)
class Manifest:
    """Everybody who is evaluated."""

    people: tuple[PersonEntry, ...]

    @property
    def sha256(self) -> str:
        """Return the digest of the manifest's one JSON form."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def text(self) -> str:
        """Return the one JSON form: one person a line."""
        people = ",\n".join(json.dumps(asdict(person), sort_keys=True) for person in self.people)
        return f'{{"format": "{FORMAT}", "people": [\n{people}\n]}}\n'

    def limited(self, people: int | None, photos: int | None) -> "Manifest":
        """Return the first people, and of each the first test photos."""
        kept = self.people if people is None else self.people[:people]
        return Manifest(tuple(replace(p, trials=p.trials if photos is None else p.trials[:photos]) for p in kept))

    def is_part_of(self, listed: Mapping[str, Any]) -> bool:
        """Say whether everybody here stands in a manifest read from JSON, with the same references and trials."""
        return all(_is_part_of(person, listed.get(person.person)) for person in self.people)


def make_manifest(people: Mapping[str, Sequence[str]]) -> tuple[Manifest, list[str]]:
    """Draw a manifest from the photo names of each person; returns it and those who have too few photos."""
    enough = {person: files for person, files in people.items() if len(files) > REFERENCES}
    entries = tuple(_person(person, sorted(files)) for person, files in sorted(enough.items()))
    return Manifest(entries), sorted(set(people) - set(enough))


def read_committed() -> dict[str, Any]:
    """Return the committed manifest's people by name."""
    return {person["person"]: person for person in json.loads(COMMITTED.read_text())["people"]}


def _is_part_of(person: PersonEntry, listed: Mapping[str, Any] | None) -> bool:
    if listed is None:
        return False
    mine = json.loads(json.dumps(asdict(person)))  # tuples become lists, as in the file
    return mine["references"] == listed["references"] and all(trial in listed["trials"] for trial in mine["trials"])


def _person(person: str, files: Sequence[str]) -> PersonEntry:
    """Draw one person's entry; nobody else's photos have a say in it."""
    generator = torch.Generator().manual_seed(_seed(person))
    order = [f"{person}/{files[i]}" for i in torch.randperm(len(files), generator=generator).tolist()]
    references = [
        ReferenceEntry(photo, i < GOOD_REFERENCES, _spoiling(f"{photo} reference", None))
        for i, photo in enumerate(order[:REFERENCES])
    ]
    trials = [TrialEntry(photo, _seed(f"{photo} sampling"), _inputs(photo)) for photo in order[REFERENCES:]]
    return PersonEntry(person, tuple(references), tuple(trials))


def _inputs(photo: str) -> dict[str, Spoiling]:
    return {name: _spoiling(f"{photo} {name}", name) for name in INPUTS}


def _spoiling(key: str, name: str | None) -> Spoiling:
    """Draw what an input's name says, or over the whole ranges (None), by a key: the photo and what it is for."""
    seed = _seed(key)
    generator = torch.Generator().manual_seed(seed)
    if name == PHONE:
        return Spoiling(seed, phone=PhoneShot(**_rounded(draw_phone(generator))))
    if name == SECOND_ORDER:
        drawn = draw_second_order(generator)
    else:
        drawn = [_draw_level(generator, LEVELS.index(name)) if name in LEVELS else draw(generator, name)]
    return Spoiling(seed, tuple(Degradation(**_rounded(degradation)) for degradation in drawn))


def _draw_level(generator: torch.Generator, level: int) -> Degradation:
    """Draw from one fifth of the ranges."""
    shares = (level + torch.rand(4, generator=generator)) / len(LEVELS)
    rows = zip(_BEST, _WORST, shares.tolist(), strict=True)
    sigma, down, noise, jpeg = (best + share * (worst - best) for best, worst, share in rows)
    return Degradation(sigma, sigma, 0.0, down, noise, jpeg)


def _rounded(drawn: Degradation | PhoneShot) -> dict[str, float]:
    """Return a draw with as many digits as anybody needs: another machine's last bit must not change the hash."""
    return {name: round(value, 4) for name, value in asdict(drawn).items()}


def _seed(key: str) -> int:
    return int(hashlib.sha256(f"idprefer {key}".encode()).hexdigest()[:8], 16)
