"""`idprefer pretrain controlnet`: any folder of photos, a bundle of any size; `accelerate launch` for several GPUs."""

from pathlib import Path

import torch
from accelerate import PartialState
from diffusers import ControlNetModel

from cli.bundles import load
from cli.console import plain_console
from cli.pretrain import Choices
from core.backbone import Backbone
from core.errors import InvalidOption
from lab.pretrain.controlnet.run import ControlOptions, Step, pretrain_controlnet, put_into_bundle

_REPORT_EVERY = 50  # steps


def run(choices: Choices) -> None:
    """Train the bundle's ControlNet, or go on with it, and put it into the bundle."""
    if not choices.data.is_dir():
        raise InvalidOption(f"got --data {choices.data}, which is no folder; wanted a folder of photos")
    place = PartialState(cpu=choices.device == "cpu")
    backbone = load(str(choices.bundle), str(place.device) if choices.device == "auto" else choices.device)
    torch.manual_seed(choices.seed)  # the picture stem starts anew
    controlnet = _begun(backbone, choices.start)
    changes = {"steps": choices.steps, "batch_size": choices.batch_size, "learning_rate": choices.learning_rate}
    options = ControlOptions(
        seed=choices.seed,
        checkpointed=choices.small_card,
        half_weights=choices.small_card,
        **{name: value for name, value in changes.items() if value is not None},  # type: ignore[arg-type]
    )
    console = plain_console(quiet=not place.is_main_process)

    def progress(step: Step) -> None:
        if step.step % _REPORT_EVERY == 0 or step.step == step.steps:
            console.print(f"step {step.step} of {step.steps}, loss {step.loss:.4f}")

    crops = pretrain_controlnet(backbone, controlnet, choices.data, choices.work / "controlnet", options, progress)
    if place.is_main_process:
        put_into_bundle(controlnet, choices.bundle)
    console.print(f"faces {len(crops.faces)}, photos skipped {len(crops.skipped)}")
    for photo, why in list(crops.skipped.items())[:20]:
        console.print(f"  {photo}: {why}", soft_wrap=True)


def _begun(backbone: Backbone, start: Path | None) -> ControlNetModel:
    """Return the ControlNet of another bundle, or a copy of the UNet's encoder."""
    if start is not None:
        return ControlNetModel.from_pretrained(start / "controlnet")
    stem = backbone.controlnet.config.conditioning_embedding_out_channels
    return ControlNetModel.from_unet(backbone.unet, conditioning_embedding_out_channels=stem)
