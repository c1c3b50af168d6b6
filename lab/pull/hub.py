"""The hub, through huggingface_hub: what a repository holds, and its files, resumed where a pull was cut off.

The library's own download starts a file anew in every process; a UNet of 5 GB is worth going on with, so its
`http_get` appends to a partial file of ours.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, get_token, hf_hub_url
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError
from huggingface_hub.file_download import http_get

from core.backbone import file_sha256
from lab.pull.errors import LockMismatch, PullFailed


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository."""

    size: int  # bytes
    sha256: str | None  # known beforehand of large files only


@dataclass(frozen=True)
class Listing:
    """What a repository holds at one revision."""

    revision: str  # a commit's full hash
    licence: str | None  # of its model card
    files: dict[str, RemoteFile]


class Hub:
    """A hub's endpoint; a token, where one is needed, comes from HF_TOKEN as the library reads it."""

    def __init__(self, endpoint: str | None = None) -> None:
        self._endpoint = endpoint
        self._api = HfApi(endpoint=endpoint)

    def listing(self, repository: str, revision: str | None = None) -> Listing:
        """Return what a repository holds, at its newest revision unless told otherwise; PullFailed where it cannot."""
        with _named(repository):
            info = self._api.model_info(repository, revision=revision, files_metadata=True)
        files = {
            file.rfilename: RemoteFile(file.size or 0, file.lfs.sha256 if file.lfs else None)
            for file in info.siblings or []
        }
        if info.sha is None:
            raise PullFailed(f"the hub names no revision of {repository}, wanted a commit to lock; try again later")
        licence = info.card_data.license if info.card_data is not None else None
        return Listing(info.sha, licence, files)

    def download(self, repository: str, revision: str, name: str, partial: Path, file: RemoteFile) -> str:
        """Bring a file to `partial`, going on with what is there, and return its SHA-256."""
        url = hf_hub_url(repository, name, revision=revision, endpoint=self._endpoint)
        partial.parent.mkdir(parents=True, exist_ok=True)
        if partial.exists() and partial.stat().st_size > file.size:
            partial.unlink()
        with _named(f"{repository}/{name}"), partial.open("ab") as target:
            token = get_token()
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            http_get(url, target, resume_size=target.tell(), headers=headers, expected_size=file.size)
            target.flush()
            os.fsync(target.fileno())
        return file_sha256(partial)


def checked(got: str, wanted: str | None, what: str, partial: Path) -> None:
    """LockMismatch, and the file thrown away, where its SHA-256 is not the wanted one."""
    if wanted is not None and got != wanted:
        partial.unlink()
        raise LockMismatch(
            f"{what} has SHA-256 {got}, wanted {wanted}; it was thrown away. Pull again; if it comes back the same, "
            "the hub serves something else than what was locked"
        )


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Turn what goes wrong with the hub into PullFailed."""
    try:
        yield
    except GatedRepoError as error:
        raise PullFailed(f"{what} wants its terms accepted on the hub; do so there, then set HF_TOKEN") from error
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise PullFailed(f"could not get {what} ({reason}); pull again to go on where this stopped") from error
