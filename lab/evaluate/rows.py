"""The tables of each protocol: which rows are compared on which inputs, and what every row does to a face."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from core.errors import InvalidOption
from core.options import RestoreOptions, TrainOptions
from lab.evaluate.manifest import GOOD_REFERENCES, LEVELS, PHONE, REFERENCES, SECOND_ORDER
from lab.evaluate.plugged import OtherControlNet

# nobody: the base model; references: no training; truth: none either, with the truth itself as the only reference;
# own, other: an adapter trained for the person or for the next one; elsewhere: another program's results in a folder.
Who = Literal["input", "nobody", "references", "truth", "own", "other", "elsewhere"]
Protocol = Literal["main", "grid", "ablation", "sweep"]
PROTOCOLS: tuple[str, ...] = get_args(Protocol)
FIDELITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
_NO_MIN_SNR = 1e6  # a gamma that no SNR reaches: eq. 6 without its weight


@dataclass(frozen=True)
class Row:
    """One way to restore a face."""

    name: str
    who: Who
    restore: RestoreOptions
    train: TrainOptions | None = None  # of the adapter, where there is one
    projection: bool = True  # the adapter's [V] starts from the identity projection
    good_references: int = GOOD_REFERENCES  # of the five; the others are degraded
    gated: bool = False  # as served: where the gate falls, the base model's face or the input stands
    folder: str | None = None  # of another program's results
    controlnet: OtherControlNet | None = None  # restores in the place of the bundle's own; the adapter never met it
    exchanged: bool = False  # the gate's recognizer guides, and the guide keeps the gate

    def key(self) -> str:
        """Return a digest of all that decides what the row does; its name does not."""
        values = {name: value for name, value in asdict(self).items() if name not in ("name", "controlnet")}
        return _digest({**values, "controlnet": None if self.controlnet is None else self.controlnet.digest})

    def training_key(self) -> str:
        """Return a digest of all that decides how the row's adapter is trained."""
        assert self.train is not None, f"row {self.name} has no adapter"
        return _digest([self.train.as_dict(), self.projection, self.good_references])


@dataclass(frozen=True)
class Table:
    """Rows that are compared on the same inputs."""

    name: str
    title: str
    rows: tuple[Row, ...]
    inputs: tuple[str, ...]  # severities or levels
    baseline: str | None = None  # the row that every other one is compared with, pair by pair


def tables(
    protocol: str, preset: str, severities: Sequence[str], seed: int = 0, changes: Mapping[str, Any] | None = None
) -> list[Table]:
    """Return the tables of a protocol with a preset's options; `changes` of them are named train.X or restore.X."""
    if protocol not in PROTOCOLS:
        raise InvalidOption(f"got protocol {protocol!r}, wanted one of {', '.join(PROTOCOLS)}")
    train = TrainOptions.preset(preset, **{"seed": seed, **_changes_of("train", changes or {})})
    restore = RestoreOptions.preset(preset, **_changes_of("restore", changes or {}))
    makers = {"main": _main, "grid": _grid, "ablation": _ablation, "sweep": _sweep}
    return makers[protocol](train, restore, tuple(severities))


def with_others(table: Table, results: Mapping[str, Path]) -> Table:
    """Return a table with a row for each folder of another program's results, after its own."""
    rows = tuple(Row(name, "elsewhere", RestoreOptions(), folder=str(folder)) for name, folder in results.items())
    if twice := {row.name for row in table.rows} & set(results):
        raise InvalidOption(f"got results named {sorted(twice)[0]!r}, wanted a name that no row has yet")
    return replace(table, rows=(*table.rows, *rows))


def with_controlnet(table: Table, controlnet: OtherControlNet) -> Table:
    """Return the rows restored with another bundle's ControlNet, by the adapters that were trained with its own."""
    restoring = [row for row in table.rows if row.who != "elsewhere"]
    rows = tuple(row if row.who == "input" else replace(row, controlnet=controlnet) for row in restoring)
    return replace(table, name=f"{table.name} plugged", title=f"{table.title}, with another ControlNet", rows=rows)


