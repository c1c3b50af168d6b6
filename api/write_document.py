"""Write the OpenAPI document of this code: `python -m api.write_document docs/openapi.json`."""

import json
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from api.app import create_app
from api.parts import parts_from
from store.doorbell import LocalDoorbell
from store.settings import load


def document() -> dict[str, Any]:
    """Return the document, from an application over nothing."""
    with tempfile.TemporaryDirectory() as folder:
        parts = parts_from(load(Path(folder)), LocalDoorbell(threading.Event()))
        try:
            return create_app(parts).openapi()
        finally:
            parts.close()


def as_text(told: dict[str, Any]) -> str:
    """Return the document as it lies in the repository."""
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(as_text(document()))
