"""Tests of the dataset's door: what is usable is read, what is not is listed with the reason."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from core.backbone import Backbone, load_backbone
from core.errors import InvalidOption
from lab.evaluate.dataset import list_people, read_crops
from lab.evaluate.manifest import make_manifest
from lab.evaluate.people import clean_crops, read_people
from tests.lab.evaluated_people import write_people
from tests.tiny_bundle import photo_of, write_whole_bundle


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A tiny bundle with a detector of marks."""
    return load_backbone(write_whole_bundle(tmp_path_factory.mktemp("dataset") / "tiny"))


def test_people_are_folders(tmp_path: Path) -> None:
    """Files beside the folders are nobody; a folder without a photo is told of, so that it can be reported."""
    root = write_people(tmp_path / "faces", people=2, photos=2)
    (root / "empty").mkdir()
    (root / "notes.txt").write_text("nobody")
    assert list_people(root) == {f"anna_{i}": ("00.png", "01.png") for i in range(2)} | {"empty": ()}


def test_no_people_is_an_error(tmp_path: Path) -> None:
    """A folder without people, or no folder at all, is said to be none."""
    with pytest.raises(InvalidOption, match="holds no person"):
        list_people(tmp_path)
    with pytest.raises(InvalidOption, match="no folder"):
        list_people(tmp_path / "absent")


def test_square_pictures_are_aligned_crops(tmp_path: Path, backbone: Backbone) -> None:
    """A square picture is brought to the backbone's resolution as it is."""
    root = write_people(tmp_path / "faces", people=1, photos=1)
    photos, skipped = read_crops(root, ["anna_0/00.png"], backbone, "auto")
    crop = photos["anna_0/00.png"].crop
    assert not skipped
    assert crop.shape == (3, backbone.resolution, backbone.resolution)
    assert photos["anna_0/00.png"].faces == 0
    assert crop.min() >= -1
    assert crop.max() <= 1


def test_whole_photos_are_aligned(tmp_path: Path, backbone: Backbone) -> None:
    """In a whole photo the face is found and cut out; one without a face is skipped."""
    (tmp_path / "anna").mkdir()
    Image.fromarray(photo_of((240, 160)).pixels).save(tmp_path / "anna" / "one.png")
    Image.fromarray(photo_of().pixels).save(tmp_path / "anna" / "none.png")
    photos, skipped = read_crops(tmp_path, ["anna/one.png", "anna/none.png"], backbone, "auto")
    middle = photos["anna/one.png"].crop[:, 60:68, 60:68].mean((1, 2))
    assert photos["anna/one.png"].faces == 1
    assert torch.equal(middle.argmax(), torch.tensor(1))  # the green mark is in the middle of the crop
    assert [(s.name, s.reason) for s in skipped] == [
        ("anna/none.png", "got a photo in which no face was found, wanted one with a face")
    ]


def test_unreadable_photos_are_skipped(tmp_path: Path, backbone: Backbone) -> None:
    """A damaged test photo costs only itself; another photo takes a damaged reference's place, if there is one."""
    root = write_people(tmp_path / "faces", people=3, photos=7)
    (root / "anna_2" / "06.png").unlink()
    manifest, _ = make_manifest(list_people(root))
    trial = manifest.people[0].trials[0].photo
    broken = [trial, *(person.references[0].photo for person in manifest.people[1:])]
    for name in broken:
        (root / name).write_bytes(b"no picture")
    people, skipped = read_people(root, manifest, backbone, "auto")
    assert [person.name for person in people] == ["anna_0", "anna_1"]
    assert [t.entry.photo for t in people[0].trials] == [t.photo for t in manifest.people[0].trials[1:]]
    assert [s.name for s in skipped] == [*broken, "anna_2"]
    assert skipped[-1].reason == "5 usable photos, wanted 5 references and a test photo"
    assert not any(str(tmp_path) in s.reason for s in skipped)
    drawn_anew = people[1]
    assert len(drawn_anew.entry.references) == 5
    assert len(drawn_anew.trials) == 1
    assert broken[1] not in drawn_anew.photos
    whole = {person: [f for f in files if f"{person}/{f}" not in broken] for person, files in list_people(root).items()}
    assert drawn_anew.entry == make_manifest(whole)[0].people[1]  # as if the damaged photo had never been there


def test_references_are_of_mixed_quality(tmp_path: Path, backbone: Backbone) -> None:
    """The first so many references are the photos themselves, the others degraded ones."""
    root = write_people(tmp_path / "faces", people=1, photos=6)
    manifest, _ = make_manifest(list_people(root))
    (person,), _ = read_people(root, manifest, backbone, "auto")
    references = person.references(backbone, good=2)
    same = [
        torch.equal(reference.crop, person.photos[entry.photo].crop)
        for reference, entry in zip(references, person.entry.references, strict=True)
    ]
    assert same == [True, True, False, False, False]
    crops, names = clean_crops([person])
    assert (len(crops), set(names)) == (6, {"anna_0"})
