"""Somebody else's photo, on the bundle that comes along and portraits that may be shown: refused, or with a doubt."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
import torch

from cli.scene import PHOTO_DEGRADATION, PORTRAITS, portrait, spoilt
from core.assessment import assess_photo
from core.backbone import Backbone, load_backbone
from core.errors import IdentityMismatch
from core.images import Photo
from core.likeness import doubt
from core.matching import Wish
from core.options import RestoreOptions
from core.person import Person, person_of_references
from core.restoration import prepare, restore_faces

MINI = Path(__file__).parents[2] / "bundles" / "mini"
PEOPLE = sorted(path.stem.removesuffix("_1") for path in PORTRAITS.glob("*_1.jpg"))
OTHER_PHOTOS = [path.name for name in PEOPLE for path in sorted(PORTRAITS.glob(f"{name}_[23].jpg"))]
RUINED = PHOTO_DEGRADATION.__class__(
    blur_sigma=9.0, blur_sigma_y=9.0, blur_angle=0.0, downscale=16.0, noise=15.0, jpeg=30.0
)


@dataclass(frozen=True)
class Gallery:
    """Six people, each known by one portrait."""

    mini: Backbone
    people: dict[str, Person]

    def told(self, photo: Photo, name: str) -> str:
        """Return what is said of a photo that is to be restored as somebody: refused, doubtful, or nothing."""
        try:
            (face,) = prepare(self.mini, photo, [Wish(self.people[name], face=0)])
        except IdentityMismatch:
            return "refused"
        return "doubtful" if doubt(face.likeness) else ""


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    """The people of the demo, on mini."""
    mini = load_backbone(MINI)
    references = {name: assess_photo(mini, Photo(portrait(f"{name}_1.jpg"))).reference for name in PEOPLE}
    return Gallery(mini, {name: person_of_references(mini, [one]) for name, one in references.items() if one})


def _shown(file: str, bad: bool) -> Photo:
    pixels = portrait(file)
    return Photo(spoilt(pixels, PHOTO_DEGRADATION, torch.Generator().manual_seed(0)) if bad else pixels)


@pytest.mark.parametrize("bad", [False, True], ids=["clean", "spoilt"])
def test_the_same_person(gallery: Gallery, bad: bool) -> None:
    """Another photo of the person is neither refused nor doubted, good or spoilt."""
    assert len(gallery.people) == 6
    said = {file: gallery.told(_shown(file, bad), file.rpartition("_")[0]) for file in OTHER_PHOTOS}
    assert said == dict.fromkeys(OTHER_PHOTOS, "")


@pytest.mark.parametrize(("bad", "noticed", "refused"), [(False, 28, 3), (True, 26, 9)], ids=["clean", "spoilt"])
def test_another_person(gallery: Gallery, bad: bool, noticed: int, refused: int) -> None:
    """Of 35 photos of somebody else this many at least are refused or doubted; men who look alike are not."""
    pairs = [(file, name) for file, name in product(OTHER_PHOTOS, PEOPLE) if not file.startswith(name)]
    said = [gallery.told(_shown(file, bad), name) for file, name in pairs]
    assert len(said) == 35
    assert sum(one != "" for one in said) >= noticed
    assert said.count("refused") >= refused


def test_a_ruined_photo_is_doubted(gallery: Gallery) -> None:
    """Where a photo is too poor to tell anybody by, nobody is refused for it; the evidence says that it is doubtful."""
    pixels = spoilt(portrait("ben_ray_lujan_2.jpg"), RUINED, torch.Generator().manual_seed(0))
    faces = prepare(gallery.mini, Photo(pixels), [Wish(gallery.people["dwight_evans"], face=0)])
    assert faces[0].likeness is not None
    assert faces[0].likeness < 0
    (result,) = restore_faces(gallery.mini, faces, RestoreOptions(steps=2, guidance=False))
    assert "another person" in str(result.evidence.as_dict()["doubt"])


@pytest.mark.parametrize("about_the_face", [True, False])
def test_a_box_insists_and_is_doubted(gallery: Gallery, about_the_face: bool) -> None:
    """Who insists by a box on a face that is a stranger's, found in it or not, gets it restored, and told."""
    photo, person = Photo(portrait("ben_ray_lujan_2.jpg")), gallery.people["dwight_evans"]
    with pytest.raises(IdentityMismatch, match="stranger"):
        prepare(gallery.mini, photo, [Wish(person)])
    (found,) = gallery.mini.detector.detect(photo.pixels)
    box = found.box if about_the_face else (30.0, 150.0, 110.0, 250.0)
    faces = prepare(gallery.mini, photo, [Wish(person, box=box)])
    (result,) = restore_faces(gallery.mini, faces, RestoreOptions(steps=2, guidance=False))
    assert result.evidence.doubt is not None
