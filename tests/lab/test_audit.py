"""Tests of an audit by others: one command on somebody's own folder of whole photographs, and a report to publish."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from cli.app import main
from cli.scene import PORTRAITS
from core import options
from tests.tiny_bundle import photo_of, write_whole_bundle

_SIZES = ((480, 320), (320, 480), (640, 400), (400, 400), (500, 333), (333, 500), (420, 300))  # of whole photos, px
_AUDITED = ("dwight_evans", "mike_kelly")
_MINI = Path("bundles/mini")


def _audit(*arguments: object) -> None:
    done = pytest.raises(SystemExit, main, ["evaluate", *map(str, arguments)])
    assert not done.value.code


def _folder_of_marks(root: Path) -> Path:
    """Write two people's whole photos of many sizes, a third's who has too few, and what such folders also hold."""
    for person, name in enumerate(("Zoë K.", "person two")):
        (root / name).mkdir(parents=True)
        for number, size in enumerate(_SIZES):
            photo = photo_of((size[0] // 2, size[1] // 2), size=size, seed=10 * person + number)
            Image.fromarray(photo.pixels).save(root / name / f"IMG {number}.JPG", quality=95)
    (root / "person two" / "IMG 0.JPG").write_bytes(b"not a photograph")
    Image.fromarray(photo_of(size=(400, 300)).pixels).save(root / "Zoë K." / "landscape.png")
    Image.fromarray(photo_of((100, 120), (300, 160), size=(480, 320)).pixels).save(root / "Zoë K." / "two faces.png")
    (root / "few").mkdir()
    Image.fromarray(photo_of((240, 160)).pixels).save(root / "few" / "only.jpg")
    (root / "Zoë K." / "Thumbs.db").write_bytes(b"-")
    (root / "READ ME.txt").write_text("-")
    return root


def test_publishable_audit_of_whole_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the folder holds, the command ends with a report; it counts what was left out, and names nobody."""
    monkeypatch.setitem(options._TRAIN_PRESETS, "fast", {"steps": 1, "batch_size": 1})
    monkeypatch.setitem(options._RESTORE_PRESETS, "fast", {"steps": 2})
    bundle, photos = write_whole_bundle(tmp_path / "tiny"), _folder_of_marks(tmp_path / "photos")
    common = ("--dataset", photos, "--bundle", bundle, "--preset", "fast", "--judges", "gate", "--frame", "whole")
    _audit(*common, "--severity", "heavy", "--publishable", "--report", tmp_path / "report")
    folder = tmp_path / "report" / "main-fast-publishable"
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "report.json"]
    told = json.loads((folder / "report.json").read_text())
    assert told["about"]["person_count"] == 2
    assert told["about"]["photos"].startswith("14: 14 cut out of whole photographs (the largest of several faces in 1)")
    assert told["skipped_count"] == len(told["skipped"]) == 3
    reasons = " | ".join(skipped["reason"] for skipped in told["skipped"])
    for words in ("no face was found", "too few photos", "wanted one of these"):
        assert words in reasons
    assert set(told["missing_metrics"]) == {"lpips", "clipiqa", "maniqa", "musiq"}
    text = (folder / "index.html").read_text()
    assert not any(name in text for name in ("Zo", "person two", "IMG", "landscape"))


def _photographed(name: str, root: Path) -> None:
    """Write six whole photographs of somebody: each portrait as it is and in other lights and sizes, on a wall."""
    portraits = [Image.open(path).convert("RGB") for path in sorted(PORTRAITS.glob(f"{name}_*.jpg"))]
    (root / name).mkdir(parents=True)
    for number, size in enumerate(_SIZES[:6]):
        face = portraits[number % len(portraits)]
        face = ImageEnhance.Brightness(face).enhance(0.8 + 0.08 * number)
        face = ImageOps.mirror(face) if number >= len(portraits) else face
        wall = Image.new("RGB", size, (150 + 10 * number, 160, 150))
        scaled = face.resize((min(size) * 9 // 10,) * 2, Image.Resampling.LANCZOS)
        wall.paste(scaled, ((size[0] - scaled.width) // 2, (size[1] - scaled.height) // 2))
        wall.save(root / name / f"{number}.jpg", quality=92)


@pytest.mark.prove
@pytest.mark.timeout(1800)
def test_audit_of_portraits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real faces in whole photographs, through the bundle that comes along: found, cut out, degraded, restored."""
    monkeypatch.setitem(options._TRAIN_PRESETS, "fast", {"steps": 2})
    for name in _AUDITED:
        _photographed(name, tmp_path / "photos")
    common = ("--dataset", tmp_path / "photos", "--bundle", _MINI, "--preset", "fast", "--judges", "gate")
    _audit(*common, "--frame", "whole", "--severity", "heavy", "--report", tmp_path / "report")
    folder = tmp_path / "report" / "main-fast"
    told = json.loads((folder / "report.json").read_text())
    assert told["about"]["photos"] == (
        "12: 12 cut out of whole photographs (the largest of several faces in 0), 0 aligned crops already"
    )
    assert told["skipped_count"] == 0
    lines = {line["row"]: line["values"] for line in told["tables"][0]["lines"]}
    assert lines["untuned base"]["psnr"]["mean"] > lines["input"]["psnr"]["mean"]
    assert (folder / "main heavy.png").is_file()
    # Cut out upright and in place: the eyes of every crop lie darker than the cheeks below them.
    entries = json.loads((folder / "measurements.json").read_text())
    assert len(entries) == 2 * len(told["tables"][0]["lines"])
    base = [folder / entry["file"] for entry in entries if entry["row"] == "untuned base"]
    for path in base:
        pixels = np.asarray(Image.open(path).convert("L"), dtype=float)
        assert pixels[55:65, 40:90].mean() < pixels[72:82, 40:90].mean()
    assert torch.isfinite(torch.tensor([value["mean"] for value in lines["full"].values()])).all()