def _changes_of(kind: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes of one kind of options; InvalidOption for a name of neither kind."""
    if wrong := [name for name in changes if name.partition(".")[0] not in ("train", "restore")]:
        raise InvalidOption(f"got --set {wrong[0]}, wanted train.NAME=VALUE or restore.NAME=VALUE")
    return {name.partition(".")[2]: value for name, value in changes.items() if name.startswith(f"{kind}.")}


def _main(train: TrainOptions, restore: RestoreOptions, severities: tuple[str, ...]) -> list[Table]:
    rows = (
        _input(restore),
        _base(restore),
        Row("instant", "references", restore, gated=True),
        Row("full", "own", restore, train, gated=True),
    )
    return [Table("main", "As served: input, untuned base, instant and personalized", rows, severities, "untuned base")]


def _grid(train: TrainOptions, restore: RestoreOptions, severities: tuple[str, ...]) -> list[Table]:
    """Return all eight ways to switch injector, guidance and projection, and three rows beside them; no gate.

    Another person's adapter must not help. The truth in the references' place: what is missing there is not theirs. And
    guidance by the gate's recognizer, to be compared with guidance by the one that is meant for it.
    """
    rows = [_input(restore), _base(restore)]
    for injector in (False, True):
        for guidance in (False, True):
            for projection in (False, True):
                parts = {"injector": injector, "guidance": guidance, "projection": projection}
                if name := " + ".join(part for part, on in parts.items() if on):
                    options = replace(restore, guidance=guidance, projection=projection)
                    who: Who = "own" if injector else "references"
                    rows.append(Row(name, who, options, train if injector else None, projection or not injector))
    plain = replace(restore, guidance=False)
    rows.append(Row("another person's injector", "other", plain, train))
    rows.append(Row("projection of the truth", "truth", plain))
    guided = replace(restore, projection=False)
    rows.append(Row("guidance by the gate's recognizer", "references", guided, exchanged=True))
    return [Table("grid", "Injector, guidance and projection, on and off", tuple(rows), severities, "untuned base")]


def _ablation(train: TrainOptions, restore: RestoreOptions, severities: tuple[str, ...]) -> list[Table]:
    """Return the paper's Table 2 and what this implementation adds to it."""
    changes: dict[str, dict[str, Any]] = {
        "without prior loss": {"lambda_prior": 0.0},
        "without quality tokens and min-SNR": {"quality_tokens": False, "gamma": _NO_MIN_SNR},
        "LoRA on all cross-attention": {"targets": "all_cross"},
        "LoRA on the decoder's cross- and self-attention": {"targets": "decoder_all"},
        "LoRA on all attention": {"targets": "all"},
        "the paper's losses only": {"identity_weight": 0.0},
        "prior loss as a norm": {"literal_prior_norm": True},
        "ControlNet off while training": {"control": False, "strength": 1.0},
    }
    rows = [
        _input(restore),
        _base(restore),
        Row("full", "own", restore, train),
        Row("without ID-preserving sampling", "own", replace(restore, guidance=False), train),
        Row("equation 7 as printed", "own", replace(restore, literal_guidance=True), train),
    ]
    rows += [Row(name, "own", restore, replace(train, **change)) for name, change in changes.items()]
    return [Table("ablation", "One part left out or changed at a time", tuple(rows), severities, "full")]


def _sweep(train: TrainOptions, restore: RestoreOptions, severities: tuple[str, ...]) -> list[Table]:
    """Return ID against the number of HQ references, five severities, other degradations, and fidelity."""
    input_row, base = _input(restore), _base(restore)
    counts = [
        Row(f"{good} of {REFERENCES} HQ", "own", restore, train, good_references=good) for good in range(REFERENCES + 1)
    ]
    full = Row("full", "own", restore, train)
    knob = [Row(f"fidelity {f:g}", "own", restore.with_fidelity(f), train) for f in FIDELITIES]
    return [
        Table("references", "How many of the references are HQ", (input_row, base, *counts), severities, base.name),
        Table("levels", "From light to heavy in five steps", (input_row, base, full), LEVELS, base.name),
        Table("other", "Other ways to go bad", (input_row, base, full), (SECOND_ORDER, PHONE), base.name),
        Table("fidelity", "From the references' person to the input's pixels", (base, *knob), severities, base.name),
    ]


def _input(restore: RestoreOptions) -> Row:
    return Row("input", "input", restore)


def _base(restore: RestoreOptions) -> Row:
    return Row("untuned base", "nobody", replace(restore, guidance=False, projection=False))


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
