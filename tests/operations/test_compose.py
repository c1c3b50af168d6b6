"""What can be said of the containers without an engine to run them: schema, pins, settings, metrics, commands."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from store.settings import Settings
from tests.api.service import serving

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {"migrate", "api", "housekeeping", "worker", "worker-cpu"}


def test_the_schema() -> None:
    """The file is what the compose specification allows."""
    checker = Path(sys.executable).with_name("check-jsonschema")
    command = [str(checker), "--builtin-schema", "vendor.compose-spec", str(ROOT / "docker-compose.yml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_image_is_pinned() -> None:
    """Images of others have an exact version, ours are built here, as does the base of ours."""
    for name, service in SERVICES.items():
        assert ("build" in service) == (name in OURS)
        if name not in OURS:
            assert re.search(r":v?\d+\.\d+\.?\d*[\w.-]*$", service["image"]), service["image"]
    bases = re.findall(r"^FROM (\S+:\S+)", (ROOT / "docker" / "Dockerfile").read_text(), re.MULTILINE)
    assert bases
    assert all(re.search(r":\d+\.\d+\.\d+-", base) for base in bases)


def test_nobody_is_root() -> None:
    """Our images end as a user without rights, and our services take every capability away."""
    stages = re.split(r"^FROM ", (ROOT / "docker" / "Dockerfile").read_text(), flags=re.MULTILINE)
    for target in {service["build"]["target"] for name, service in SERVICES.items() if name in OURS}:
        (stage,) = [stage for stage in stages if re.match(rf"\S+ AS {target}\n", stage)]
        assert "\nUSER 10001\n" in stage
        assert "\nHEALTHCHECK " in stage
    for name in OURS:
        assert SERVICES[name]["cap_drop"] == ["ALL"]
        assert SERVICES[name]["read_only"] is True


def test_everybody_waits_for_the_schema() -> None:
    """Nothing of ours starts before the schema is there, and the schema waits for its servers."""
    for name in OURS - {"migrate"}:
        assert SERVICES[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    for server in SERVICES["migrate"]["depends_on"]:
        assert "healthcheck" in SERVICES[server]


def test_every_setting_is_known() -> None:
    """No setting is misspelt, and every one that is left to the operator stands in the example."""
    known = {f"IDPREFER_{name.upper()}" for name in Settings.model_fields}
    for name in OURS:
        assert set(SERVICES[name]["environment"]) <= known
    wanted = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    example = (ROOT / "docker" / "example.env").read_text()
    assert wanted == set(re.findall(r"^(\w+)=$", example, re.MULTILINE))


def test_every_direct_need_is_locked() -> None:
    """The images' versions cover what the project asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = project["dependencies"] + [
        t for e in ("store", "api", "worker") for t in project["optional-dependencies"][e]
    ]
    lines = (ROOT / "docker" / "locked.txt").read_text().splitlines()[1:]
    locked = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    for wanted in map(Requirement, texts):
        if wanted.name != "idprefer":
            assert wanted.specifier.contains(locked[canonicalize_name(wanted.name)]), wanted


def test_alerts_are_about_numbers_that_are_there(tmp_path: Path) -> None:
    """Every metric that an alert names is one that the API tells."""
    rules = yaml.safe_load((ROOT / "docker" / "alerts.yml").read_text())["groups"][0]["rules"]
    named = {name for rule in rules for name in re.findall(r"\b(?:http|jobs|queue|workers)\w*(?=[{)\[])", rule["expr"])}
    with serving(tmp_path) as service, service.client(None) as client:
        client.get("/livez")
        told = client.get("/metrics").text
    assert len(named) >= 4
    for name in named:
        assert f"# TYPE {name.removesuffix('_total')}" in told or f"\n{name}" in told, name
