"""A restored picture beside the truth -> figures: fidelity, likeness by every judge, colour, sharpness."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from skimage.color import rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from core.colour import colour_shift
from core.images import write_atomically
from core.pixels import to_pixels, to_tensor
from lab.evaluate.people import EvaluatedPerson, Trial
from lab.evaluate.perceptual import NAMES, OWN, Metric
from lab.evaluate.restoring import Picture
from lab.judges.panel import Judge

_VERSION = 1  # of what the figures mean: kept ones of another are measured anew
_EYES = ((96.5, 120.0), (159.5, 120.0))  # of the FFHQ frame of 256 px
_IRIS = 4.0  # px of that frame: radius of the disc whose colour counts


@dataclass(frozen=True)
class Measure:
    """What a figure is called in tables, and which way is better."""

    title: str
    higher: bool | None  # None: neither
    digits: int


def measures(judges: Sequence[Judge], perceptual: Sequence[str]) -> dict[str, Measure]:
    """Return every figure by its key, in the order of the tables."""
    return {
        "psnr": Measure("PSNR (dB)", True, 2),
        "ssim": Measure("SSIM", True, 3),
        **{f"id.{judge.name}": Measure(f"ID ({judge.name})", True, 3) for judge in judges},
        **{name: Measure(name.upper(), NAMES[name], 3) for name in perceptual if name != OWN},
        **{name: Measure("quality (own assessor)", True, 3) for name in perceptual if name == OWN},
        "delta_e_input": Measure("delta-E to input", False, 2),
        "delta_e_truth": Measure("delta-E to truth", False, 2),
        "iris_hue": Measure("iris hue error (degrees)", False, 1),
        "sharpness": Measure("sharpness / truth's", None, 2),
    }


@dataclass(frozen=True)
class Measurement:
    """One picture's figures."""

    row: str
    person: str
    photo: str
    input: str  # severity or level
    words: tuple[str, ...]  # what the input's degradation is called
    values: dict[str, float]
    seconds: float | None  # None: made elsewhere
    fallback: str | None
    file: Path

    def as_dict(self, root: Path) -> dict[str, Any]:
        """Return it as JSON knows it, the file's path from the report's folder."""
        values = {name: round(value, 5) for name, value in self.values.items()}
        file = os.path.relpath(self.file, root)
        return {**vars(self), "values": values, "words": list(self.words), "file": file}


def measured(
    row: str,
    person: EvaluatedPerson,
    pictures: Mapping[tuple[str, str], Picture],
    judges: Sequence[Judge],
    perceptual: Mapping[str, Metric],
) -> list[Measurement]:
    """Measure a row's pictures of one person, those apart that an earlier run measured."""
    kept = _read_kept(pictures)
    wanted = set(measures(judges, list(perceptual)))
    new = {key: picture for key, picture in pictures.items() if not wanted <= set(kept.get(picture.path.name, {}))}
    for key, values in _measured_anew(person, new, judges, perceptual).items():
        kept[new[key].path.name] = values
    if new:
        _write_kept(new, kept)
    trials = {trial.entry.photo: trial for trial in person.trials}
    results = []
    for (photo, name), picture in pictures.items():
        values = {key: kept[picture.path.name][key] for key in measures(judges, list(perceptual))}
        words = trials[photo].entry.inputs[name].words()
        results.append(
            Measurement(row, person.name, photo, name, words, values, picture.seconds, picture.fallback, picture.path)
        )
    return results


