"""Curves of the sweeps, as PNG: ID and quality against severity and HQ references, ID against PSNR; and bars."""

import io
from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lab.evaluate.run import MeasuredTable
from lab.evaluate.statistics import ALL, Interval, together

_HEIGHT, _WIDTH, _DPI = 3.9, 5.2, 110  # inches of one panel, dots an inch
# Of rows by name, the same in every figure; further rows follow matplotlib's own order.
_COLOURS = {"input": "#8a8a84", "untuned base": "#c47f17", "full": "#1f5fa8", "personalized": "#1f5fa8"}
_FURTHER = ("#2e8b57", "#a83279", "#6a4fb3", "#7a5230")
CAPTIONS = {
    "levels": "Figure 1: against the severity of the input",
    "references": "Figure 2: against how many of the five references are HQ",
    "fidelity": "ID against PSNR over fidelity",
}


def plots(done: MeasuredTable, keys: Sequence[str], titles: Sequence[str]) -> dict[str, bytes]:
    """Return the curves of one table by name, a panel for each figure, the first ID; none if it is no sweep."""
    makers = {"references": _references, "levels": _levels, "fidelity": _fidelity}
    maker = makers.get(done.table.name)
    return {} if maker is None else {f"{done.table.name}.png": maker(done, keys, titles)}


def barred(names: Sequence[str], values: Sequence[Interval], title: str) -> bytes:
    """Draw one bar a row, with its interval."""
    figure, (axes,) = _panels("", [title])
    for place, (name, value) in enumerate(zip(names, values, strict=True)):
        whiskers = [[value.mean - value.low], [value.high - value.mean]]
        axes.barh(place, value.mean, xerr=whiskers, color=_colour(name, place), height=0.6, capsize=4)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(title)
    axes.set_ylabel("")
    return _png(figure)


def _references(done: MeasuredTable, keys: Sequence[str], titles: Sequence[str]) -> bytes:
    """Draw figures against the number of HQ references (Figure 2), input and base as level lines."""
    counts = [row.name for row in done.table.rows if row.who == "own"]
    level = [row.name for row in done.table.rows if row.who != "own"]
    found = together(done.lines)
    figure, panels = _panels("HQ references of five", titles)
    for axes, key in zip(panels, keys, strict=True):
        _band(axes, list(range(len(counts))), [found[name].values[key] for name in counts], "personalized", 0)
        for place, name in enumerate(level, start=1):
            value = found[name].values[key].mean
            axes.axhline(value, linestyle="--", linewidth=1.5, label=name, color=_colour(name, place))
        axes.legend(fontsize="small")
    return _png(figure)


def _levels(done: MeasuredTable, keys: Sequence[str], titles: Sequence[str]) -> bytes:
    """Draw figures against the severity of the input (Figure 1), a curve for each row."""
    figure, panels = _panels("severity of the input, in fifths", titles)
    for axes, key in zip(panels, keys, strict=True):
        for place, row in enumerate(done.table.rows):
            mine = [line for line in done.lines if line.row == row.name and line.input != ALL]
            _band(axes, list(range(1, len(mine) + 1)), [line.values[key] for line in mine], row.name, place)
        axes.set_xticks(range(1, len(done.table.inputs) + 1))
        axes.legend(fontsize="small")
    return _png(figure)


def _fidelity(done: MeasuredTable, keys: Sequence[str], titles: Sequence[str]) -> bytes:
    """Draw ID against PSNR, a point for each fidelity."""
    found, key = together(done.lines), keys[0]
    knob = [row.name for row in done.table.rows if row.restore.fidelity is not None]
    figure, (axes,) = _panels("PSNR (dB)", titles[:1])
    points = [(found[name].values["psnr"].mean, found[name].values[key].mean) for name in knob]
    axes.plot(*zip(*points, strict=True), marker="o", color=_COLOURS["full"], label="fidelity")
    for name, point in zip(knob, points, strict=True):
        axes.annotate(name.removeprefix("fidelity "), point, textcoords="offset points", xytext=(6, 4))
    for place, row in enumerate(row for row in done.table.rows if row.name not in knob):
        values = found[row.name].values
        axes.plot(values["psnr"].mean, values[key].mean, "s", color=_colour(row.name, place), label=row.name)
    axes.margins(0.12)
    axes.legend(fontsize="small")
    return _png(figure)


def _panels(x_label: str, y_labels: Sequence[str]) -> tuple[Figure, list[Any]]:
    figure = Figure(figsize=(_WIDTH * len(y_labels), _HEIGHT), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(1, len(y_labels), squeeze=False)[0])
    for axes, label in zip(panels, y_labels, strict=True):
        axes.set_xlabel(x_label)
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _colour(name: str, place: int) -> str:
    return _COLOURS.get(name, _FURTHER[place % len(_FURTHER)])


def _band(axes: Any, x: Sequence[int], y: Sequence[Interval], label: str, place: int) -> None:
    colour = _colour(label, place)
    axes.plot(x, [v.mean for v in y], marker="o", label=label, color=colour)
    axes.fill_between(x, [v.low for v in y], [v.high for v in y], alpha=0.15, color=colour, linewidth=0)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
