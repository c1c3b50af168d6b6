"""The claims that were to be shown, each beside what was measured; those that do not hold are told no less."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lab.evaluate.manifest import REFERENCES, SEVERITIES
from lab.evaluate.paper_figures import PAPER_FIGURES
from lab.evaluate.run import MeasuredTable
from lab.evaluate.statistics import ALL, Interval, Line, ends

_GAIN, _GAIN_LOW = 0.10, 0.05  # ID of full over the untuned base: the mean, and the interval's lower end
_PSNR_LOSS = -0.1  # dB, mean paired difference
_INJECTOR = 0.05  # ID of the injector alone
_ANOTHER = 0.02  # ID of another person's injector, at most
# The rows of the paper's Table 2, each of which has less ID there than the whole method.
_TABLE_2 = (
    "without prior loss",
    "without quality tokens and min-SNR",
    "without ID-preserving sampling",
    "LoRA on all cross-attention",
    "LoRA on all attention",
)
_FEW_HQ = 0.03  # ID that one HQ reference of five may lose against five of five


@dataclass(frozen=True)
class Verdict:
    """One claim."""

    claim: str
    wanted: str
    got: str
    holds: bool

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return asdict(self)


def verdicts(done: Sequence[MeasuredTable], key: str | None) -> list[Verdict]:
    """Return what the tables say of the claims they bear on; without an independent judge of ID, of none."""
    makers: dict[str, Callable[[MeasuredTable, str], Iterator[Verdict]]] = {
        "main": _main,
        "grid": _grid,
        "references": _references,
        "ablation": _ablation,
    }
    if key is None:
        return []
    return [verdict for table in done if table.table.name in makers for verdict in makers[table.table.name](table, key)]


def _main(done: MeasuredTable, key: str) -> Iterator[Verdict]:
    for name in SEVERITIES[1:]:
        if name in done.table.inputs:
            base, lq = (_line(done, row, name).values[key].mean for row in ("untuned base", "input"))
            yield Verdict(f"the untuned base beats the input in ID, {name}", "> 0", f"{base - lq:+.3f}", base > lq)
    full = _line(done, "full").gains
    holds = full[key].mean >= _GAIN and full[key].low > _GAIN_LOW
    wanted = f">= {_GAIN:+.2f}, interval above {_GAIN_LOW:+.2f}"
    yield Verdict("full over the untuned base, ID", wanted, _shown(full[key]), holds)
    loss = full["psnr"].mean
    yield Verdict("full over the untuned base, PSNR (dB)", f">= {_PSNR_LOSS}", f"{loss:+.2f}", loss >= _PSNR_LOSS)


def _grid(done: MeasuredTable, key: str) -> Iterator[Verdict]:
    alone = _line(done, "injector").gains[key]
    holds = alone.mean >= _INJECTOR and alone.low > 0
    wanted = f">= {_INJECTOR:+.2f}, interval above 0"
    yield Verdict("the injector alone over the untuned base, ID", wanted, _shown(alone), holds)
    if any(line.row == "another person's injector" for line in done.lines):
        other = _line(done, "another person's injector").gains[key]
        wanted = f"< {_ANOTHER:+.2f}"
        yield Verdict("another person's injector, ID", wanted, _shown(other), other.mean < _ANOTHER)


def _ablation(done: MeasuredTable, key: str) -> Iterator[Verdict]:
    """Compare with the directions of the paper's Table 2 and of its Figures 6-8."""
    for name in _TABLE_2:
        gain = _line(done, name).gains[key]
        yield Verdict(f"Table 2: {name} is less than full, ID", "interval below 0", _shown(gain), gain.high < 0)
    for figure in PAPER_FIGURES:
        gain = _line(done, figure.row).gains[figure.key]
        wanted, holds = ("interval above 0", gain.low > 0) if figure.worse > 0 else ("interval below 0", gain.high < 0)
        yield Verdict(f"Figure {figure.number}: {figure.shows} ({figure.key})", wanted, _shown(gain), holds)


def _references(done: MeasuredTable, key: str) -> Iterator[Verdict]:
    one, five = (_line(done, f"{good} of {REFERENCES} HQ") for good in (1, REFERENCES))
    lost = five.values[key].mean - one.values[key].mean
    yield Verdict("1 HQ reference of 5 loses against 5 of 5, ID", f"<= {_FEW_HQ}", f"{lost:+.3f}", lost <= _FEW_HQ)
    for line in (one, five):
        gain = line.gains[key]
        yield Verdict(f"{line.row} over the untuned base, ID", f">= {_GAIN:+.2f}", _shown(gain), gain.mean >= _GAIN)


def _line(done: MeasuredTable, row: str, name: str | None = None) -> Line:
    """Return a row's line on one input, or over all of them."""
    inputs = done.table.inputs
    wanted = name or (ALL if len(inputs) > 1 else inputs[0])
    return next(line for line in done.lines if line.row == row and line.input == wanted)


def _shown(gain: Interval) -> str:
    return f"{gain.mean:+.3f} ({ends(gain.low, gain.high, 3, '+')})"
