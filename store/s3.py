"""Blobs behind any S3 API, through the minio client."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from io import BytesIO, RawIOBase
from typing import Any, BinaryIO, cast
from xml.etree.ElementTree import ParseError

import stamina
import structlog
import urllib3
from minio import Minio
from minio.error import InvalidResponseError, S3Error, ServerError
from minio.helpers import check_bucket_name
from urllib3.exceptions import HTTPError

from store.blobs import CHUNK_BYTES, Pieces, Stored, check_name, is_name, missing
from store.errors import InvalidRequest, StorageDown, StorageRefused

log = structlog.get_logger(__name__)
TRIES = 5
_PART_BYTES = 5 * 2**20  # the least that S3 takes as a part of an object
_ABSENT = frozenset({"NoSuchKey", "NoSuchObject"})
_REFUSED = frozenset({"AccessDenied", "InvalidAccessKeyId", "NoSuchBucket", "SignatureDoesNotMatch"})
_PASSING = (HTTPError, InvalidResponseError, ServerError, OSError)
_UNREADABLE = (ParseError, ValueError)
"""What the client says of an answer that is none of S3's, such as a page of whatever stands in front of the store."""


class S3Blobs:
    """Objects in a bucket; what fails in passing is tried five times, a little later each time."""

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        access_key: str,
        secret_key: str,
        region: str = "us-east-1",
        secure: bool = True,
    ) -> None:
        try:
            check_bucket_name(bucket, s3_check=True)
        except ValueError as error:
            raise InvalidRequest(f"got s3_bucket {bucket!r} ({error}), wanted the name of a bucket") from error
        # The waiting is ours: urllib3's own retries would multiply with it.
        timeout = urllib3.Timeout(connect=2, read=30)
        self._pool = urllib3.PoolManager(timeout=timeout, retries=False, maxsize=10, cert_reqs="CERT_REQUIRED")
        self._client = Minio(
            endpoint, access_key=access_key, secret_key=secret_key, region=region, secure=secure, http_client=self._pool
        )
        self._bucket = bucket

    def put(self, name: str, pieces: Pieces, size: int) -> None:
        """Write the object, a large one in parts: it is there whole, or not at all, and one part is in memory."""
        for attempt in _attempts():
            with attempt, _named(name):
                stream = cast(BinaryIO, _Stream(pieces()))
                # One part after the other: side by side they would all be in memory.
                self._client.put_object(
                    self._bucket, check_name(name), stream, size, part_size=_PART_BYTES, num_parallel_uploads=1
                )

    def get(self, name: str) -> Iterator[bytes]:
        """Yield the object's bytes as they come; where the answer breaks off, the rest is asked for."""
        got = 0
        for attempt in _attempts():
            with attempt, _named(name):
                for chunk in self._from(name, got):
                    got += len(chunk)
                    yield chunk

    def delete(self, name: str) -> None:
        """Delete the object."""
        for attempt in _attempts():
            with attempt, _named(name):
                self._client.remove_object(self._bucket, check_name(name))

    def list(self, prefix: str) -> Iterator[Stored]:
        """Yield the objects whose names begin so, in order."""
        for attempt in _attempts():
            with attempt, _named(prefix):
                found = list(self._client.list_objects(self._bucket, prefix=prefix, recursive=True))
        for entry in found:
            if is_name(entry.object_name):
                yield Stored(entry.object_name, entry.size, entry.last_modified)

    def delete_unfinished(self, before: datetime) -> int:
        """Delete nothing: parts of an object that never became whole are listed nowhere, and the bucket's rule's."""
        return 0

    def ready(self) -> bool:
        """Whether the bucket is there and may be used."""
        try:
            return bool(self._client.bucket_exists(self._bucket))
        except (S3Error, *_PASSING, *_UNREADABLE):
            return False

    def prepare(self) -> None:
        """Make the bucket where there is none."""
        for attempt in _attempts():
            with attempt, _named(self._bucket):
                if not self._client.bucket_exists(self._bucket):
                    self._client.make_bucket(self._bucket)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _from(self, name: str, offset: int) -> Iterator[bytes]:
        response = self._client.get_object(self._bucket, check_name(name), offset=offset)
        try:
            yield from response.stream(CHUNK_BYTES)
        finally:
            response.close()
            response.release_conn()


class _Stream(RawIOBase):
    """What minio reads an object from: as many bytes as it asks for, in one piece, which it then need not copy."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = b""

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes, fewer at the end only."""
        taken = BytesIO()  # which gives its bytes away without copying them
        while (wanted := size - taken.tell()) > 0 and (piece := self._left or next(self._pieces, b"")):
            taken.write(piece[:wanted])
            self._left = piece[wanted:]
        return taken.getvalue()


def _attempts() -> Iterator[Any]:
    return iter(
        stamina.retry_context(on=_passes, attempts=TRIES, timeout=60, wait_initial=0.1, wait_max=5, wait_jitter=0.5)
    )


def _passes(error: Exception) -> bool:
    """Whether an error may be over in a moment."""
    return isinstance(error, StorageDown) and not isinstance(error, StorageRefused)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Turn the client's errors into ours: absent is MissingBlob, all else is StorageDown; the log knows the name."""
    try:
        yield
    except S3Error as error:
        if error.code in _ABSENT:
            raise missing(name) from error
        log.warning("storage_failed", object=name, error=error.code)
        kind = StorageRefused if error.code in _REFUSED else StorageDown
        raise kind(f"got {error.code} from the object store, wanted it done; look at the store") from error
    except _PASSING as error:
        log.warning("storage_failed", object=name, error=type(error).__name__)
        detail = f"got no answer from the object store ({type(error).__name__}), wanted one; look at the store"
        raise StorageDown(detail) from error
    except _UNREADABLE as error:
        log.warning("storage_failed", object=name, error=f"{type(error).__name__}: {error}")
        detail = f"got an answer that is no object store's ({error}), wanted one of S3; look at what answers there"
        raise StorageDown(detail) from error
