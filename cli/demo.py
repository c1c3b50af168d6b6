"""`idprefer demo`: the main job once through, on portraits that come along or on one's own photos."""

import hashlib
from pathlib import Path
from time import perf_counter

from cli.bundles import load
from cli.console import plain_console
from cli.folders import photos_in
from cli.outputs import check_apart, check_writable, write
from cli.personalize import learn
from cli.references import print_table, read_references, usable_references
from cli.restore import before_and_after, describe, restored_face, said_of
from cli.scene import demo_scene
from core.errors import InvalidOption
from core.images import Photo, encode_photo, read_photo_file
from core.matching import Wish
from core.options import RestoreOptions, TrainOptions
from core.person import person_of_adapter
from core.restoration import pasted

_PRESET = "fast"


def run(references: Path | None, photo: Path | None, output: Path, bundle: str) -> None:
    """Personalize, restore, and write adapter, restored photo and comparison into a folder."""
    if (references is None) != (photo is None):
        raise InvalidOption("got one of --references and --photo, wanted both for your own photos, or neither")
    start = perf_counter()
    written = [output / name for name in ("me.safetensors", "restored.png", "comparison.png")]
    for path in written:
        check_writable(path)
    if photo is not None:
        check_apart(photo, *written)
    if references is None or photo is None:
        references, photo = write_scene(output)
    console = plain_console()
    spoilt = read_photo_file(photo)
    backbone = load(bundle)
    # 1. personalize
    verdicts = read_references(backbone, photos_in(references))
    print_table(verdicts, console)
    usable = usable_references(verdicts, references)
    options = TrainOptions.preset(_PRESET)
    adapter = learn(backbone, usable, options, output / "me.safetensors", None, "the same command starts anew")
    # 2. restore
    wish = Wish(person_of_adapter(backbone, adapter))
    face = restored_face(backbone, spoilt, wish, RestoreOptions.preset(_PRESET))
    restored = pasted(spoilt, [face])
    # 3. show
    digest = hashlib.sha256((output / "me.safetensors").read_bytes()).hexdigest()
    xmp = said_of(backbone, digest, face.evidence)
    write(output / "restored.png", encode_photo(restored, "png", xmp))
    picture = before_and_after(spoilt, restored, face.evidence)
    write(output / "comparison.png", encode_photo(picture, "png", xmp))
    describe(face.evidence, output / "restored.png", console)
    console.print(f"look at {output / 'comparison.png'} ({perf_counter() - start:.0f} s)")


def write_scene(output: Path) -> tuple[Path, Path]:
    """Write the demo's own references and spoilt photo; returns the folder of references and the photo."""
    scene = demo_scene()
    references, photo = output / "demo_references", output / "photo.png"
    for number, pixels in enumerate(scene.references, start=1):
        write(references / f"reference_{number}.png", encode_photo(Photo(pixels)))
    write(photo, encode_photo(Photo(scene.photo)))
    return references, photo
