"""Tests of a whole evaluation on a tiny bundle: made once, measured, told."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel

from core.backbone import Backbone, load_backbone
from core.errors import InvalidOption
from core.options import RestoreOptions, TrainOptions
from core.person import person_of_references
from core.sampling import FaceCondition
from lab.evaluate.dataset import Skipped, list_people
from lab.evaluate.manifest import make_manifest
from lab.evaluate.measuring import measures
from lab.evaluate.people import EvaluatedPerson, read_people
from lab.evaluate.perceptual import OWN, load_perceptual, own_quality
from lab.evaluate.plugged import controlnet_of, exchanged_calibration
from lab.evaluate.report import About, Evaluation, write_report
from lab.evaluate.restoring import Studio, write_inputs
from lab.evaluate.rows import PROTOCOLS, Row, Table, tables, with_controlnet
from lab.evaluate.run import MeasuredTable, evaluated, face_count, judge_panel
from lab.judges.panel import GateJudge
from lab.pretrain.controlnet.run import put_into_bundle
from tests.lab.evaluated_people import write_people
from tests.tiny_bundle import write_whole_bundle

TRAIN = TrainOptions(steps=1, batch_size=1)
RESTORE = RestoreOptions(steps=2)
OFF = replace(RESTORE, guidance=False, projection=False)
TABLE = Table(
    "main",
    "Input, base and full",
    (
        Row("input", "input", RESTORE),
        Row("untuned base", "nobody", OFF),
        Row("another person's injector", "other", replace(RESTORE, guidance=False), TRAIN),
        Row("full", "own", RESTORE, TRAIN, gated=True),
    ),
    ("light", "heavy"),
    "untuned base",
)


@dataclass(frozen=True)
class Scene:
    """A bundle, two people, and where what is made of them lies."""

    backbone: Backbone
    people: list[EvaluatedPerson]
    folder: Path
    done: MeasuredTable


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """An evaluation of two people."""
    root = tmp_path_factory.mktemp("evaluation")
    backbone = load_backbone(write_whole_bundle(root / "tiny"))
    photos = write_people(root / "faces", people=2, photos=6)
    manifest, _ = make_manifest(list_people(photos))
    people, _ = read_people(photos, manifest, backbone, "auto")
    judges = [GateJudge(backbone)]
    done = evaluated(Studio(backbone, root / "report" / "made"), TABLE, people, judges, {})
    return Scene(backbone, people, root / "report", done)


def test_every_picture_is_measured(scene: Scene) -> None:
    """Every row has a picture and finite figures for every trial and input."""
    assert len(scene.done.measurements) == face_count([TABLE], scene.people)
    for m in scene.done.measurements:
        assert m.file.is_file()
        assert set(m.values) == set(measures([GateJudge(scene.backbone)], []))
        assert all(torch.isfinite(torch.tensor(value)) for value in m.values.values())


def test_input_row_is_the_input(scene: Scene) -> None:
    """The input differs in nothing from itself; a heavy one is farther from the truth than a light one."""
    by_input = {line.input: line.values for line in scene.done.lines if line.row == "input"}
    assert by_input["light"]["delta_e_input"].mean == pytest.approx(0, abs=1e-4)
    assert by_input["light"]["psnr"].mean > by_input["heavy"]["psnr"].mean


def test_second_run_makes_nothing_anew(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made is found again, with the same figures and the same seconds."""
    monkeypatch.setattr("lab.evaluate.restoring.train_injector", _never)
    monkeypatch.setattr("lab.evaluate.restoring.restore_faces", _never)
    monkeypatch.setattr("lab.evaluate.restoring.sample", _never)
    judges = [GateJudge(scene.backbone)]
    counted: list[int] = []
    studio = Studio(scene.backbone, scene.folder / "made", lambda what, faces: counted.append(faces))
    again = evaluated(studio, TABLE, scene.people, judges, {})
    assert again == scene.done
    assert sum(counted) == face_count([TABLE], scene.people)


