"""The studio's files: small, self-contained, and served as the content policy wants them."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.api.service import serving

STUDIO = Path(__file__).parents[2] / "api" / "studio"
MODULES = sorted((STUDIO / "modules").glob("*.js"))
FILES = sorted(path for path in STUDIO.rglob("*") if path.is_file())
SVG_NAMESPACE = "http://www.w3.org/2000/svg"  # a name, not an address


def test_files_are_short() -> None:
    """No file is longer than 400 lines."""
    assert not [path.name for path in FILES if len(path.read_text().splitlines()) > 400]


def test_nothing_comes_from_elsewhere() -> None:
    """No file names an address: whatever the page needs lies beside it."""
    assert not [path.name for path in FILES if "//" in re.sub(r"/\*\*|///", "", _without_comments(path))]


def _without_comments(path: Path) -> str:
    return re.sub(r"(^|\s)//[^\n]*|/\*.*?\*/", "", path.read_text().replace(SVG_NAMESPACE, ""), flags=re.DOTALL)


def test_nothing_is_inline() -> None:
    """No script, style or handler stands in the markup, and no module writes markup."""
    page = (STUDIO / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page) == []
    banned = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function")
    assert not [path.name for path in MODULES if banned.search(path.read_text())]


def test_every_import_leads_somewhere() -> None:
    """What a module imports from another is exported there."""
    for path in MODULES:
        for names, source in re.findall(r"^import \{([^}]*)\} from \"\./([\w.]+)\";", path.read_text(), re.MULTILINE):
            there = (path.parent / source).read_text()
            for name in (name.strip() for name in names.split(",") if name.strip()):
                assert re.search(rf"^export (async )?(function|class|const) {name}\b", there, re.MULTILINE), (
                    path,
                    name,
                )


def test_every_module_says_what_it_is() -> None:
    """A module begins with a sentence about itself, and each of its exports has one too."""
    for path in MODULES:
        assert path.read_text().startswith("/** "), path.name
        before = re.findall(r"(\S+)\nexport ", path.read_text())
        assert all(line == "*/" for line in before), path.name


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A client without a key, of a service that serves the studio."""
    with serving(tmp_path_factory.mktemp("studio")) as service, httpx2.Client(base_url=service.url) as found:
        yield found


def test_it_is_served_under_a_strict_policy(client: httpx2.Client) -> None:
    """Every file is served without a key, by its own type, under a policy that lets nothing else in."""
    types = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
    for path in FILES:
        answer = client.get(f"/{path.relative_to(STUDIO)}")
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].startswith(types[path.suffix]), path
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    assert client.get("/").text == (STUDIO / "index.html").read_text()
    assert client.get("/nowhere").status_code == 404


@pytest.mark.parametrize("name", ["../auth.py", "..%2fauth.py", "%2e%2e/auth.py"])
def test_nothing_beside_it_is_served(client: httpx2.Client, name: str) -> None:
    """No way leads out of the folder."""
    assert client.get(f"/{name}").status_code == 404
