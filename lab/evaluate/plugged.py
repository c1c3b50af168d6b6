"""What a row restores with: the bundle as it is, its recognizers in each other's place, or another one's ControlNet."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.backbone import Backbone, base_digest, files_digest, load_backbone, read_manifest
from core.errors import InvalidOption

_PART = "controlnet/"


@dataclass(frozen=True)
class OtherControlNet:
    """The ControlNet of another bundle of the same base, named by what is in it."""

    digest: str  # of the ControlNet's files
    bundle: str = field(compare=False)  # folder


def controlnet_of(folder: Path, backbone: Backbone) -> OtherControlNet:
    """Return the ControlNet of another bundle's folder; InvalidOption where it was made for another base."""
    files = read_manifest(folder)["files"]
    if base_digest(files) != backbone.base_digest:
        raise InvalidOption(
            f"got --controlnet {folder.name}, whose UNet or text encoders are not those of {backbone.name}; wanted "
            "another bundle of the same base"
        )
    own = {name: sha256 for name, sha256 in files.items() if name.startswith(_PART)}
    return OtherControlNet(files_digest(own), str(folder))


class Backbones:
    """One bundle, and what it becomes by another part, each made once."""

    def __init__(self, backbone: Backbone) -> None:
        self._own = backbone
        self._made: dict[tuple[OtherControlNet | None, bool], Backbone] = {(None, False): backbone}

    def get(self, controlnet: OtherControlNet | None, exchanged: bool) -> Backbone:
        """Return the bundle with another ControlNet, with its recognizers exchanged, or as it is."""
        key = controlnet, exchanged
        if key not in self._made:
            backbone = self._own if controlnet is None else with_controlnet(self._own, controlnet)
            self._made[key] = recognizers_exchanged(backbone) if exchanged else backbone
        return self._made[key]


def with_controlnet(backbone: Backbone, controlnet: OtherControlNet) -> Backbone:
    """Return a bundle with another one's ControlNet."""
    other = load_backbone(Path(controlnet.bundle), str(backbone.device), backbone.dtype)
    return replace(backbone, controlnet=other.controlnet)


def recognizers_exchanged(backbone: Backbone) -> Backbone:
    """Return a bundle whose guide keeps the gate and whose gate's recognizer guides; InvalidOption where there is none.

    The identity projection reads the guide's embeddings alone and is left out.
    """
    if backbone.second_recognizer is None:
        raise InvalidOption(f"got bundle {backbone.name}, which has one recognizer; wanted one with two to exchange")
    return replace(
        backbone,
        manifest={**backbone.manifest, "calibration": exchanged_calibration(backbone.manifest.get("calibration", {}))},
        recognizer=backbone.second_recognizer,
        second_recognizer=backbone.recognizer,
        identity_projection=None,
    )


def exchanged_calibration(calibration: dict[str, Any]) -> dict[str, Any]:
    """Return both recognizers' scales, each under the other's name, and the new guide's own target."""
    names = {"first": "second", "second": "first"}
    scales = {names[name]: scale for name, scale in calibration.items() if name in names}
    return {**scales, "target_cosine": scales["first"][1]} if "first" in scales else scales
