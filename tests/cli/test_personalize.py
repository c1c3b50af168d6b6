"""Tests of `idprefer personalize`: the table, the adapter, Ctrl-C and --resume, and what a person can do wrong."""

import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from cli import outputs, personalize
from cli.personalize import checkpoint_path
from core import images, training
from core.adapter_file import read_adapter
from core.backbone import load_backbone
from core.images import encode_photo
from core.training import TrainProgress
from tests.cli.conftest import Run
from tests.tiny_bundle import photo_of

FAST = ("--preset", "fast")


def learn(run: Run, references: Path, output: Path, *more: str) -> str:
    """Personalize, which must go well; returns what was said on stderr."""
    ran = run("personalize", "--references", references, "-o", output, *FAST, *more)
    assert ran.code == 0, ran.err
    return ran.err


def test_writes_an_adapter(run: Run, bundle: Path, references: Path, tmp_path: Path) -> None:
    """Every photo stands in the table with its score, then the adapter is there and fits its bundle."""
    output = tmp_path / "new" / "me.safetensors"
    ran = run("personalize", "--references", references, "-o", output, *FAST)
    assert ran.code == 0
    assert all(f"{i}.png" in ran.out for i in range(3))
    assert "yes" in ran.out
    adapter = read_adapter(output, load_backbone(bundle))
    assert adapter.metadata["training"]["steps"] == 4
    assert len(adapter.references) == 3
    assert list(output.parent.iterdir()) == [output]


def test_a_seed_repeats(run: Run, references: Path, tmp_path: Path) -> None:
    """The same seed gives the same file to the bit, another seed another one."""
    files = [tmp_path / f"{name}.safetensors" for name in "abc"]
    for output, seed in zip(files, ("5", "5", "6"), strict=True):
        learn(run, references, output, "--seed", seed)
    first, again, other = (path.read_bytes() for path in files)
    assert first == again
    assert first != other


def test_refused_photos_are_said(run: Run, references: Path, tmp_path: Path) -> None:
    """A photo that cannot be used stands in the table with the reason, and the others are learned from."""
    folder = Path(shutil.copytree(references, tmp_path / "photos"))
    (folder / "me [copy] :cat:.jpg").write_bytes(b"no image")
    (folder / "empty.png").write_bytes(encode_photo(photo_of()))
    (folder / "twice.png").write_bytes((folder / "0.png").read_bytes())
    (folder / "notes.txt").write_text("not a photo, not looked at")
    (folder / "._0.png").write_bytes(b"what macOS leaves beside a photo")
    ran = run("personalize", "--references", folder, "-o", tmp_path / "me.safetensors", *FAST)
    assert ran.code == 0
    words = " ".join(ran.out.split())
    assert "no face" in words
    assert "the same photo as 0.png" in words
    assert "no JPEG, PNG" in words
    assert "[copy]" in words
    assert ":cat:" in words
    assert "notes" not in words
    assert "._0" not in words


def test_one_usable_photo_is_enough(run: Run, references: Path, tmp_path: Path) -> None:
    """One photo goes on, with a warning."""
    folder = tmp_path / "one"
    folder.mkdir()
    shutil.copy(references / "0.png", folder)
    ran = run("personalize", "--references", folder, "-o", tmp_path / "me.safetensors", *FAST)
    assert ran.code == 0
    assert "only one photo" in ran.out


