"""Tests of `idprefer evaluate`: one whole run, and what it refuses in one clear line."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from cli import evaluate
from cli.app import main
from core import options
from tests.lab.evaluated_people import write_people
from tests.tiny_bundle import write_whole_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle with a second recognizer."""
    return write_whole_bundle(tmp_path_factory.mktemp("command") / "tiny")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people with a test photo each, and one with too few photos."""
    root = write_people(tmp_path_factory.mktemp("command") / "faces", people=3, photos=6)
    (root / "anna_2" / "05.png").unlink()
    return root


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the preset: two steps of everything."""
    monkeypatch.setitem(options._TRAIN_PRESETS, "fast", {"steps": 1, "batch_size": 1})
    monkeypatch.setitem(options._RESTORE_PRESETS, "fast", {"steps": 2})


def _run(*arguments: object) -> None:
    done = pytest.raises(SystemExit, main, ["evaluate", *map(str, arguments)])
    assert done.value.code == 0


def _refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    done = pytest.raises(SystemExit, main, ["evaluate", *map(str, arguments)])
    assert done.value.code == 2
    line: str = capsys.readouterr().err
    assert line.startswith("error: ")
    assert line.count("\n") == 1
    return line


def test_main_tables_with_others(
    people: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The inputs are written for other programs, whose results are then a row beside ours; the JSON tells it all."""
    common = ("--dataset", people, "--bundle", bundle, "--preset", "fast", "--severity", "medium", "--judges", "gate")
    inputs, report = tmp_path / "inputs", tmp_path / "report"
    _run(*common, "--write-inputs", inputs)
    assert len(list(inputs.rglob("*.png"))) == 2
    shutil.copytree(inputs, tmp_path / "copied")
    capsys.readouterr()
    _run(*common, "--results", f"nothing={tmp_path / 'copied'}", "--report", report, "--json")
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((report / "main-fast" / "report.json").read_text())
    assert told["about"]["manifest_source"] == "drawn from this dataset's names"
    assert [skipped["name"] for skipped in told["skipped"]] == ["anna_2"]
    lines = {line["row"]: line for line in told["tables"][0]["lines"]}
    assert set(lines) == {"input", "untuned base", "instant", "full", "nothing"}
    assert lines["nothing"]["values"] == lines["input"]["values"]
    assert lines["nothing"]["seconds"] is None


def test_tables_are_printed(people: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json the judges, the rows and what is missing are printed."""
    _run(
        *("--dataset", people, "--bundle", bundle, "--preset", "fast", "--severity", "light", "--judges", "gate"),
        *("--limit-people", 1, "--photos", 1, "--report", tmp_path / "report"),
    )
    shown = capsys.readouterr().out
    for words in ("has taken part", "untuned base", "lpips: missing", "report:"):
        assert words in shown


@pytest.mark.prove
def test_processes_share_the_people(
    people: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two processes make the same pictures as one, and nothing is left to make after them.

    They know the presets as they are, not as this module shortens one of them.
    """
    common = ("--dataset", people, "--bundle", bundle, "--severity", "medium", "--judges", "gate")
    short = [
        argument for name in ("train.steps=1", "train.batch_size=1", "restore.steps=2") for argument in ("--set", name)
    ]
    _run(*common, *short, "--report", tmp_path / "one", "--json")
    alone = json.loads(capsys.readouterr().out)
    with monkeypatch.context() as nothing_left:
        nothing_left.setattr("lab.evaluate.restoring.Studio._restored", None)  # of this process
        _run(*common, *short, "--report", tmp_path / "two", "--json", "--jobs", 2)
    shared = json.loads(capsys.readouterr().out)
    values = [[line["values"] for line in told["tables"][0]["lines"]] for told in (alone, shared)]
    assert values[0] == values[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--protocol", "paper"), "got protocol 'paper', wanted one of main, grid, ablation, sweep"),
        (("--severity", "awful"), "got severity 'awful'"),
        (("--frame", "round"), "got frame 'round'"),
        (("--people", "sealed"), "without sealed people"),
        (("--judges", "oracle"), "got judge 'oracle'"),
        (("--judges", "faceres", "--judge-weights", "nowhere.json"), "make judge"),
        (("--results", "nothing"), "wanted NAME=DIR"),
        (("--labels", "nowhere.json"), "got --labels nowhere.json"),
        (("--preset", "slow"), "got preset 'slow'"),
        (("--set", "strength=0.5"), "wanted train.NAME=VALUE or restore.NAME=VALUE"),
        (("--set", "restore.strength=often"), "got strength 'often'"),
    ],
)
def test_refused(
    people: Path,
    bundle: Path,
    arguments: tuple[str, ...],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What cannot be done is one line that says what was wanted, before any face is restored."""
    common = ("--dataset", people, "--bundle", bundle, "--preset", "fast", "--judges", "gate", "--report", tmp_path)
    assert words in _refused(capsys, *common, *arguments)


def test_sealed_people_stay_closed(
    people: Path, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sealed people are not looked at without a reason that is recorded."""
    shutil.copytree(people / "anna_0", tmp_path / "person_15")
    line = _refused(capsys, "--dataset", tmp_path, "--bundle", bundle, "--people", "all", "--judges", "gate")
    assert "wanted --open-sealed REASON, which goes into docs/results/openings.md" in line


def test_openings_are_recorded(
    people: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a reason, and at a clean tagged commit, sealed people are looked at, and that is on record."""
    root, faces = tmp_path / "repository", tmp_path / "faces"
    root.mkdir()
    (root / "code").write_text("as committed")
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for command in (["init", "-q"], ["add", "code"], [*author, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    monkeypatch.setattr("cli.evaluate._ROOT", root)
    monkeypatch.setattr("cli.evaluate._OPENINGS", root / "openings.md")
    shutil.copytree(people / "anna_0", faces / "person_15")
    opening = ("--dataset", faces, "--bundle", bundle, "--preset", "fast", "--people", "sealed", "--judges", "gate")
    reason = ("--open-sealed", "the proof", "--write-inputs", tmp_path / "inputs")
    assert "without a tag" in _refused(capsys, *opening, *reason)
    assert not (root / "openings.md").exists()
    subprocess.run(["git", "tag", "proof-1"], cwd=root, check=True)
    _run(*opening, *reason)
    last = (root / "openings.md").read_text().splitlines()[-1]
    assert "proof-1 (" in last
    assert last.endswith("| main (fast) | the proof |")


def test_a_published_command_names_no_folder() -> None:
    """Whatever way a path is given, a word stands for it; the rest is as it was typed."""
    given = ["evaluate", "--dataset", "/home/zoe/aunts", "--results=other=/mnt/x", "--labels", "l.json", "--seed", "3"]
    shown = ["evaluate", "--dataset", "PATH", "--results=PATH", "--labels", "PATH", "--seed", "3"]
    assert evaluate._without_folders(given) == shown
