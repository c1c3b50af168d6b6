"""Tests of the doctor's findings."""

import importlib.util
from pathlib import Path

import pytest

from cli import doctor, folders


def findings() -> dict[str, doctor.Finding]:
    """Return what the doctor finds on this machine, by what was looked at."""
    return {finding.what: finding for finding in doctor.look()}


def test_finds_what_is_installed() -> None:
    """Where the tests run, every part is installed and the shapes of SDXL are intact."""
    found = findings()
    assert found["restoring"].well
    assert found["serving"].well
    assert found["bundle sdxl-shape"].well


def test_names_a_damaged_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle with a changed file is found, and the file named."""
    bundle = tmp_path / "broken"
    bundle.mkdir()
    (bundle / "bundle.json").write_text('{"name": "broken", "files": {"vae/config.json": "00"}}')
    monkeypatch.setattr(folders, "BUNDLES", tmp_path)
    found = findings()
    assert not found["bundle broken"].well
    assert "vae/config.json" in found["bundle broken"].found
    assert not found["bundle mini"].well


def test_names_a_missing_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that is not installed is named, with the command that installs it."""
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "minio" else real(name))
    serving = findings()["serving"]
    assert not serving.well
    assert "minio" in serving.found
    assert "[api]" in serving.advice