def _measured_anew(
    person: EvaluatedPerson,
    pictures: Mapping[tuple[str, str], Picture],
    judges: Sequence[Judge],
    perceptual: Mapping[str, Metric],
) -> dict[tuple[str, str], dict[str, float]]:
    """Return every figure of pictures."""
    if not pictures:
        return {}
    trials = {trial.entry.photo: trial for trial in person.trials}
    shown = {key: picture.pixels() for key, picture in pictures.items()}
    alike = {judge.name: _similarities(judge, shown, trials) for judge in judges}
    results = {}
    for (photo, name), pixels in shown.items():
        truth = trials[photo].truth
        values = _figures(pixels, trials[photo], name)
        values |= {f"id.{judge}": similarities[photo, name] for judge, similarities in alike.items()}
        values |= {key: metric(to_tensor(pixels), truth) for key, metric in perceptual.items()}
        results[photo, name] = values
    return results


def _read_kept(pictures: Mapping[tuple[str, str], Picture]) -> dict[str, dict[str, float]]:
    """Return by file name what an earlier run measured; nothing of pictures made elsewhere, which may change."""
    path = _kept_path(pictures)
    if path is None or not path.exists():
        return {}
    stored = json.loads(path.read_text())
    values: dict[str, dict[str, float]] = stored["values"] if stored["version"] == _VERSION else {}
    return values


def _write_kept(pictures: Mapping[tuple[str, str], Picture], values: Mapping[str, Mapping[str, float]]) -> None:
    path = _kept_path(pictures)
    if path is not None:
        write_atomically(path, json.dumps({"version": _VERSION, "values": values}, indent=1).encode())


def _kept_path(pictures: Mapping[tuple[str, str], Picture]) -> Path | None:
    picture = next(iter(pictures.values()))
    return None if picture.seconds is None else picture.path.with_name("values.json")


def _similarities(
    judge: Judge, shown: Mapping[tuple[str, str], np.ndarray], trials: Mapping[str, Trial]
) -> dict[tuple[str, str], float]:
    """Return how alike a judge finds every picture and its truth."""
    truths = dict(zip(trials, judge.embed(torch.stack([t.truth for t in trials.values()])), strict=True))
    embeddings = judge.embed(torch.stack([to_tensor(pixels) for pixels in shown.values()]))
    wanted = torch.stack([truths[photo] for photo, _ in shown])
    return dict(zip(shown, judge.similarity(embeddings, wanted).tolist(), strict=True))


def _figures(pixels: np.ndarray, trial: Trial, name: str) -> dict[str, float]:
    """Return the figures that need no network."""
    truth = to_pixels(trial.truth)
    x, lq = to_tensor(pixels)[None], trial.degraded(name)[None]
    return {
        "psnr": float(peak_signal_noise_ratio(truth, pixels, data_range=255)) if (pixels != truth).any() else 100.0,
        "ssim": _ssim(truth, pixels),
        "delta_e_input": float(colour_shift(x, lq)),
        "delta_e_truth": float(colour_shift(x, trial.truth[None])),
        "iris_hue": _hue_distance(_iris_hues(pixels), _iris_hues(truth)),
        "sharpness": _sharpness(pixels) / max(_sharpness(truth), 1e-6),
    }


def _ssim(truth: np.ndarray, pixels: np.ndarray) -> float:
    """Return SSIM as its authors define it: Gaussian window of 1.5 px."""
    return float(
        structural_similarity(
            truth,
            pixels,
            channel_axis=2,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def _sharpness(pixels: np.ndarray) -> float:
    """Return the variance of the Laplacian of the luminance."""
    return float(cv2.Laplacian(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def _iris_hues(pixels: np.ndarray) -> np.ndarray:
    """Return the hue angle, in degrees, of the mean colour in a disc at each eye of the aligned frame."""
    side = pixels.shape[0]
    lab = rgb2lab(pixels)
    v, u = (np.mgrid[:side, :side] + 0.5) * 256 / side
    discs = [lab[(u - x) ** 2 + (v - y) ** 2 <= _IRIS**2].mean(0) for x, y in _EYES]
    return np.array([np.degrees(np.arctan2(disc[2], disc[1])) for disc in discs])


def _hue_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean distance of angles on the circle."""
    return float(np.abs((a - b + 180) % 360 - 180).mean())
