"""Tests of the commands as a person types them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli.app import main

ROOT = Path(__file__).parents[2]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must end with exit code 2 and one line on stderr; returns that line."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_help_loads_no_torch() -> None:
    """`idprefer --help` lists the commands without loading torch, so that it is quick."""
    code = "import sys\nfrom cli.app import main\ntry: main(['--help'])\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.rstrip().endswith("False")
    for command in ("personalize", "restore", "bundle", "adapter", "doctor", "demo", "pretrain"):
        assert command in done.stdout


def test_what_the_system_refuses_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No right to read, no room left: the system's words and the file, not a traceback."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "bundles/mine")

    monkeypatch.setattr("cli.bundles.inspect", refuse)
    assert "Permission denied: 'bundles/mine'" in refused(["bundle", "inspect", "mini"], capsys)


def test_sdxl_injector_has_the_papers_size(capsys: pytest.CaptureFixture[str]) -> None:
    """`bundle inspect sdxl-shape` counts the paper's 6.41 million LoRA parameters, and SDXL's 2.57 billion."""
    with pytest.raises(SystemExit) as stopped:
        main(["bundle", "inspect", "sdxl-shape", "--json"])
    assert stopped.value.code == 0
    about = json.loads(capsys.readouterr().out)
    assert about["lora_parameters"] == 6_414_336
    assert about["parts"]["unet"]["parameters"] == 2_567_463_684


def test_unknown_bundle(capsys: pytest.CaptureFixture[str]) -> None:
    """A bundle that is not there is one line that names those that are."""
    assert "sdxl-shape" in refused(["bundle", "inspect", "nowhere"], capsys)


def test_bundle_without_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bundle of shapes cannot restore, and says so; no output file appears."""
    output = tmp_path / "out.png"
    photo = ROOT / "cli" / "demo_photos" / "dwight_evans_3.jpg"
    assert "weights" in refused(["restore", str(photo), "-o", str(output), "--bundle", "sdxl-shape"], capsys)
    assert not output.exists()


def test_help_shows_defaults_that_depend(capsys: pytest.CaptureFixture[str]) -> None:
    """Where a default is found at run time, `--help` names it all the same."""
    for words, default in ((["restore"], "mini"), (["bundle", "pull"], "bundles/NAME"), (["serve"], "idprefer-data")):
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        assert f"default:({default})" in "".join(capsys.readouterr().out.replace("│", "").split())


@pytest.mark.parametrize("command", ["restore", "personalize"])
def test_nobody_is_known_here_by_an_id(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A service's person without a service is refused, rather than restored as nobody."""
    what = [str(tmp_path / "bad.jpg")] if command == "restore" else ["--references", str(tmp_path)]
    line = refused([command, *what, "-o", str(tmp_path / "out.png"), "--identity", "idn_1"], capsys)
    assert "--identity without --server" in line


def test_unknown_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong pretraining stage is one line that names the right ones."""
    line = refused(["pretrain", "everything", "--data", str(tmp_path), "--bundle", str(tmp_path / "b")], capsys)
    assert "autoencoder" in line
    assert not (tmp_path / "b").exists()


def test_damaged_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bundle whose file is not the one its manifest names is one line that names the file."""
    (tmp_path / "bundle.json").write_text(json.dumps({"name": "mine", "files": {"unet/config.json": "0" * 64}}))
    assert "unet/config.json" in refused(["bundle", "inspect", str(tmp_path)], capsys)