def test_other_code_makes_its_own(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of other code are not taken for this code's."""
    monkeypatch.setattr("lab.evaluate.restoring._method_digest", lambda: "0ther" * 4)
    monkeypatch.setattr("lab.evaluate.restoring.sample", _never)
    person, other = scene.people
    with pytest.raises(AssertionError):
        Studio(scene.backbone, scene.folder / "made").pictures(TABLE.rows[1], person, other, ("light",))


def test_inputs_of_one_stem_are_two_files(scene: Scene, tmp_path: Path) -> None:
    """Photos a.jpg and a.png of one person do not overwrite each other's inputs."""
    person = scene.people[0]
    twin = replace(person.trials[0], entry=replace(person.trials[0].entry, photo=f"{person.name}/05.jpg"))
    trials = (replace(twin, entry=replace(twin.entry, photo=f"{person.name}/05.png")), twin)
    assert write_inputs([replace(person, trials=trials)], ("light",), tmp_path) == 2
    assert len(list(tmp_path.rglob("*.png"))) == 2


def test_half_made_row_goes_on(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where some pictures of a row are there, only the others are made."""
    made: list[int] = []

    def sampled(_: Backbone, lq: torch.Tensor, *__: object) -> torch.Tensor:
        made.append(len(lq))
        return lq

    row, (person, other) = TABLE.rows[1], scene.people
    monkeypatch.setattr("lab.evaluate.restoring.sample", sampled)
    pictures = Studio(scene.backbone, scene.folder / "made").pictures(row, person, other, ("light", "medium"))
    assert made == [1]
    assert {name for _, name in pictures} == {"light", "medium"}


def test_truth_is_the_reference_of_its_own_photo(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row of the bound restores every photo with [V] of that photo itself."""
    seen: list[FaceCondition] = []

    def sampled(_: Backbone, lq: torch.Tensor, conditions: list[FaceCondition], *__: object) -> torch.Tensor:
        seen.extend(conditions)
        return lq

    monkeypatch.setattr("lab.evaluate.restoring.sample", sampled)
    row, (person, other) = Row("projection of the truth", "truth", replace(RESTORE, guidance=False)), scene.people
    Studio(scene.backbone, scene.folder / "made").pictures(row, person, other, ("light",))
    for trial, condition in zip(person.trials, seen, strict=True):
        itself = person_of_references(scene.backbone, [trial.as_reference(scene.backbone)]).prompt
        assert itself is not None
        assert condition.prompt is not None
        assert torch.equal(condition.prompt.embeds, itself.embeds)


def test_guided_by_the_gates_recognizer(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """That row's guidance aims at the gate's embeddings, by the gate's recognizer and its own scale, without [V]."""
    seen: list[tuple[Backbone, FaceCondition]] = []

    def sampled(backbone: Backbone, lq: torch.Tensor, conditions: list[FaceCondition], *_: object) -> torch.Tensor:
        seen.extend((backbone, condition) for condition in conditions)
        return lq

    monkeypatch.setattr("lab.evaluate.restoring.sample", sampled)
    (grid,) = tables("grid", "fast", ["light"])
    (row,) = (row for row in grid.rows if row.exchanged)
    person, other = scene.people
    Studio(scene.backbone, scene.folder / "guided").pictures(row, person, other, ("light",))
    own = person_of_references(scene.backbone, person.references(scene.backbone, row.good_references))
    assert seen
    for backbone, condition in seen:
        assert own.embeddings is not None
        assert condition.reference is not None
        assert any(torch.equal(condition.reference, row) for row in own.embeddings.second)
        assert backbone.recognizer is scene.backbone.second_recognizer
        assert condition.prompt is None


def test_exchanged_calibration() -> None:
    """Each recognizer keeps its own scale, and the target is the new guide's."""
    calibration = {"first": [0.0, 0.6], "target_cosine": 0.6, "second": [0.1, 0.5]}
    assert exchanged_calibration(calibration) == {"first": [0.1, 0.5], "target_cosine": 0.5, "second": [0.0, 0.6]}
    assert exchanged_calibration({}) == {}


def test_one_recognizer_is_not_exchanged(scene: Scene) -> None:
    """A bundle without a second recognizer has a grid all the same, one row shorter."""
    studio = Studio(replace(scene.backbone, second_recognizer=None), scene.folder / "alone")
    (grid,) = tables("grid", "fast", ["light"])
    assert [row.name for row in grid.rows if not studio.can_make(row)] == ["guidance by the gate's recognizer"]


def test_another_controlnet(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row but the input is restored with it, as pictures of their own; the adapter is the one that was there."""
    shutil.copytree(scene.backbone.folder, tmp_path / "second")
    network = ControlNetModel.from_pretrained(tmp_path / "second" / "controlnet")
    with torch.no_grad():
        network.controlnet_mid_block.bias += 1
    put_into_bundle(network, tmp_path / "second")
    plugged = with_controlnet(TABLE, controlnet_of(tmp_path / "second", scene.backbone))
    studio, (person, other) = Studio(scene.backbone, scene.folder / "made"), scene.people
    monkeypatch.setattr("lab.evaluate.restoring.train_injector", None)  # nobody is trained anew
    for before, after in zip(TABLE.rows, plugged.rows, strict=True):
        one, two = (studio.pictures(row, person, other, ("heavy",)) for row in (before, after))
        same = all(np.array_equal(one[key].pixels(), two[key].pixels()) for key in one)
        assert same == (before.who == "input")


def test_a_controlnet_is_known_by_what_is_in_it(scene: Scene, tmp_path: Path) -> None:
    """The same ControlNet in another folder makes the same pictures."""
    folders = [shutil.copytree(scene.backbone.folder, tmp_path / name) for name in ("one", "two")]
    one, two = (with_controlnet(TABLE, controlnet_of(folder, scene.backbone)) for folder in folders)
    assert [row.key() for row in one.rows] == [row.key() for row in two.rows]
    assert TABLE.rows[1].key() not in [row.key() for row in one.rows]


def test_controlnet_of_another_base(scene: Scene, tmp_path: Path) -> None:
    """A ControlNet over another UNet is refused before anything is restored."""
    other = write_whole_bundle(tmp_path / "other", seed=1)
    with pytest.raises(InvalidOption, match="wanted another bundle of the same base"):
        controlnet_of(other, scene.backbone)


def test_report_is_whole(scene: Scene) -> None:
    """Page, figures and a sheet of cases for every input are written, and say who judged and what is missing."""
    judges = [GateJudge(scene.backbone)]
    about = About(
        *("idprefer evaluate", "c0ffee", "tiny", "d1ge57", "fast", "cpu", "5ea1", "drawn", "tuning"), 2, "14", "today"
    )
    missing = {"lpips": "pyiqa is not installed"}
    evaluation = Evaluation(
        about,
        (scene.done,),
        judge_panel(judges, scene.people),
        measures(judges, []),
        missing,
        (Skipped("bert", "too few photos"),),
        tuple(scene.people),
        {"anna_0": "group <one>", scene.people[1].trials[0].entry.photo: "another"},
    )
    told = write_report(evaluation, scene.folder)
    assert told == json.loads((scene.folder / "report.json").read_text())
    assert told["headline"] is None  # the gate has taken part
    assert {row["group"] for row in told["tables"][0]["breakdowns"]["label"]} == {"group <one>", "another"}
    page = (scene.folder / "index.html").read_text()
    for words in ("has taken part", "lpips: missing", "bert: skipped", "main heavy.png", "group &lt;one&gt;"):
        assert words in page
    assert (scene.folder / "main light.png").is_file()
    assert len(json.loads((scene.folder / "measurements.json").read_text())) == len(scene.done.measurements)
    # The same, to publish: nobody's face, name or file.
    publishable = scene.folder.with_name("publishable")
    write_report(replace(evaluation, publishable=True), publishable)
    assert sorted(path.name for path in publishable.iterdir()) == ["index.html", "report.json"]
    for path in publishable.iterdir():
        text = path.read_text()
        assert "anna" not in text
        assert "bert" not in text
        assert "too few photos" in text


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_protocols(protocol: str) -> None:
    """Every table's rows have names of their own, its baseline among them, and the same keys for the same deeds."""
    for table in tables(protocol, "fast", ["medium"]):
        names = [row.name for row in table.rows]
        assert len(set(names)) == len(names)
        assert table.baseline in names
        assert all((row.train is not None) == (row.who in ("own", "other")) for row in table.rows)


def test_grid_has_all_eight() -> None:
    """Injector, guidance and projection stand in all eight combinations, and all three on is the full row."""
    (grid,) = tables("grid", "fast", ["medium"])
    shown = {(row.train is not None, row.restore.guidance, row.projection) for row in grid.rows if row.who != "input"}
    own = [row for row in grid.rows if row.who in ("nobody", "references", "own")]
    assert len([row for row in own if not row.exchanged]) == 8
    assert {(True, g, p) for g in (False, True) for p in (False, True)} <= shown
    full = next(row for row in tables("ablation", "fast", ["medium"])[0].rows if row.name == "full")
    assert full.key() == next(row for row in grid.rows if row.name == "injector + guidance + projection").key()


def test_options_can_be_changed() -> None:
    """Changes reach every row that restores or trains, and make another row of it."""
    (plain,) = tables("main", "fast", ["medium"])
    (changed,) = tables("main", "fast", ["medium"], changes={"restore.strength": 0.5, "train.steps": 7})
    assert all(row.restore.strength == 0.5 for row in changed.rows)
    assert [row.train.steps for row in changed.rows if row.train is not None] == [7]
    assert {row.key() for row in plain.rows}.isdisjoint(row.key() for row in changed.rows)


def test_unknown_protocol() -> None:
    """A protocol that is none is refused with the names of those that are."""
    with pytest.raises(InvalidOption, match="main, grid, ablation, sweep"):
        tables("paper", "fast", ["medium"])


def test_missing_metrics_are_named() -> None:
    """Without pyiqa every perceptual metric is listed as missing, none is stood in for."""
    metrics, missing = load_perceptual()
    assert {*metrics, *missing} == {"lpips", "clipiqa", "maniqa", "musiq"}
    assert all(missing.values())


def test_own_quality(scene: Scene) -> None:
    """The bundle's assessor is a metric of its own, in [0, 1]; a bundle without one has none."""
    metric = own_quality(scene.backbone)[OWN]
    truth = scene.people[0].trials[0].truth
    assert 0 <= metric(truth, truth) <= 1
    assert own_quality(replace(scene.backbone, quality=None)) == {}


def _never(*_: object, **__: object) -> None:
    raise AssertionError("made anew")
