"""Tests of `--server`: personalize and restore through a real service, over a real connection."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from cli.app import main
from tests.api.hand import Hand, adapter_file
from tests.api.service import Service, Tenant, png, serving
from tests.cli.conftest import Ran

Remote = Callable[..., Ran]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep the service's log out of what the command prints: here they are one process."""
    with structlog.testing.capture_logs():
        yield


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running service."""
    with serving(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
def tenant(service: Service, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    """A tenant whose key lies in the environment."""
    tenant = service.tenant()
    monkeypatch.setenv("IDPREFER_API_KEY", tenant.token)
    return tenant


@pytest.fixture
def remote(service: Service, capsys: pytest.CaptureFixture[str]) -> Remote:
    """Run a command on the service."""

    def command(*arguments: str | Path) -> Ran:
        with pytest.raises(SystemExit) as stopped:
            main([*map(str, arguments), "--server", service.url])
        captured = capsys.readouterr()
        code = stopped.value.code
        return Ran(code if isinstance(code, int) else 0, captured.out, captured.err)

    return command


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(3):
        (folder / f"{seed}.png").write_bytes(png(seed))
    return folder


def test_personalize_and_restore(
    service: Service, tenant: Tenant, remote: Remote, photos: Path, tmp_path: Path
) -> None:
    """Photos are sent and judged, the adapter is fetched, a photo comes back restored with its comparison."""
    identity, adapter = tenant.identity(), tmp_path / "me.safetensors"
    output, comparison = tmp_path / "out.png", tmp_path / "cmp.png"
    with Hand(service).working():
        ran = remote("personalize", "--references", photos, "-o", adapter, "--identity", identity)
        assert ran.code == 0, ran.err
        assert all(f"{seed}.png" in ran.out for seed in range(3))
        assert adapter.read_bytes() == adapter_file()
        options = ("--identity", identity, "--seed", "4", "--comparison", comparison)
        ran = remote("restore", photos / "0.png", "-o", output, *options, "--json")
        assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert told["faces"][0]["identity_id"] == identity
    assert told["faces"][0]["evidence"]["similarity_after"] == 0.6
    assert output.read_bytes().startswith(b"\x89PNG")
    assert comparison.stat().st_size > 100


def test_words_without_json(service: Service, tenant: Tenant, remote: Remote, photos: Path, tmp_path: Path) -> None:
    """Without --json it is said in words."""
    hand, identity = Hand(service), tenant.identity()
    tenant.reference(identity)
    hand.work("assess")  # before anything is asked: without an accepted photo it is refused
    with hand.working():
        ran = remote(
            "restore", photos / "0.png", "-o", tmp_path / "out.png", "--identity", identity, "--fidelity", "0.2"
        )
    assert ran.code == 0, ran.err
    assert "wrote" in ran.out


def refused(ran: Ran, word: str, folder: Path) -> None:
    """Check for exit code 2, one line on stderr, and no output."""
    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert word in ran.err, ran.err
    assert not list(folder.glob("out*"))


def test_what_the_service_refuses(tenant: Tenant, remote: Remote, photos: Path, tmp_path: Path) -> None:
    """No consent, nobody of that id, and no image are one line each, in the service's words."""
    output = tmp_path / "out.png"
    no_consent = tenant.identity(consent=False)
    (photos / "text.png").write_bytes(b"no image")
    refused(remote("restore", photos / "0.png", "-o", output, "--identity", no_consent), "consent", tmp_path)
    refused(remote("restore", photos / "0.png", "-o", output, "--identity", "idn_nobody"), "404", tmp_path)
    known = tenant.identity()
    refused(remote("restore", photos / "text.png", "-o", output, "--identity", known), "image", tmp_path)


def test_failed_job(service: Service, tenant: Tenant, remote: Remote, photos: Path, tmp_path: Path) -> None:
    """A job that fails is told by its reason, and nothing is written."""
    hand, identity = Hand(service), tenant.identity()
    tenant.reference(identity)
    hand.work("assess")

    def fail() -> None:
        while (claim := hand.claim("restore")) is None:
            time.sleep(0.02)
        hand.fail(claim)

    thread = threading.Thread(target=fail)
    thread.start()
    ran = remote("restore", photos / "0.png", "-o", tmp_path / "out.png", "--identity", identity)
    thread.join()
    refused(ran, "no_face", tmp_path)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ((), "--identity"),
        (("--identity", "x", "--face", "0"), "--face"),
        (("--identity", "x", "--steps", "3"), "--steps"),
        (("--identity", "x", "--bundle", "mini"), "--bundle"),
        (("--identity", "x", "--box", "1,2"), "X0,Y0,X1,Y1"),
        (("--identity", "x", "--comparison", "out.png"), "two outputs"),
    ],
)
def test_options_that_do_not_go_together(
    tenant: Tenant,
    remote: Remote,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    word: str,
) -> None:
    """What is for this machine is refused beside --server; so is nobody."""
    monkeypatch.chdir(tmp_path)
    refused(remote("restore", photos / "0.png", "-o", tmp_path / "out.png", *options), word, tmp_path)


@pytest.mark.parametrize("options", [("--bundle", "mini"), ("--resume",)])
def test_trainings_of_this_machine(
    tenant: Tenant, remote: Remote, photos: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """A service has its own bundle and goes on from its own checkpoints: to choose is refused, not passed over."""
    ran = remote("personalize", "--references", photos, "-o", tmp_path / "out.safetensors", "--identity", "x", *options)
    refused(ran, options[0], tmp_path)


def test_no_key(remote: Remote, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key, the variable that wants it is named."""
    monkeypatch.delenv("IDPREFER_API_KEY", raising=False)
    ran = remote("restore", photos / "0.png", "-o", tmp_path / "out.png", "--identity", "x")
    refused(ran, "IDPREFER_API_KEY", tmp_path)


def test_nobody_answers(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that is not there is one line that names it."""
    monkeypatch.setenv("IDPREFER_API_KEY", "idr_live_x_y")
    monkeypatch.setattr("idprefer_client.transport.pause_seconds", lambda *_: 0.0)
    arguments = ["restore", str(photos / "0.png"), "-o", str(tmp_path / "out.png"), "--identity", "x"]
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--server", "http://127.0.0.1:9"])
    captured = capsys.readouterr()
    assert stopped.value.code == 2
    refused(Ran(2, captured.out, captured.err), "127.0.0.1:9", tmp_path)
