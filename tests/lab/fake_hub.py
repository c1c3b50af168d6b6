"""A model hub on loopback, as far as a pull needs one: revisions, listings, files with ranges, and its bad days."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LARGE = 4096  # bytes from which a file counts as stored by LFS, whose listing tells its SHA-256


class FakeHub:
    """What is on the hub, and what it does to whoever asks."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.licences: dict[str, str] = {}
        self.fetched: list[tuple[str, str | None]] = []  # path in the repository, Range header
        self.breaks_after: int | None = None  # bytes of files that it still sends before it goes down
        self.url = ""
        self._lock = threading.Lock()

    def put(self, repository: str, folder: Path, licence: str) -> None:
        """Put a folder's files up as a repository."""
        files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        self.repositories[repository] = files
        self.licences[repository] = licence

    def revision(self, repository: str) -> str:
        """Return the repository's one commit: of its names, so that changed bytes do not show."""
        return hashlib.sha1(repository.encode()).hexdigest()

    def listing(self, repository: str) -> dict[str, object]:
        """Return what the hub's API says of a repository."""
        siblings = []
        for name, data in self.repositories[repository].items():
            entry: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": hashlib.sha1(data).hexdigest()}
            if len(data) >= _LARGE:
                entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            siblings.append(entry)
        licence = self.licences[repository]
        return {
            "id": repository, "modelId": repository, "sha": self.revision(repository), "private": False, "tags": [],
            "downloads": 0, "likes": 0, "siblings": siblings, "cardData": {"license": licence},
        }  # fmt: skip

    def allowance(self, count: int) -> int:
        """Return how many of so many bytes are sent; once it has run out the hub is down."""
        with self._lock:
            if self.breaks_after is None:
                return count
            sent = min(count, self.breaks_after)
            self.breaks_after -= sent
            return sent

    @property
    def down(self) -> bool:
        """Say whether it answers nothing but 503."""
        return self.breaks_after == 0


@contextmanager
def served(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve a hub on a free port of loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if self.hub.down:
            self._answer(503, b"down for the day")
        elif path.startswith("/api/models/"):
            owner, name = path.removeprefix("/api/models/").split("/")[:2]
            repository = f"{owner}/{name}"
            if repository not in self.hub.repositories:
                self._answer(404, b"{}", [("X-Error-Code", "RepoNotFound")])
            else:
                self._answer(200, json.dumps(self.hub.listing(repository)).encode())
        else:
            owner, name, _resolve, _revision, *rest = path.strip("/").split("/")
            self._file(f"{owner}/{name}", "/".join(rest))

    def _file(self, repository: str, name: str) -> None:
        data = self.hub.repositories[repository][name]
        asked = self.headers.get("Range")
        self.hub.fetched.append((name, asked))
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self._answer(206 if asked else 200, data[start:], [("ETag", '"x"'), ("X-Repo-Commit", "x")])

    def _answer(self, status: int, body: bytes, headers: list[tuple[str, str]] | None = None) -> None:
        self.send_response(status)
        for key, value in headers or []:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        sent = self.hub.allowance(len(body)) if status < 300 else len(body)
        self.wfile.write(body[:sent])
        self.close_connection = sent < len(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""
