"""Tests of `idprefer demo`: the main job once through, on what comes along or on one's own photos."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from cli import demo
from cli.scene import Scene, demo_scene
from core.images import read_photo_file
from tests.cli.conftest import Ran, Run
from tests.tiny_bundle import photo_of

WRITTEN = ("me.safetensors", "restored.png", "comparison.png")


def scene() -> Scene:
    """Return a scene of marks instead of portraits: the tiny bundle's detector knows no others."""
    references = tuple(photo_of((240, 160), seed=seed).pixels for seed in (40, 41))
    photo = photo_of((240, 160), seed=42).pixels
    return Scene(references, photo, photo)


def shows_a_demo(ran: Ran, output: Path, photo: Path) -> None:
    """Check that everything was written, that the face changed and the wall did not."""
    assert ran.code == 0, ran.err
    assert all((output / name).stat().st_size > 1000 for name in WRITTEN)
    assert "comparison.png" in ran.out
    before, after = (read_photo_file(path).pixels for path in (photo, output / "restored.png"))
    changed = (before != after).any(-1)
    assert changed[160, 240]
    assert not changed[:, :20].any()


def test_demo(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without photos the demo's own are written out, learned from and restored; a second run is a first one."""
    monkeypatch.setattr(demo, "demo_scene", scene)
    output = tmp_path / "out"
    shows_a_demo(run("demo", "-o", output), output, output / "photo.png")
    first = (output / "restored.png").read_bytes()
    shows_a_demo(run("demo", "-o", output), output, output / "photo.png")
    assert (output / "restored.png").read_bytes() == first
    assert sorted(path.name for path in (output / "demo_references").iterdir()) == [
        "reference_1.png",
        "reference_2.png",
    ]


def test_own_photos(run: Run, references: Path, photo: Path, tmp_path: Path) -> None:
    """One's own photos are used where they lie, and not copied."""
    shows_a_demo(run("demo", "--references", references, "--photo", photo, "-o", tmp_path), tmp_path, photo)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(WRITTEN)


def test_half_of_ones_own_photos(run: Run, references: Path, tmp_path: Path) -> None:
    """References without a photo, or a photo without references, is refused before anything is written."""
    for option in ("--references", "--photo"):
        ran = run("demo", option, references, "-o", tmp_path / "out")
        assert ran.code == 2
        assert "wanted both" in ran.err
        assert not (tmp_path / "out").exists()


def test_ones_own_photo_is_not_written_over(run: Run, references: Path, photo: Path, tmp_path: Path) -> None:
    """A photo that is called as a result would be is refused, and stays."""
    mine = Path(shutil.copy(photo, tmp_path / "restored.png"))
    ran = run("demo", "--references", references, "--photo", mine, "-o", tmp_path)
    assert ran.code == 2
    assert "the original" in ran.err
    assert mine.read_bytes() == photo.read_bytes()


def test_scene_as_it_comes_along(tmp_path: Path) -> None:
    """The portraits that come along become two references and one photo on disk, pixels as they are."""
    references, photo = demo.write_scene(tmp_path)
    comes_along = demo_scene()
    for path, pixels in zip(sorted(references.iterdir()), comes_along.references, strict=True):
        assert np.array_equal(read_photo_file(path).pixels, pixels)
    assert np.array_equal(read_photo_file(photo).pixels, comes_along.photo)
