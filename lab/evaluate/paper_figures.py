"""The paper's Figures 6-8: what each part is for, measured on the result that lacks it beside the full one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lab.evaluate.grids import CASES, Case, cases
from lab.evaluate.plots import barred
from lab.evaluate.run import MeasuredTable
from lab.evaluate.statistics import together


@dataclass(frozen=True)
class PaperFigure:
    """One of the paper's ablation figures."""

    number: int
    row: str  # of the ablation table: the part is left out
    key: str  # what the figure shows
    shows: str  # in words
    worse: int  # 1: the figure grows without the part, as the paper has it; -1: it falls


PAPER_FIGURES = (
    PaperFigure(6, "without prior loss", "delta_e_truth", "without the prior loss colours drift from the truth's", 1),
    PaperFigure(7, "without quality tokens and min-SNR", "sharpness", "without the quality tokens detail is lost", -1),
    PaperFigure(8, "without ID-preserving sampling", "iris_hue", "without ID-preserving sampling the iris fades", 1),
)


def bars(done: MeasuredTable, figure: PaperFigure, title: str) -> bytes:
    """Draw a figure's measure for the input, the base, the full method, and the method without the part."""
    found = together(done.lines)
    names = [name for name in ("input", "untuned base", "full", figure.row) if name in found]
    return barred(names, [found[name].values[figure.key] for name in names], title)


def contrasts(done: MeasuredTable, figure: PaperFigure) -> Sequence[Case]:
    """Return the inputs on which leaving the part out does most of what the paper shows, and those on which least."""
    found = sorted(cases(done, figure.row, figure.key), key=lambda case: -figure.worse * case.gain)
    chosen = found if len(found) <= CASES else [*found[: CASES // 2], *found[-(CASES // 2) :]]
    wanted = ("input", "full", figure.row)
    return [replace(case, rows=tuple(m for m in case.rows if m.row in wanted)) for case in chosen]
