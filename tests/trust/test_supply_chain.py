"""What is installed, and what is never used: hashes for every file, no index address, no pickle."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "bundles", "cli", "clients", "core", "housekeeping", "lab", "migrations", "store", "tests", "worker")
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
LOADERS = {"torch.load", "torch.save", "pandas.read_pickle", "pd.read_pickle", "yaml.load", "yaml.unsafe_load"}
NUMPY = {"np.load", "numpy.load"}
SETS = {"requirements-api.txt": ("store", "api"), "requirements-worker.txt": ("store", "worker")}


def _sources() -> list[Path]:
    return [path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "build" not in path.parts]


def _name(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""


def _pickles(tree: ast.AST) -> Iterator[str]:
    """Yield what in a module would read or write a pickle."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            called, words = _name(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
            if called in LOADERS or (called in NUMPY and words.get("allow_pickle", "False") != "False"):
                yield called
            if words.get("weights_only") == "False" or words.get("serializer") == "'pickle'":
                yield f"{called}({words})"


def test_no_pickle_anywhere() -> None:
    """No module of ours, tests included, knows pickle under any of its names."""
    sources = _sources()
    assert len(sources) > 200
    found = {path.relative_to(ROOT): list(_pickles(ast.parse(path.read_text()))) for path in sources}
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import shelve",
        "import dill as d",
        "from joblib import load",
        "torch.load(path)",
        "np.load(f, allow_pickle=True)",
        "load(path, weights_only=False)",
        "app(serializer='pickle')",
        "yaml.load(text)",
    ],
)
def test_a_pickle_would_be_found(line: str) -> None:
    """The lint above sees each of the ways that a pickle comes in by."""
    assert list(_pickles(ast.parse(line)))


def _pinned(file: str) -> dict[str, tuple[str, int]]:
    """Return each package of a requirements file with its version and how many hashes it has."""
    text = (ROOT / file).read_text()
    blocks = [block for block in re.split(r"\n(?=[A-Za-z0-9])", text) if not block.startswith("#")]
    return {
        _plain(block.partition("==")[0]): (
            re.split(r"[ \\;\n]", block.partition("==")[2])[0],
            block.count("--hash=sha256:"),
        )
        for block in blocks
    }


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[ ;<>=]", name.strip())[0]).lower()


@pytest.mark.parametrize("file", SETS)
def test_every_file_has_its_hash(file: str) -> None:
    """Every package is pinned with hashes; there is no address in the file, and no torch, whose builds differ."""
    pinned, text = _pinned(file), (ROOT / file).read_text()
    assert len(pinned) > 50
    assert [name for name, (version, hashes) in pinned.items() if not version or not hashes] == []
    assert "://" not in text
    assert "--index" not in text
    assert "--extra-index" not in text
    assert not {name for name in pinned if name.startswith(("torch", "nvidia", "triton", "cuda"))}


@pytest.mark.parametrize("file", SETS)
def test_all_that_is_imported_is_pinned(file: str) -> None:
    """The file has every dependency that pyproject.toml names, at the version that constraints.txt names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {_plain(one) for name in SETS[file] for one in project["optional-dependencies"][name]}
    wanted |= {_plain(one) for one in project["dependencies"]}
    pinned = _pinned(file)
    assert wanted - set(pinned) <= {"torch", "idprefer"}
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    versions = {_plain(line.partition("==")[0]): line.partition("==")[2].split()[0] for line in lines}
    assert {n: pinned[n][0] for n in versions if n in pinned} == {n: v for n, v in versions.items() if n in pinned}


def test_licences_are_listed() -> None:
    """Every package that is installed has its line in the list of licences."""
    listed = (ROOT / "docs" / "security" / "supply-chain.md").read_text()
    names = {name for file in SETS for name in _pinned(file)}
    assert [name for name in sorted(names) if f"| {name} |" not in listed] == []
