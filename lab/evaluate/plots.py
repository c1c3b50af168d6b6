"""Curves of the sweeps, as PNG: ID against the number of HQ references, against severity, and against PSNR."""

import io
from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lab.evaluate.run import MeasuredTable
from lab.evaluate.statistics import ALL, Interval, Line

_SIZE, _DPI = (6.0, 4.0), 110


def plots(done: MeasuredTable, key: str, title: str) -> dict[str, bytes]:
    """Return the curves of one table by name; none where the table is no sweep."""
    makers = {"references": _references, "levels": _levels, "fidelity": _fidelity}
    maker = makers.get(done.table.name)
    return {} if maker is None else {f"{done.table.name}.png": maker(done, key, title)}


def _references(done: MeasuredTable, key: str, title: str) -> bytes:
    """Draw ID against the number of HQ references (Figure 2), the base as a level line."""
    counts = [row.name for row in done.table.rows if row.who == "own"]
    found = _together(done)
    figure, axes = _axes("HQ references of five", title)
    _band(axes, list(range(len(counts))), [found[name].values[key] for name in counts], "personalized")
    for row in done.table.rows:
        if row.who != "own":
            axes.axhline(found[row.name].values[key].mean, linestyle="--", linewidth=1, label=row.name, color="grey")
    return _png(figure, axes)


def _levels(done: MeasuredTable, key: str, title: str) -> bytes:
    """Draw ID against the severity of the input (Figure 1), a curve for each row."""
    figure, axes = _axes("severity of the input, in fifths", title)
    for row in done.table.rows:
        mine = [line for line in done.lines if line.row == row.name and line.input != ALL]
        _band(axes, list(range(1, len(mine) + 1)), [line.values[key] for line in mine], row.name)
    return _png(figure, axes)


def _fidelity(done: MeasuredTable, key: str, title: str) -> bytes:
    """Draw ID against PSNR, a point for each fidelity."""
    found = _together(done)
    knob = [row.name for row in done.table.rows if row.restore.fidelity is not None]
    figure, axes = _axes("PSNR (dB)", title)
    points = [(found[name].values["psnr"].mean, found[name].values[key].mean) for name in knob]
    axes.plot(*zip(*points, strict=True), marker="o")
    for name, point in zip(knob, points, strict=True):
        axes.annotate(name.removeprefix("fidelity "), point, textcoords="offset points", xytext=(6, 4))
    base = found[done.table.baseline or knob[0]].values
    axes.plot(base["psnr"].mean, base[key].mean, "s", color="grey", label=done.table.baseline)
    return _png(figure, axes)


def _together(done: MeasuredTable) -> dict[str, Line]:
    """Return each row's line over all inputs."""
    last = done.lines[-1].input
    return {line.row: line for line in done.lines if line.input == last}


def _axes(x_label: str, y_label: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=_SIZE, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.3)
    return figure, axes


def _band(axes: Any, x: Sequence[int], y: Sequence[Interval], label: str) -> None:
    axes.plot(x, [v.mean for v in y], marker="o", label=label)
    axes.fill_between(x, [v.low for v in y], [v.high for v in y], alpha=0.15)


def _png(figure: Figure, axes: Any) -> bytes:
    axes.legend(fontsize="small")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
