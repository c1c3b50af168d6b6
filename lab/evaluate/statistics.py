"""Figures of many pictures -> means with 95 % intervals: people are resampled, not photos, and rows in pairs."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lab.evaluate.measuring import Measurement

RESAMPLES = 10_000
ALL = "all"  # of a table's inputs together


@dataclass(frozen=True)
class Interval:
    """A mean over people, each of whom counts the same, with its 95 % bootstrap interval: NaN for fewer than two."""

    mean: float
    low: float
    high: float
    people: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON knows it, where what is no number is null."""
        values = {name: round(v, 5) if isinstance(v, float) else v for name, v in asdict(self).items()}
        return {name: None if v != v else v for name, v in values.items()}


@dataclass(frozen=True)
class Line:
    """A row's figures on one input, or on all of a table's."""

    row: str
    input: str
    values: dict[str, Interval]
    gains: dict[str, Interval]  # less the baseline's, pair by pair; empty for the baseline itself
    seconds: float | None  # a face; None: made elsewhere
    pictures: int
    fallbacks: int  # pictures in which the gate took the base model's face, or the input


def lines(
    measurements: Sequence[Measurement], rows: Sequence[str], inputs: Sequence[str], baseline: str | None
) -> list[Line]:
    """Return the lines of a table: each input apart, then all together."""
    chosen = [*inputs, ALL] if len(inputs) > 1 else list(inputs)
    made = []
    for name in chosen:
        here = [m for m in measurements if name in (ALL, m.input)]
        base = [m for m in here if m.row == baseline]
        for row in rows:
            mine = [m for m in here if m.row == row]
            made.append(_line(row, name, mine, [] if row == baseline else base))
    return made


def together(found: Sequence[Line]) -> dict[str, Line]:
    """Return each row's line over all of a table's inputs, of the table's lines."""
    last = found[-1].input
    return {line.row: line for line in found if line.input == last}


def _line(row: str, name: str, mine: Sequence[Measurement], base: Sequence[Measurement]) -> Line:
    keys = list(mine[0].values)
    return Line(
        row=row,
        input=name,
        values={key: interval(mean_of_people(mine, key)) for key in keys},
        gains={key: interval(gain_of_people(mine, base, key)) for key in keys} if base else {},
        seconds=_mean([m.seconds for m in mine if m.seconds is not None]),
        pictures=len(mine),
        fallbacks=sum(m.fallback is not None for m in mine),
    )


def mean_of_people(measurements: Iterable[Measurement], key: str) -> dict[str, float]:
    """Return each person's mean of a figure."""
    return _by_person((m.person, m.values[key]) for m in measurements)


def gain_of_people(mine: Iterable[Measurement], base: Iterable[Measurement], key: str) -> dict[str, float]:
    """Return each person's mean difference of a figure between two rows on the same inputs."""
    other = {(m.photo, m.input): m.values[key] for m in base}
    return _by_person((m.person, m.values[key] - other[m.photo, m.input]) for m in mine)


def interval(people: Mapping[str, float]) -> Interval:
    """Return the mean over people and its percentile bootstrap interval; the resampling is seeded."""
    values = np.array([people[person] for person in sorted(people)])
    if len(values) < 2:  # resampled, one person would always be the same: an interval of no width that proves nothing
        return Interval(float(values.mean()), math.nan, math.nan, len(values))
    picks = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[picks].mean(1), [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high), len(values))


def ends(low: float | None, high: float | None, digits: int, sign: str = "") -> str:
    """Return an interval's ends as text; `sign`: "+" where they are differences."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return "no interval"
    return f"{low:{sign}.{digits}f} to {high:{sign}.{digits}f}"


def grouped(
    measurements: Sequence[Measurement],
    row: str,
    baseline: str,
    keys: Sequence[str],
    group: Callable[[Measurement], Iterable[str]],
) -> list[dict[str, Any]]:
    """Return a row's figures and gains over the baseline in every group that a picture belongs to."""
    members: dict[str, list[Measurement]] = defaultdict(list)
    for m in measurements:
        for name in group(m):
            members[name].append(m)
    table = []
    for name, here in sorted(members.items()):
        mine, base = ([m for m in here if m.row == wanted] for wanted in (row, baseline))
        values = {key: interval(mean_of_people(mine, key)).as_dict() for key in keys}
        gains = {key: interval(gain_of_people(mine, base, key)).as_dict() for key in keys}
        table.append({"group": name, "pictures": len(mine), "values": values, "gains": gains})
    return table


def _by_person(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    values: dict[str, list[float]] = defaultdict(list)
    for person, value in pairs:
        values[person].append(value)
    return {person: float(np.mean(v)) for person, v in values.items()}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
