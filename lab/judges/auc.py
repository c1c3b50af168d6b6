"""How well similarities tell people apart: pairs of photos, and the area under the ROC curve, ties counted half."""

from collections.abc import Sequence

import numpy as np


def photo_pairs(people: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all pairs of photos as (rows, columns), and of each pair whether it shows one person."""
    names = np.array(people)
    rows, columns = np.triu_indices(len(names), 1)
    return rows, columns, names[rows] == names[columns]


def area_under_curve(positives: np.ndarray, negatives: np.ndarray) -> float:
    """Return how often a positive scores above a negative; NaN where either is missing."""
    scores = np.concatenate([positives, negatives])
    is_positive = np.arange(len(scores)) < len(positives)
    _, place = np.unique(scores, return_inverse=True)
    return weighted_area_under_curve(place, np.ones(len(scores)), is_positive)


def weighted_area_under_curve(place: np.ndarray, weight: np.ndarray, positive: np.ndarray) -> float:
    """Return the same of scores that stand `weight` times each; `place` is a score's rank, equal for equal ones."""
    ends = int(place.max(initial=0)) + 1
    positives, negatives = (np.bincount(place[kind], weight[kind], minlength=ends) for kind in (positive, ~positive))
    if not positives.sum() or not negatives.sum():
        return float("nan")
    below = np.cumsum(negatives) - negatives / 2
    return float((positives * below).sum() / (positives.sum() * negatives.sum()))
