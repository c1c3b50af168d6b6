"""The house rules that a reader relies on: who imports whom, file sizes, no path of one machine."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("api", "cli", "core", "housekeeping", "lab", "store", "worker")
API_MAY_IMPORT = {"core.options", "core.errors", "core.images", "core.decoder", "core.photo_limits"}


def _tracked() -> list[Path]:
    # What is not in git yet, but not ignored either, is held to the rules before it is committed.
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def _sources(package: str = "") -> list[Path]:
    folder = ROOT / package
    return [path for path in _tracked() if path.suffix == ".py" and path.is_relative_to(folder)]


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_import_contracts() -> None:
    """The packages import each other only as the contracts in pyproject.toml allow."""
    done = subprocess.run([Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_api_sees_the_torch_free_part_of_core_only() -> None:
    """The API imports options, errors and images from core and nothing else of it."""
    found = {name for path in _sources("api") for name in _imports(path) if name.startswith("core")}
    strangers = {name for name in found if not any(name.startswith(allowed) for allowed in API_MAY_IMPORT)}
    assert not strangers


@pytest.mark.parametrize("module", ["core.options", "core.errors", "core.images", "core.decoder", "cli.app", "api.app"])
def test_loads_without_torch(module: str) -> None:
    """The torch-free modules really load no torch."""
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_files_are_short() -> None:
    """No source file is longer than 400 lines."""
    long = {str(path.relative_to(ROOT)): n for path in _sources() if (n := len(path.read_text().splitlines())) > 400}
    assert not long


def test_no_path_of_one_machine() -> None:
    """No file in the repository names a folder of the machine it was written on."""
    pattern = re.compile(r"/" + r"(work|root|tmp/w)/\w")
    text = [path for path in _tracked() if path.suffix in {".py", ".md", ".toml", ".txt", ".yml", ".json", ""}]
    assert not [path for path in text if pattern.search(path.read_text(errors="ignore"))]


def test_core_reads_no_environment() -> None:
    """Core has no environment, network, clock or database: it is arrays in, arrays out."""
    banned = {"os.environ", "os.getenv", "time", "datetime", "socket", "urllib", "requests", "sqlite3"}
    sources = [path for path in _sources("core") if path.name != "precision.py"]  # probes this machine's speed
    guilty = {(p.name, name) for p in sources for name in _imports(p) if {name, name.split(".")[0]} & banned}
    assert not guilty


def test_every_test_says_what_it_shows() -> None:
    """Every test has a docstring of one sentence."""
    silent = []
    for path in _sources("tests"):
        tests = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
        silent += [f"{path.name}::{n.name}" for n in tests if n.name.startswith("test_") and not ast.get_docstring(n)]
    assert not silent
