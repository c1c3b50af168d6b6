"""`idprefer adapter`: what an adapter says about itself, and its parts in the format of other programs."""

import json
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from cli.bundles import load
from cli.console import plain_console
from core.adapter_file import export_diffusers, read_adapter
from core.errors import InvalidOption
from core.injector import Adapter


def inspect(path: Path, bundle: str, as_json: bool) -> None:
    """Check an adapter to the last key and print its sizes and metadata."""
    about = description(read_adapter(path, load(bundle, "cpu")))
    if as_json:
        typer.echo(json.dumps(about, indent=2))
        return
    table = Table(show_header=False, box=None)
    for name, value in about.items():
        table.add_row(name, value if isinstance(value, str) else json.dumps(value))
    plain_console().print(table)


def description(adapter: Adapter) -> dict[str, Any]:
    """Return an adapter's sizes beside its metadata."""
    return {
        "lora_parameters": sum(weight.numel() for weight in adapter.lora.values()),
        "references": len(adapter.references),
        **adapter.metadata,
    }


def export(path: Path, output: Path, form: str, bundle: str) -> None:
    """Write LoRA and [V] into a folder as diffusers reads them."""
    if form != "diffusers":
        raise InvalidOption(f"got --format {form!r}, wanted diffusers")
    export_diffusers(read_adapter(path, load(bundle, "cpu")), output)
    typer.echo(f"wrote {output}: load_lora_weights reads the LoRA, load_textual_inversion [V] (clip_l, clip_g)")
