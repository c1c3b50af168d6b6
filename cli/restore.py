"""`idprefer restore`: a photo in, the same photo with one face restored out, and the evidence of what was done."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from cli.boxes import corners
from cli.bundles import load
from cli.comparison import Panel, close_up, comparison
from cli.console import plain_console
from cli.folders import photos_in
from cli.outputs import check_apart, check_writable, picture_format, write
from cli.progress import step_bar
from cli.references import print_refused, read_references, usable_references
from core.adapter_file import read_adapter
from core.backbone import Backbone
from core.evidence import Evidence
from core.images import Photo, encode_photo, read_photo_file
from core.matching import Wish
from core.options import RestoreOptions
from core.person import Person, person_of_adapter, person_of_references
from core.provenance import provenance
from core.restoration import RestoredFace, pasted, prepare, restore_faces


@dataclass(frozen=True)
class Choices:
    """What the command line asks for; None leaves the default."""

    bundle: str
    adapter: Path | None
    references: Path | None
    fidelity: float | None
    seed: int
    face: int | None
    box: str | None  # X0,Y0,X1,Y1
    steps: int | None
    preset: str = "fast"


def run(path: Path, output: Path, choices: Choices, *, compared: Path | None, as_json: bool) -> None:
    """Restore one face of a photo and write it, the comparison, and what was done."""
    # 1. everything that can be wrong without a network
    form = picture_format(output)
    for written in (output, compared):
        if written is not None:
            picture_format(written)
            check_writable(written)
    check_apart(path, output, compared)
    options = _options(choices)
    wish = Wish(face=choices.face, box=corners(choices.box), seed=choices.seed)
    photo = read_photo_file(path)
    # 2. the person, and the work
    backbone = load(choices.bundle)
    wish = replace(wish, person=_person(backbone, choices))
    restored = restored_face(backbone, photo, wish, options)
    result = pasted(photo, [restored])
    # 3. the files, then the words
    digest = None if choices.adapter is None else hashlib.sha256(choices.adapter.read_bytes()).hexdigest()
    xmp = said_of(backbone, digest, restored.evidence)
    if compared is not None:
        picture = before_and_after(photo, result, restored.evidence)
        write(compared, encode_photo(picture, picture_format(compared), xmp))
    write(output, encode_photo(result, form, xmp))
    if as_json:
        typer.echo(json.dumps(_report(backbone, choices, digest, restored.evidence), indent=2))
    else:
        describe(restored.evidence, output, plain_console())


def restored_face(backbone: Backbone, photo: Photo, wish: Wish, options: RestoreOptions) -> RestoredFace:
    """Restore one face under a progress bar."""
    prepared = prepare(backbone, photo, [wish])
    with step_bar("restoring") as report:
        return restore_faces(backbone, prepared, options, progress=report)[0]


def said_of(backbone: Backbone, adapter_digest: str | None, evidence: Evidence) -> bytes:
    """Return a picture's XMP packet; it names the adapter where that painted, not where the gate turned it away."""
    if adapter_digest is None or evidence.tier != "personalized":
        return provenance(backbone.digest)
    return provenance(backbone.digest, [adapter_digest])


def before_and_after(photo: Photo, result: Photo, evidence: Evidence) -> Photo:
    """Return one picture: the face before and after, and the whole photo before and after below, in its profile."""
    faces = [
        Panel(close_up(pixels, evidence.box), f"{word} (similarity {value:.2f})" if value is not None else word)
        for pixels, word, value in (
            (photo.pixels, "before", evidence.similarity_before),
            (result.pixels, f"after, {evidence.tier}", evidence.similarity_after),
        )
    ]
    rows = [faces, [Panel(photo.pixels, "before"), Panel(result.pixels, "after")]]
    return Photo(comparison(rows), photo.icc_profile)


def describe(evidence: Evidence, output: Path, console: Console) -> None:
    """Print in words what was done to the face."""
    where = ", ".join(f"{side:.0f}" for side in evidence.box)
    console.print(f"wrote {output}: the face at {where} ({evidence.tier})")
    if evidence.similarity_before is not None and evidence.similarity_after is not None:
        console.print(
            f"similarity to the references {evidence.similarity_before:.2f} -> {evidence.similarity_after:.2f}, "
            "by a recognizer that took no part",
        )
    for remark in (evidence.doubt, evidence.fallback, evidence.warning):
        if remark is not None:
            console.print(f"note: {remark}", style="yellow")


def _options(choices: Choices) -> RestoreOptions:
    changes = {} if choices.steps is None else {"steps": choices.steps}
    options = RestoreOptions.preset(choices.preset, **changes)
    return options if choices.fidelity is None else options.with_fidelity(choices.fidelity)


def _person(backbone: Backbone, choices: Choices) -> Person | None:
    """Return whom to restore: by the adapter, by the references, or nobody in particular."""
    references = []
    if choices.references is not None:
        verdicts = read_references(backbone, photos_in(choices.references))
        references = usable_references(verdicts, choices.references)
        print_refused(verdicts, plain_console(stderr=True))
    if choices.adapter is not None:
        return person_of_adapter(backbone, read_adapter(choices.adapter, backbone), references)
    return person_of_references(backbone, references) if references else None


def _report(backbone: Backbone, choices: Choices, adapter_digest: str | None, evidence: Evidence) -> dict[str, Any]:
    return {
        "bundle": {"name": backbone.name, "digest": backbone.digest},
        "adapter": None if adapter_digest is None else {"sha256": adapter_digest},
        "seed": choices.seed,
        "fidelity": choices.fidelity,
        "faces": [evidence.as_dict()],
    }
