"""Tests of `idprefer restore`: what is written, what is told, and everything a person can do wrong."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from core.images import Photo, encode_photo, read_photo_file
from core.options import _RESTORE_PRESETS
from tests.cli.conftest import Run
from tests.tiny_bundle import photo_of

STEPS = ("--steps", "2")


def restored(run: Run, *arguments: str | Path) -> dict[str, Any]:
    """Run a restoration that must go well; returns what --json tells."""
    ran = run("restore", *arguments, *STEPS, "--json")
    assert ran.code == 0, ran.err
    told: dict[str, Any] = json.loads(ran.out)
    return told


def refused(run: Run, word: str, output: Path, *arguments: str | Path) -> None:
    """Run a restoration that must end with exit code 2, one line on stderr, and no new file."""
    before = sorted(output.parent.rglob("*"))
    ran = run("restore", *arguments, "-o", output, *STEPS)
    assert ran.code == 2, ran.out
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert word in ran.err, ran.err
    assert ran.out == ""
    assert sorted(output.parent.rglob("*")) == before


def test_tells_what_was_done(run: Run, photo: Path, adapter: Path, tmp_path: Path) -> None:
    """The result is written, and JSON tells bundle, adapter, seed, and the face with its similarities."""
    output = tmp_path / "out.png"
    told = restored(run, photo, "--adapter", adapter, "-o", output, "--seed", "3")
    assert told["bundle"]["name"] == "tiny"
    assert len(told["bundle"]["digest"]) == len(told["adapter"]["sha256"]) == 64
    assert told["seed"] == 3
    (face,) = told["faces"]
    assert face["wanted"] == "personalized"
    assert -1 <= face["similarity_before"] <= 1
    assert -1 <= face["similarity_after"] <= 1
    assert read_photo_file(output).size == read_photo_file(photo).size
    assert list(tmp_path.iterdir()) == [output]


def test_result_says_what_made_it(run: Run, photo: Path, adapter: Path, tmp_path: Path) -> None:
    """Result and comparison carry the IPTC's word for a picture that a model painted into, and the digests."""
    output, comparison = tmp_path / "out.png", tmp_path / "cmp.webp"
    told = restored(run, photo, "--adapter", adapter, "-o", output, "--comparison", comparison)
    for path in (output, comparison):
        with Image.open(path) as picture:
            said = picture.info["xmp"].decode()
        assert "compositeWithTrainedAlgorithmicMedia" in said
        assert told["bundle"]["digest"] in said
        assert told["adapter"]["sha256"] in said


