"""A hunt for traces of a person in all that the service writes or keeps in memory, by somebody who has every key."""

import io
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import redis
import torch
from PIL import Image

from core.assessment import Assessment
from core.injector import Adapter
from store.database import Database
from store.errors import Shredded
from store.safe import Safe
from tests.s3_server import S3Server
from worker.cache import Caches

Places = Mapping[str, bytes]
_SLICE = 24
"""Bytes that are taken out of what is sealed: long enough to be nowhere by chance."""


@dataclass
class Hunter:
    """Somebody with the root key, the database, the object store, Redis, the disk, the logs and the worker's memory."""

    database: Database  # as its owner sees it
    safe: Safe  # with the root key of before
    s3: S3Server
    redis_url: str
    folders: Sequence[Path]  # temporary files, logs, and whatever else processes wrote
    caches: Caches
    tenant_id: str
    canaries: dict[str, bytes] = field(default_factory=dict)

    def look_out_for(self, name: str, word: str | bytes) -> None:
        """Remember what must not be left."""
        self.canaries[name] = word.encode() if isinstance(word, str) else word

    def look_out_for_objects(self, owners: Collection[str]) -> int:
        """Remember slices of everything the owners have, as it is when it is opened; return how many objects.

        No slice is anybody else's too: adapters of one seed start from the same weights, and some hardly move.
        """
        opened = self.opened()
        theirs = {name: data for name, data in opened.items() if name.split("/")[1] in owners}
        others = b"\n".join(data for name, data in opened.items() if name not in theirs)
        for name, data in theirs.items():
            for place in (0.35, 0.6, 0.85):
                self.look_out_for(f"{name} from {place:.0%}", _own_slice(data, int(len(data) * place), others))
        return len(theirs)

    def opened(self, prefix: str = "") -> dict[str, bytes]:
        """Return every object that can still be opened by any key that is still there; of pictures the pixels too."""
        found = {}
        for stored in self.safe.blobs.list(f"{self.tenant_id}/{prefix}"):
            owner_id = stored.name.split("/")[1]
            with suppress(Shredded), self.database.transaction(None) as session:
                data = self.safe.get(session, self.tenant_id, owner_id, stored.name)
                found[stored.name] = data
                if data.startswith(b"\x89PNG"):
                    with Image.open(io.BytesIO(data)) as image:
                        found[f"{stored.name} as pixels"] = image.convert("RGB").tobytes()
        return found

    def places(self) -> Places:
        """Return all there is to look through."""
        return {
            "database": self._dump(),
            "objects as they lie": b"\n".join(name.encode() + data for name, (data, _) in self.s3.objects.items()),
            "objects opened": b"\n".join(self.opened().values()),
            "redis": b"\n".join(self._redis()),
            "files and logs": b"\n".join(self._files()),
            "worker's caches": b"\n".join(_cached(self.caches)),
        }

    def found(self) -> dict[str, list[str]]:
        """Return, for each canary that is somewhere, where."""
        places = self.places()
        where = {
            name: [place for place, text in places.items() if word in text or word.hex().encode() in text]
            for name, word in self.canaries.items()
        }
        return {name: found for name, found in where.items() if found}

    def _dump(self) -> bytes:
        binary = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"))), Path("pg_dump"))
        url = self.database.url.replace("+psycopg", "")
        return subprocess.run([binary, "--data-only", url], check=True, capture_output=True).stdout

    def _redis(self) -> Iterator[bytes]:
        with redis.Redis.from_url(self.redis_url) as client:
            for key in client.scan_iter("*"):
                yield key + (client.dump(key) or b"")

    def _files(self) -> Iterator[bytes]:
        for folder in {*self.folders, Path(tempfile.gettempdir())}:
            for path in folder.rglob("*"):
                with suppress(OSError):
                    if path.is_file():
                        yield str(path).encode() + path.read_bytes()


def _own_slice(data: bytes, start: int, others: bytes) -> bytes:
    """Return the first slice from a place on that is not among others' bytes."""
    slices = (data[at : at + _SLICE] for at in range(start, len(data) - _SLICE, _SLICE))
    return next(one for one in slices if one not in others)


def _cached(caches: Caches) -> Iterator[bytes]:
    for warm in (caches.adapters, caches.references):
        for key, kept in warm._kept.items():
            yield f"{key} {kept.identity_id}".encode()
            yield from _memory(kept.value)


def _memory(value: Adapter | Assessment) -> Iterator[bytes]:
    if isinstance(value, Adapter):
        tensors = [*value.lora.values(), value.prompt.embeds, value.identity.first, value.identity.second]
        for tensor in (*tensors, value.references, value.second_references):
            yield _bytes(tensor)
    elif value.reference is not None:
        yield _bytes(value.reference.crop)


def _bytes(tensor: torch.Tensor) -> bytes:
    return bytes(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
