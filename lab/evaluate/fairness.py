"""Fair to faces: people in thirds of skin tone, how well judges tell them apart, and what one third has over another.

The paper asks for it in its appendix C.1. The tone is an angle measured on the cheeks; nobody's ethnicity is inferred.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lab.evaluate.measuring import Measurement
from lab.evaluate.people import EvaluatedPerson
from lab.evaluate.skin import THIRDS, thirds, tone
from lab.evaluate.statistics import RESAMPLES, Interval, gain_of_people, mean_of_people
from lab.judges.auc import area_under_curve, photo_pairs, weighted_area_under_curve
from lab.judges.panel import Judge

GAP = "lighter third less darker third"
_RESAMPLES_AUC = 1000


@dataclass(frozen=True)
class Third:
    """One third of the people by the tone of their skin."""

    name: str
    people: tuple[str, ...]
    darkest: float  # individual typology angle, degrees
    lightest: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON knows it: how many, never who."""
        return {**asdict(self), "people": len(self.people)}


def thirds_of(people: Sequence[EvaluatedPerson]) -> list[Third]:
    """Return the thirds, darkest first; none where there are fewer than six people."""
    tones = {person.name: tone(person.clean()) for person in people}
    third_of = thirds(tones)
    made = []
    for name in THIRDS if third_of else ():
        inside = sorted((person for person in third_of if third_of[person] == name), key=lambda person: tones[person])
        made.append(Third(name, tuple(inside), round(tones[inside[0]], 1), round(tones[inside[-1]], 1)))
    return made


def auc_interval(judge: Judge, embeddings: Tensor, people: Sequence[str]) -> Interval:
    """Return a judge's verification AUC with the interval over people; embeddings (n, D), `people` who is in each.

    A person drawn twice counts as two, whose photos are never compared with each other's.
    """
    names, who = np.unique(np.array(people), return_inverse=True)
    rows, columns, same = photo_pairs(people)
    similarity = judge.similarity(embeddings[rows], embeddings[columns]).double().numpy()
    _, place = np.unique(similarity, return_inverse=True)
    generator = np.random.default_rng(0)
    found = []
    for _ in range(_RESAMPLES_AUC):
        count = np.bincount(generator.integers(len(names), size=len(names)), minlength=len(names))
        weight = count[who[rows]] * np.where(same, 1, count[who[columns]])
        found.append(weighted_area_under_curve(place, weight, same))
    low, high = np.nanpercentile(found, [2.5, 97.5]) if len(names) > 1 else (math.nan, math.nan)
    return Interval(area_under_curve(similarity[same], similarity[~same]), float(low), float(high), len(names))


def gap(
    mine: Sequence[Measurement], base: Sequence[Measurement], keys: Sequence[str], found: Sequence[Third]
) -> dict[str, Any]:
    """Return, in the form of a breakdown's line, what a row's lightest third has over its darkest."""
    ends = [found[0].people, found[-1].people]
    inside = [m for m in mine if m.person in (*ends[0], *ends[1])]
    values = {key: _difference(mean_of_people(inside, key), ends).as_dict() for key in keys}
    gains = {key: _difference(gain_of_people(inside, base, key), ends).as_dict() for key in keys}
    return {"group": GAP, "pictures": len(inside), "values": values, "gains": gains}


def _difference(of: Mapping[str, float], ends: Sequence[Sequence[str]]) -> Interval:
    """Return the last end's mean less the first's; each end's people are resampled on their own."""
    generator = np.random.default_rng(0)
    sides = [np.array([of[person] for person in sorted(end) if person in of]) for end in ends]
    mean, count = float(sides[1].mean() - sides[0].mean()), sum(map(len, sides))
    if min(map(len, sides)) < 2:
        return Interval(mean, math.nan, math.nan, count)
    drawn = [side[generator.integers(len(side), size=(RESAMPLES, len(side)))].mean(1) for side in sides]
    low, high = np.percentile(drawn[1] - drawn[0], [2.5, 97.5])
    return Interval(mean, float(low), float(high), count)
