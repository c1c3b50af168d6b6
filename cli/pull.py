"""`idprefer bundle pull`: shows the licences, asks, and lets lab.pull put the bundle together."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.table import Table

from cli.console import plain_console
from cli.folders import BUNDLES, find_bundle
from lab.pull.recipes import recipe_named, with_controlnet
from lab.pull.run import Pull, Terms, pull


@dataclass(frozen=True)
class Choices:
    """What the command line asks for; None leaves the default."""

    into: Path | None
    lock: Path | None
    accept_licences: bool
    faces: Path | None  # an insightface pack's folder
    controlnet: str | None  # OWNER/NAME or OWNER/NAME/FOLDER
    endpoint: str | None


def run(name: str, choices: Choices) -> None:
    """Pull a bundle, or go on with it, and say where it lies."""
    recipe = recipe_named(name)
    if choices.controlnet is not None:
        recipe = with_controlnet(recipe, choices.controlnet)
    folder = choices.into or BUNDLES / recipe.name
    lock = choices.lock or folder.with_name(f"{folder.name}.lock.json")
    wanted = Pull(recipe, folder, lock, find_bundle("mini"), choices.faces, choices.endpoint)
    console = plain_console()

    def accept(terms: Sequence[Terms]) -> bool:
        console.print(_table(terms))
        for each in terms:
            console.print(f"{each.what}: {each.terms}", soft_wrap=True)
        if choices.accept_licences or not sys.stdin.isatty():
            return choices.accept_licences
        return typer.confirm("Do you accept these licences?")

    pull(wanted, accept, lambda file: console.print(f"  {file}"))
    console.print(f"{recipe.name} is in {folder}; keep {lock}: later pulls must match it", soft_wrap=True)


def _table(terms: Sequence[Terms]) -> Table:
    table = Table(title="what comes, and under which licence", title_justify="left")
    for heading in ("part", "from", "GB", "licence", "use"):
        table.add_column(heading, justify="right" if heading == "GB" else "left")
    for each in terms:
        use = "non-commercial only" if each.non_commercial else ""
        table.add_row(each.what, each.source, f"{each.bytes / 1e9:.2f}", each.licence, use)
    return table
