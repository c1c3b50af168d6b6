"""Bundles: loading one, and saying what is in it."""

import json
from pathlib import Path
from typing import Any

import torch
import typer
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from rich.table import Table
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection
from transformers.utils import logging as transformers_logging

from cli.console import plain_console
from cli.folders import find_bundle
from core.backbone import Backbone, files_digest, load_backbone, read_manifest, verify_files
from core.errors import MissingBundle
from core.injector import lora_parameter_count

_DIFFUSERS_PARTS = {
    "unet": UNet2DConditionModel,
    "controlnet": ControlNetModel,
    "vae": AutoencoderKL,
    "preview_decoder": AutoencoderTiny,
}
_TEXT_PARTS = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}


def load(name: str, device: str = "auto") -> Backbone:
    """Load a bundle; `auto` means this machine's accelerator where there is one."""
    _hush()
    folder = find_bundle(name)
    if not read_manifest(folder).get("weights", True):
        raise MissingBundle(f"got bundle {name!r}, which has shapes but no weights; wanted one that can restore")
    return load_backbone(folder, device_name(device))


def _hush() -> None:
    """Silence the libraries: what they say of our own configs helps nobody."""
    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()


def device_name(device: str) -> str:
    """Return a torch device's name, with `auto` resolved."""
    if device != "auto":
        return device
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator.type if accelerator is not None else "cpu"


def inspect(name: str, as_json: bool) -> None:
    """Print what `description` finds."""
    _hush()
    about = description(find_bundle(name))
    if as_json:
        typer.echo(json.dumps(about, indent=2))
        return
    table = Table(title=f"{about['name']}, {about['resolution']} px", title_justify="left")
    for heading in ("part", "parameters", "MB"):
        table.add_column(heading, justify="left" if heading == "part" else "right")
    for part, sizes in about["parts"].items():
        count = sizes["parameters"]
        table.add_row(part, "" if count is None else f"{count:,}", f"{sizes['bytes'] / 1e6:.1f}")
    table.add_section()
    table.add_row("an adapter (LoRA)", f"{about['lora_parameters']:,}", f"{about['lora_parameters'] * 2 / 1e6:.1f}")
    console = plain_console()
    console.print(table)
    for part, licence in about["licences"].items():
        console.print(f"{part}: {licence}")
    console.print(f"digest {about['digest']}")


def description(folder: Path) -> dict[str, Any]:
    """Return a bundle's sizes, licences and hashes; networks are built without weights, so even SDXL takes seconds."""
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    modules = _modules(folder)
    parts = sorted({name.split("/")[0] for name in manifest["files"]})
    return {
        "name": manifest["name"],
        "resolution": manifest["resolution"],
        "digest": files_digest(manifest["files"]),
        "licences": manifest["licences"],
        "lora_parameters": lora_parameter_count(modules["unet"]),
        "bytes": sum((folder / name).stat().st_size for name in manifest["files"]),
        "parts": {part: _sizes(folder / part, modules.get(part)) for part in parts},
        "files": manifest["files"],
    }


def _modules(folder: Path) -> dict[str, Any]:
    with torch.device("meta"):
        modules = {
            part: kind.from_config(kind.load_config(folder / part))
            for part, kind in _DIFFUSERS_PARTS.items()
            if (folder / part).is_dir()
        }
        for part, kind in _TEXT_PARTS.items():
            modules[part] = kind(CLIPTextConfig.from_pretrained(folder / part))
    return modules


def _sizes(part: Path, module: Any) -> dict[str, int | None]:
    files = [path for path in part.rglob("*") if path.is_file()] if part.is_dir() else [part]
    parameters = None if module is None else sum(p.numel() for p in module.parameters())
    return {"parameters": parameters, "bytes": sum(path.stat().st_size for path in files)}
