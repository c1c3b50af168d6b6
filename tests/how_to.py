"""docs/how-to/rest-api.md, command by command, as a reader runs it."""

import os
import re
import subprocess
from pathlib import Path

from PIL import Image

_PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "rest-api.md"


def follow(folder: Path, address: str, key: str) -> str:
    """Run every command of the page in one shell, in a folder with `references/` and `bad.jpg`; return what it says."""
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```", _PAGE.read_text(), re.MULTILINE | re.DOTALL))
    environment = {"PATH": os.environ["PATH"], "URL": address, "KEY": key, "NO_PROXY": "*"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("instant.png", "restored.png", "comparison.jpg"):
        with Image.open(folder / name) as picture:
            picture.load()
    assert '"tier_used":"personalized"' in done.stdout
    assert "event: succeeded" in done.stdout
    assert '"code":"not_found"' in done.stdout
    return done.stdout