def test_an_adapter_that_did_not_paint_is_not_named(
    run: Run, photo: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the gate turned the adapter's result away, the picture does not say that it is in it."""
    monkeypatch.setitem(_RESTORE_PRESETS, "fast", {"steps": 2, "gate": True})  # random networks ruin every face
    output = tmp_path / "out.png"
    told = restored(run, photo, "--adapter", adapter, "-o", output)
    assert told["faces"][0]["tier"] in ("base", "untouched")
    with Image.open(output) as picture:
        said = picture.info["xmp"].decode()
    assert told["bundle"]["digest"] in said
    assert told["adapter"]["sha256"] not in said


def test_three_tiers(run: Run, photo: Path, references: Path, adapter: Path, tmp_path: Path) -> None:
    """With an adapter, with references alone, with neither: personalized, instant, base."""
    wanted = []
    for more in (("--adapter", adapter), ("--references", references), ()):
        told = restored(run, photo, "-o", tmp_path / "out.png", *more)
        wanted.append(told["faces"][0]["wanted"])
        assert (told["adapter"] is None) == ("--adapter" not in more)
    assert wanted == ["personalized", "instant", "base"]


def test_words_without_json(run: Run, photo: Path, adapter: Path, references: Path, tmp_path: Path) -> None:
    """Without --json the same is told in words."""
    ran = run("restore", photo, "--adapter", adapter, "--references", references, "-o", tmp_path / "out.jpg", *STEPS)
    assert ran.code == 0
    assert "wrote" in ran.out
    assert "similarity to the references" in ran.out


def test_references_that_are_not_used_are_named(run: Run, photo: Path, references: Path, tmp_path: Path) -> None:
    """Who restores by a folder of photos hears which of them did not count, and why."""
    folder = Path(shutil.copytree(references, tmp_path / "photos"))
    (folder / "empty.png").write_bytes(encode_photo(photo_of()))
    ran = run("restore", photo, "--references", folder, "-o", tmp_path / "out.png", "--json", *STEPS)
    assert ran.code == 0
    assert "3 of 4 reference photos are used" in ran.err
    assert "empty.png: no: no face" in ran.err
    json.loads(ran.out)


def test_names_are_printed_as_they_are(run: Run, photo: Path, tmp_path: Path) -> None:
    """The name of an output may hold brackets and colons."""
    output = tmp_path / "me [copy] [b] :cat:.png"
    ran = run("restore", photo, "-o", output, *STEPS)
    assert ran.code == 0
    assert f"wrote {output}: " in ran.out  # on one line, however long the name is


def test_only_the_chosen_face_changes(run: Run, group: Path, adapter: Path, tmp_path: Path) -> None:
    """In a photo of two, the face chosen by index or box changes, and everything away from it stays to the bit."""
    before = read_photo_file(group).pixels
    boxes = []
    for number, choice in enumerate((("--face", "0"), ("--face", "1"), ("--box", "40,104,184,248"))):
        output = tmp_path / f"{number}.png"
        told = restored(run, group, "--adapter", adapter, "-o", output, *choice)
        boxes.append(told["faces"][0]["box"])
        changed = (read_photo_file(output).pixels != before).any(-1)
        left, right = changed[:, :210].any(), changed[:, 270:].any()
        assert left != right
        assert bool(left) == (boxes[-1][0] < 240)
    assert boxes[0] != boxes[1]
    assert boxes[2] in boxes[:2]


def test_a_seed_repeats(run: Run, photo: Path, adapter: Path, tmp_path: Path) -> None:
    """The same seed gives the same bytes, another seed other ones."""
    files = [tmp_path / f"{name}.png" for name in "abc"]
    for output, seed in zip(files, ("1", "1", "2"), strict=True):
        restored(run, photo, "-o", output, "--seed", seed)
    first, again, other = (path.read_bytes() for path in files)
    assert first == again != other


def test_fidelity_matters(run: Run, photo: Path, adapter: Path, tmp_path: Path) -> None:
    """Both ends of the one knob give different pictures."""
    results = []
    for fidelity in ("0", "1"):
        output = tmp_path / f"{fidelity}.png"
        assert restored(run, photo, "--adapter", adapter, "-o", output, "--fidelity", fidelity)["fidelity"] == float(
            fidelity
        )
        results.append(read_photo_file(output).pixels)
    assert not np.array_equal(results[0], results[1])


def test_comparison(run: Run, photo: Path, adapter: Path, tmp_path: Path) -> None:
    """The comparison is one picture of its own, beside the result."""
    output, comparison = tmp_path / "out.png", tmp_path / "new" / "cmp.png"
    restored(run, photo, "--adapter", adapter, "-o", output, "--comparison", comparison)
    with Image.open(comparison) as picture:
        assert picture.width == 1000
    assert read_photo_file(output).size == read_photo_file(photo).size


def test_comparison_keeps_the_colour_profile(run: Run, photo: Path, tmp_path: Path) -> None:
    """The comparison is in the photo's own colours, as the result is."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    coloured, files = tmp_path / "coloured.png", [tmp_path / "out.png", tmp_path / "cmp.jpg"]
    coloured.write_bytes(encode_photo(Photo(read_photo_file(photo).pixels, profile)))
    restored(run, coloured, "-o", files[0], "--comparison", files[1])
    assert [read_photo_file(path).icc_profile for path in files] == [profile] * 2


@pytest.mark.parametrize(("ending", "kind"), [("png", "PNG"), ("jpg", "JPEG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
def test_ending_chooses_the_format(run: Run, photo: Path, tmp_path: Path, ending: str, kind: str) -> None:
    """The output's ending says what it is written as."""
    output = tmp_path / f"out.{ending}"
    restored(run, photo, "-o", output)
    with Image.open(output) as picture:
        assert picture.format == kind


def test_photos_that_will_not_do(run: Run, group: Path, adapter: Path, tmp_path: Path) -> None:
    """No file, no image, no face, several faces, a face of a dozen pixels, an enormous image: one line each."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "text.png").write_bytes(b"no image")
    (photos / "cut.png").write_bytes(group.read_bytes()[:5000])
    (photos / "nobody.png").write_bytes(encode_photo(photo_of()))
    (photos / "small.png").write_bytes(encode_photo(photo_of((20, 16), size=(40, 32))))
    Image.new("1", (8000, 8000)).save(photos / "bomb.png")
    output = tmp_path / "out.png"
    cases = {
        photos / "nowhere.png": "cannot be read",
        photos: "cannot be read",
        photos / "text.png": "wanted one of these",
        photos / "cut.png": "whole",
        photos / "nobody.png": "without a face",
        photos / "small.png": "16 px",
        photos / "bomb.png": "8000x8000",
        group: "2 faces",
    }
    for path, word in cases.items():
        refused(run, word, output, path)
    refused(run, "clearly", output, group, "--adapter", adapter)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--face", "1"), "0 to 0"),
        (("--face", "-1"), "0 to 0"),
        (("--box", "1,2,3"), "X0,Y0,X1,Y1"),
        (("--box", "a,b,c,d"), "X0,Y0,X1,Y1"),
        (("--box", "0,0,9000,10"), "480x320"),
        (("--box", "nan,0,50,50"), "x0 < x1"),
        (("--face", "0", "--box", "10,10,100,100"), "one of them"),
        (("--fidelity", "1.5"), "fidelity"),
        (("--fidelity", "nan"), "fidelity"),
        (("--seed", "-1"), "seed"),
        (("--preset", "quick"), "fast, balanced, best"),
        (("--references", "nowhere"), "no folder"),
        (("--adapter", "nowhere.safetensors"), "no file"),
        (("--comparison", "cmp.gif"), ".webp"),
    ],
)
def test_options_that_will_not_do(run: Run, photo: Path, tmp_path: Path, options: tuple[str, ...], word: str) -> None:
    """Every option out of its range is one line that says what was wanted."""
    refused(run, word, tmp_path / "out.png", photo, *options)


def test_steps_out_of_range(run: Run, photo: Path, tmp_path: Path) -> None:
    """No steps at all is refused."""
    ran = run("restore", photo, "-o", tmp_path / "out.png", "--steps", "0")
    assert ran.code == 2
    assert "steps" in ran.err


@pytest.mark.parametrize("output", ["out.gif", "out", "folder.png", "file/out.png"])
def test_outputs_that_cannot_be(run: Run, photo: Path, tmp_path: Path, output: str) -> None:
    """An output of an unknown ending, a folder, or below a file is refused before any work."""
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").write_text("a file")
    before = sorted(tmp_path.rglob("*"))
    ran = run("restore", photo, "-o", tmp_path / output, *STEPS)
    assert ran.code == 2
    assert ran.err.startswith("error: got output")
    assert sorted(tmp_path.rglob("*")) == before


def test_adapters_that_will_not_do(run: Run, photo: Path, adapter: Path, bundle: Path, tmp_path: Path) -> None:
    """A damaged adapter and one of another bundle are one line each; nothing is written."""
    damaged, foreign = tmp_path / "damaged.safetensors", tmp_path / "foreign.safetensors"
    damaged.write_bytes(adapter.read_bytes()[:-10])
    data = adapter.read_bytes()
    digest = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]["idprefer-adapter-1"]
    ours = json.loads(digest)["base_digest"].encode()
    foreign.write_bytes(data.replace(ours, b"0" * 64))
    output = tmp_path / "out.png"
    refused(run, "no safetensors", output, photo, "--adapter", damaged)
    refused(run, "base 000000000000", output, photo, "--adapter", foreign)
    refused(run, "no safetensors", output, photo, "--adapter", photo)


def test_references_that_will_not_do(run: Run, photo: Path, tmp_path: Path) -> None:
    """A folder without a usable reference is refused, the reasons are said."""
    folder = tmp_path / "useless"
    folder.mkdir()
    (folder / "nobody.png").write_bytes(encode_photo(photo_of()))
    refused(run, "nobody.png: no face", tmp_path / "out.png", photo, "--references", folder)


def test_failing_comparison_leaves_no_result(run: Run, photo: Path, tmp_path: Path) -> None:
    """Where the comparison cannot be written, the result is not written either."""
    (tmp_path / "cmp.png").mkdir()
    refused(run, "cmp.png", tmp_path / "out.png", photo, "--comparison", tmp_path / "cmp.png")


def test_nothing_is_written_over_the_photo(run: Run, photo: Path, tmp_path: Path) -> None:
    """The photo as output or comparison, by its own name or another that leads to it, is refused; it stays."""
    path, link = Path(shutil.copy(photo, tmp_path / "photo.png")), tmp_path / "link.png"
    link.symlink_to(path)
    for name in (path, tmp_path / "." / "photo.png", link):
        refused(run, "the original", name, path)
    refused(run, "the original", tmp_path / "out.png", path, "--comparison", path)
    assert path.read_bytes() == photo.read_bytes()


def test_two_outputs_are_two_files(run: Run, photo: Path, tmp_path: Path) -> None:
    """One name for result and comparison is refused: one of them would be gone."""
    output = tmp_path / "out.png"
    refused(run, "two outputs", output, photo, "--comparison", output)
