"""docs/how-to/rest-api.md, command by command, as a reader runs it."""

import os
import re
import subprocess
from pathlib import Path

from tests.api.hand import Hand
from tests.api.service import Service, Tenant, png

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "rest-api.md"


def test_the_page_works_as_it_is_written(service: Service, tenant: Tenant, hand: Hand, tmp_path: Path) -> None:
    """Every command of the page succeeds, in order, in one shell, and leaves the pictures it speaks of."""
    (tmp_path / "references").mkdir()
    for seed in range(3):
        (tmp_path / "references" / f"{seed}.png").write_bytes(png(seed))
    (tmp_path / "bad.jpg").write_bytes(png(9, format="JPEG"))
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL))
    environment = {"PATH": os.environ["PATH"], "URL": service.url, "KEY": tenant.token, "NO_PROXY": "*"}
    with hand.working():
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("instant.png", "restored.png", "comparison.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert '"tier_used":"personalized"' in done.stdout
    assert "event: succeeded" in done.stdout
    assert '"code":"not_found"' in done.stdout
