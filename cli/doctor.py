"""`idprefer doctor`: looks at this machine and says, in words a person can act on, what is missing."""

import importlib.util
import json
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import typer
from rich.table import Table
from rich.text import Text

from cli.console import plain_console
from cli.folders import bundle_folders
from core.errors import PreferError

_DISK_WANTED_GB = 5.0
# What each part of the program cannot do without, and the extra that brings it.
_PARTS = {
    "restoring": ("worker", ("torch", "diffusers", "transformers", "peft", "insightface", "onnxruntime")),
    "serving": ("api", ("fastapi", "uvicorn", "sqlalchemy", "alembic", "celery", "minio")),
    "evaluating and pretraining": ("lab", ("dlib", "skimage", "scipy", "matplotlib")),
}


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    well: bool
    found: str
    advice: str = ""  # what to do, where it is not well


def run(as_json: bool) -> None:
    """Print the findings; exit code 1 where something is not well."""
    findings = list(look())
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    if not all(finding.well for finding in findings):
        raise typer.Exit(1)


def look() -> Iterator[Finding]:
    """Look at Python, the installed parts, the processor, the disk and the bundles."""
    version = platform.python_version()
    yield Finding("Python", sys.version_info >= (3, 11), version, "install Python 3.11 or later")
    yield from _parts()
    if importlib.util.find_spec("torch"):
        yield _processor()
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    yield Finding("disk", free >= _DISK_WANTED_GB, f"{free:.0f} GB free here", f"free {_DISK_WANTED_GB:.0f} GB")
    if importlib.util.find_spec("diffusers"):
        yield from _bundles()


def _parts() -> Iterator[Finding]:
    for part, (extra, modules) in _PARTS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        found = f"lacks {', '.join(missing)}" if missing else "everything it needs is installed"
        yield Finding(part, not missing, found, f"pip install -c constraints.txt -e '.[{extra}]'")


def _processor() -> Finding:
    import torch

    from core.precision import compute_dtype

    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    device = "cpu" if accelerator is None else accelerator.type
    dtype = str(compute_dtype(device)).removeprefix("torch.")
    return Finding("processor", True, f"torch {torch.__version__} on {device}, {dtype} computes fastest")


def _bundles() -> Iterator[Finding]:
    from core.backbone import read_manifest, verify_files

    folders = bundle_folders()
    if not any(folder.name == "mini" for folder in folders):
        yield Finding("bundle mini", False, "not there", "check the repository out again, bundles/mini comes with it")
    for folder in folders:
        try:
            manifest = read_manifest(folder)
            verify_files(folder, manifest)
        except PreferError as error:
            yield Finding(f"bundle {folder.name}", False, str(error), "check the repository out again")
        else:
            yield Finding(f"bundle {folder.name}", True, f"{len(manifest['files'])} files, all as the manifest says")


def _print(findings: list[Finding]) -> None:
    table = Table(show_header=False, box=None)
    for finding in findings:
        mark = Text("ok", "green") if finding.well else Text("missing", "red")
        table.add_row(mark, finding.what, finding.found)
        if not finding.well:
            table.add_row("", "", f"-> {finding.advice}")
    plain_console().print(table)
