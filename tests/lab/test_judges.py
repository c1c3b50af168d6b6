"""Tests of the judges: what each one measures, whose word may be published, and that weights are the known ones."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cli.scene import portrait
from core.backbone import Backbone, load_backbone
from core.errors import InvalidOption
from lab.judges.panel import DlibJudge, FaceResJudge, GateJudge, carries_headline, load_judges, standing
from tests.tiny_bundle import write_whole_bundle

WEIGHTS = Path(__file__).parent.parent.parent / ".work" / "judges" / "faceres.json"


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A tiny bundle with a second recognizer."""
    return load_backbone(write_whole_bundle(tmp_path_factory.mktemp("judges") / "tiny"))


def test_panel_by_name(backbone: Backbone, tmp_path: Path) -> None:
    """Judges are had by name; a bundle without a second recognizer has no gate, and a wrong name lists them all."""
    assert [judge.name for judge in load_judges(["gate"], tmp_path, backbone)] == ["gate"]
    assert not load_judges(["gate"], tmp_path, replace(backbone, second_recognizer=None))
    with pytest.raises(InvalidOption, match="faceres, dlib, gate"):
        load_judges(["oracle"], tmp_path, backbone)


def test_standing_counts_pairs(backbone: Backbone) -> None:
    """A judge to whom a person's photos are equal and strangers' opposite has an AUC of one."""
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]])
    found = standing(GateJudge(backbone), embeddings, ["a", "a", "b", "b"])
    assert (found.auc, found.same, found.strangers, found.photos) == (1.0, 1.0, -1.0, 4)


def test_one_person_has_no_strangers(backbone: Backbone) -> None:
    """Where there is nobody to be told apart from, nothing is said of that, and no headline is carried."""
    found = standing(FaceResJudge.__new__(FaceResJudge), torch.eye(2)[[0, 0, 0]], ["a", "a", "a"])
    assert (found.auc, found.strangers) == (None, None)
    assert not carries_headline(FaceResJudge.__new__(FaceResJudge), found)


def test_only_the_independent_carry_a_headline(backbone: Backbone) -> None:
    """Neither a judge that took part nor one that tells people apart too badly may be published."""
    good = standing(GateJudge(backbone), torch.eye(4)[[0, 0, 1, 1]], ["a", "a", "b", "b"])
    independent = FaceResJudge.__new__(FaceResJudge)
    assert carries_headline(independent, good)
    assert not carries_headline(independent, replace(good, auc=0.92))
    assert not carries_headline(GateJudge(backbone), good)


def test_dlib_is_a_distance() -> None:
    """The teacher finds a picture wholly like itself, by one less the distance, and says what part it took."""
    judge = DlibJudge()
    crops = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    embeddings = judge.embed(crops)
    assert judge.similarity(embeddings, embeddings).tolist() == pytest.approx([1.0, 1.0])
    distance = float((embeddings[0] - embeddings[1]).norm())
    assert float(judge.similarity(embeddings[0], embeddings[1])) == pytest.approx(1 - distance, abs=1e-6)
    assert judge.part == "teacher of the guidance recognizer"


def test_other_weights_are_refused(tmp_path: Path) -> None:
    """Weights that are missing, or not those that figures were published with, are refused with the way to get them."""
    with pytest.raises(InvalidOption, match="make judge"):
        FaceResJudge(tmp_path / "faceres.json")
    (tmp_path / "faceres.json").write_text("{}")
    digest = hashlib.sha256(b"{}").hexdigest()[:12]
    with pytest.raises(InvalidOption, match=digest):
        FaceResJudge(tmp_path / "faceres.json")


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="the judge's weights are not here: make judge")
def test_faceres_sees_faces_not_sizes() -> None:
    """A portrait at another size is the same to it; another portrait of the person is nearer than other people's."""

    def crop(name: str, side: int) -> torch.Tensor:
        x = torch.from_numpy(portrait(name).copy()).permute(2, 0, 1).float()[None] / 127.5 - 1
        return torch.nn.functional.interpolate(x, size=(side, side), mode="area")

    judge = FaceResJudge(WEIGHTS)
    here = judge.embed(crop("dwight_evans_1.jpg", 256))
    smaller = judge.embed(crop("dwight_evans_1.jpg", 128))
    again = judge.similarity(here, judge.embed(crop("dwight_evans_3.jpg", 256)))
    others = ("scott_perry_1.jpg", "ben_ray_lujan_1.jpg", "mike_kelly_1.jpg", "roger_marshall_1.jpg")
    assert judge.similarity(here, smaller) > 0.98
    assert all(judge.similarity(here, judge.embed(crop(name, 256))) < again for name in others)