def test_a_full_disk_costs_the_checkpoint_alone(
    run: Run, references: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is only a convenience ends no training where there is no room for it."""
    real = images.write_atomically

    def write(path: Path, data: bytes) -> None:
        if "checkpoint" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, data)

    monkeypatch.setattr(outputs, "write_atomically", write)
    ran = run("personalize", "--references", references, "-o", tmp_path / "me.safetensors", *FAST)
    assert ran.code == 0
    assert "no checkpoint was written" in ran.err
    assert (tmp_path / "me.safetensors").is_file()


def interrupt_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Press Ctrl-C once a step of the training is done."""
    real: Callable[..., object] = training.train_injector

    def trained(*arguments: object, progress: Callable[[TrainProgress], None], **options: object) -> object:
        def report(done: TrainProgress) -> None:
            progress(done)
            if done.step == step:
                os.kill(os.getpid(), signal.SIGINT)

        return real(*arguments, progress=report, **options)

    monkeypatch.setattr(personalize, "train_injector", trained)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_interrupted_and_resumed(
    run: Run, references: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Ctrl-C leaves a checkpoint and no adapter; --resume ends with the adapter of an undisturbed run."""
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    before = signal.getsignal(signal.SIGINT)  # ignored where a shell started the tests in the background
    learn(run, references, whole)
    with monkeypatch.context() as patch:
        interrupt_after(patch, step)
        ran = run("personalize", "--references", references, "-o", broken, *FAST)
    assert ran.code == 130
    assert f"step {step} of 4" in ran.out
    assert "--resume" in ran.out
    assert checkpoint_path(broken).is_file()
    assert not broken.exists()
    learn(run, references, broken, "--resume")
    assert broken.read_bytes() == whole.read_bytes()
    assert not checkpoint_path(broken).exists()
    assert signal.getsignal(signal.SIGINT) is before


def test_killed_and_resumed(
    run: Run, bundle: Path, references: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that dies without a word goes on from the checkpoint it last wrote."""
    whole, killed = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    learn(run, references, whole)
    real: Callable[..., object] = training.train_injector

    def dies(*arguments: object, progress: Callable[[TrainProgress], None], **options: object) -> object:
        def report(done: TrainProgress) -> None:
            if done.step == 3:
                raise SystemError("killed")

        return real(*arguments, progress=report, **options)

    with monkeypatch.context() as patch:
        patch.setattr(personalize, "train_injector", dies)
        with pytest.raises(SystemError):
            personalize.run(references, killed, personalize.Choices("fast", str(bundle), 0, False))
    assert not killed.exists()
    anew = tmp_path / "anew.safetensors"
    shutil.copy(personalize.checkpoint_path(killed), personalize.checkpoint_path(anew))
    assert "anew.checkpoint.safetensors" in learn(run, references, anew)  # whoever forgets --resume is told of it
    assert "checkpoint" not in learn(run, references, killed, "--resume")
    assert killed.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("output", "word"),
    [("me.txt", ".safetensors"), ("me", ".safetensors"), ("folder.safetensors", "cannot be written")],
)
def test_outputs_that_cannot_be(run: Run, references: Path, tmp_path: Path, output: str, word: str) -> None:
    """An output of another ending, or where a folder is, is refused before any work."""
    (tmp_path / "folder.safetensors").mkdir()
    refused(run, word, "--references", references, "-o", tmp_path / output, *FAST)


def refused(run: Run, word: str, *arguments: str | Path) -> None:
    """Run a personalization that must end with exit code 2, one line on stderr, and no new file."""
    folder = Path(arguments[arguments.index("-o") + 1]).parent
    before = sorted(folder.rglob("*"))
    ran = run("personalize", *arguments)
    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert word in ran.err
    assert sorted(folder.rglob("*")) == before


def test_folders_that_will_not_do(run: Run, tmp_path: Path) -> None:
    """No folder, an empty one, and one without a usable photo are each one line that says what is wanted."""
    empty, useless = tmp_path / "empty", tmp_path / "useless"
    empty.mkdir()
    useless.mkdir()
    (useless / "nobody.png").write_bytes(encode_photo(photo_of()))
    (useless / "broken.png").write_bytes(b"no image")
    output = tmp_path / "me.safetensors"
    refused(run, "no folder", "--references", tmp_path / "nowhere", "-o", output, *FAST)
    refused(run, "no photo", "--references", empty, "-o", output, *FAST)
    refused(run, "nobody.png: no face", "--references", useless, "-o", output, *FAST)


def test_wrong_options(run: Run, references: Path, tmp_path: Path) -> None:
    """An unknown preset, a seed below zero, and a resume of nothing are refused."""
    output = tmp_path / "me.safetensors"
    refused(run, "fast, balanced, best", "--references", references, "-o", output, "--preset", "quick")
    refused(run, "seed", "--references", references, "-o", output, "--seed", "-1")
    refused(run, "--resume", "--references", references, "-o", output, *FAST, "--resume")


def test_checkpoint_of_another_training(
    run: Run, references: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged checkpoint, or one of other options, is refused and left where it is."""
    output = tmp_path / "me.safetensors"
    with monkeypatch.context() as patch:
        interrupt_after(patch, 1)
        run("personalize", "--references", references, "-o", output, *FAST)
    refused(run, "another bundle", "--references", references, "-o", output, *FAST, "--seed", "9", "--resume")
    checkpoint_path(output).write_bytes(b"half")
    refused(run, "no checkpoint", "--references", references, "-o", output, *FAST, "--resume")
