"""Tests of the options."""

import json

import pytest

from core.errors import InvalidOption
from core.options import FIDELITY_TABLE, PRESETS, RestoreOptions, TrainOptions


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name: str) -> None:
    """Every preset comes back from JSON equal to itself."""
    for kind in (TrainOptions, RestoreOptions):
        options = kind.preset(name)
        assert kind.from_dict(json.loads(json.dumps(options.as_dict()))) == options


def test_preset_takes_changes() -> None:
    """A preset's fields can be changed by name."""
    assert TrainOptions.preset("best", steps=7).steps == 7
    assert RestoreOptions.preset("fast", cfg_interval=[100, 700]).cfg_interval == (100, 700)


@pytest.mark.parametrize("fidelity", FIDELITY_TABLE)
def test_fidelity_rows(fidelity: float) -> None:
    """At the table's own rows, fidelity sets exactly what they say."""
    options = RestoreOptions().with_fidelity(fidelity)
    got = (options.control_scale, options.cfg_scale, options.guidance_target_share, options.detail_kept)
    assert got == FIDELITY_TABLE[fidelity]
    assert options.fidelity == fidelity


def test_fidelity_between_rows() -> None:
    """Between two rows, fidelity gives their mean in the middle."""
    low, high = FIDELITY_TABLE[0.5], FIDELITY_TABLE[1.0]
    options = RestoreOptions().with_fidelity(0.75)
    assert options.control_scale == pytest.approx((low[0] + high[0]) / 2)
    assert options.cfg_scale == pytest.approx((low[1] + high[1]) / 2)


def test_middle_fidelity_is_the_default() -> None:
    """Fidelity 0.5 changes nothing but its own field."""
    assert RestoreOptions().with_fidelity(0.5) == RestoreOptions(fidelity=0.5)


@pytest.mark.parametrize(
    "values",
    [
        {"steps": 0},
        {"steps": float("nan")},
        {"learning_rate": 10**400},
        {"steps": 2.5},
        {"learning_rate": -1.0},
        {"pivot": 1.5},
        {"targets": "everything"},
        {"schedule": "steep"},
        {"early_stop": 0},
        {"early_stop": 2.5},
        {"early_stop": 19, "evaluate_every": 20},
        {"seed": 2**31},
        {"batch_size": "4"},
        {"control": 1},
        {"colour": True},
    ],
)
def test_wrong_training_options(values: dict[str, object]) -> None:
    """A value out of range, of another type, or of an unknown name is refused, and named."""
    with pytest.raises(InvalidOption, match=next(iter(values))):
        TrainOptions.from_dict(values)


@pytest.mark.parametrize(
    "values",
    [
        {"cfg_scale": 0.5},
        {"guidance_window": (800, 100)},
        {"guidance_window": (100,)},
        {"guidance_window": ("a", "b")},
        {"cfg_interval": (0, float("inf"))},
        {"start": "middle"},
        {"fidelity": 2.0},
        {"guidance_target": -3},
        {"steps": 601},
        {"steps": 51, "strength": 0.05},
        {"seed": 1},
        {"guidance": "yes"},
    ],
)
def test_wrong_restoration_options(values: dict[str, object]) -> None:
    """A value out of range, of another type, or of an unknown name is refused, and named."""
    with pytest.raises(InvalidOption, match=next(iter(values))):
        RestoreOptions.from_dict(values)


def test_steps_over_the_whole_schedule() -> None:
    """From noise alone the whole schedule is there for the steps that a start at the LQ latent has no room for."""
    assert RestoreOptions(steps=601, start="noise").schedule_steps == 601
    assert RestoreOptions(steps=600).schedule_steps == 1000


def test_wrong_preset() -> None:
    """An unknown preset names the known ones."""
    with pytest.raises(InvalidOption, match="fast, balanced, best"):
        TrainOptions.preset("quick")
