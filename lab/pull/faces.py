"""Who finds and knows faces in a pulled bundle: the networks of another bundle, or an insightface pack on disk."""

import shutil
from pathlib import Path
from typing import Any

from insightface.model_zoo import get_model

from core.arcface import load_recognizer
from core.backbone import read_manifest
from core.errors import MissingBundle

_PARTS = ("faces", "second_recognizer", "quality")


def copy_faces(companion: Path, folder: Path) -> dict[str, Any]:
    """Copy detector, recognizers and quality network of another bundle; returns their calibration."""
    for part in _PARTS:
        shutil.rmtree(folder / part, ignore_errors=True)
        if (companion / part).is_dir():
            shutil.copytree(companion / part, folder / part)
    calibration: dict[str, Any] = read_manifest(companion).get("calibration", {})
    return calibration


def use_pack(pack: Path, folder: Path, calibration: dict[str, Any]) -> dict[str, Any]:
    """Put an insightface pack's detector and recognizer in the place of those in `folder`; returns the calibration.

    MissingBundle where the pack lacks one of them, UnknownGraph where its recognizer is no IResNet. The calibration of
    the guidance recognizer goes: it was another one's.
    """
    kinds = _by_kind(pack)
    if missing := {"detection", "recognition"} - set(kinds):
        raise MissingBundle(f"got {pack}, which has no {' and no '.join(sorted(missing))} .onnx; wanted a whole pack")
    load_recognizer(kinds["recognition"])
    faces = folder / "faces"
    shutil.rmtree(faces, ignore_errors=True)
    faces.mkdir(parents=True)
    for kind in ("detection", "recognition"):
        shutil.copyfile(kinds[kind], faces / f"{kind}.onnx")
    return {name: value for name, value in calibration.items() if name == "second"}


def _by_kind(pack: Path) -> dict[str, Path]:
    """Return the pack's .onnx files by what insightface takes them for."""
    kinds = {}
    for path in sorted(pack.glob("*.onnx")):
        model = get_model(str(path), providers=["CPUExecutionProvider"])
        if model is not None:
            kinds[str(model.taskname)] = path
    return kinds
