"""Blobs: one contract, kept by local files and by an S3 API alike."""

import os
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from store.blobs import Blobs, LocalBlobs
from store.errors import InvalidRequest, MissingBlob, StorageDown
from store.s3 import S3Blobs
from tests.s3_server import LEAST_PART_BYTES, S3Server, s3_server


@pytest.fixture
def s3() -> Iterator[S3Server]:
    """An S3 server."""
    with s3_server() as server:
        yield server


@pytest.fixture
def s3_blobs(s3: S3Server) -> Iterator[S3Blobs]:
    """Blobs behind the S3 server."""
    made = S3Blobs(s3.endpoint, s3.bucket, s3.access_key, s3.secret_key, s3.region, secure=False)
    yield made
    made.close()


@pytest.fixture(params=["local", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    """Blobs of either kind."""
    if request.param == "local":
        return LocalBlobs(tmp_path / "blobs")
    made: S3Blobs = request.getfixturevalue("s3_blobs")
    return made


def _put(blobs: Blobs, name: str, data: bytes) -> None:
    blobs.put(name, lambda: iter([data[:3], data[3:]]), len(data))


def _get(blobs: Blobs, name: str) -> bytes:
    return b"".join(blobs.get(name))


@pytest.mark.parametrize("size", [0, 1, 100_000, 6_000_000])
def test_what_was_put_is_got(blobs: Blobs, size: int) -> None:
    """An object comes back byte for byte, whatever its size."""
    data = os.urandom(size)
    _put(blobs, "ten_1/idn_1/reference/ref_1-ab.c", data)
    assert _get(blobs, "ten_1/idn_1/reference/ref_1-ab.c") == data


def test_a_missing_object_is_one_error_of_ours(blobs: Blobs) -> None:
    """A name without an object is MissingBlob; deleting it is fine."""
    with pytest.raises(MissingBlob, match="no object"):
        _get(blobs, "ten_1/none")
    blobs.delete("ten_1/none")


def test_a_deleted_object_is_gone(blobs: Blobs) -> None:
    """What is deleted can be neither read nor listed; its neighbours stay."""
    _put(blobs, "ten_1/a/one", b"1")
    _put(blobs, "ten_1/a/two", b"2")
    blobs.delete("ten_1/a/one")
    with pytest.raises(MissingBlob):
        _get(blobs, "ten_1/a/one")
    assert [stored.name for stored in blobs.list("ten_1/")] == ["ten_1/a/two"]


def test_listing_goes_by_prefix(blobs: Blobs) -> None:
    """Objects are listed in order, with size and time, by the beginning of their names."""
    for name in ("ten_1/a/x", "ten_1/ab/x", "ten_1/b/x", "ten_2/a/x"):
        _put(blobs, name, b"four")
    assert [stored.name for stored in blobs.list("ten_1/a")] == ["ten_1/a/x", "ten_1/ab/x"]
    assert len(list(blobs.list(""))) == 4
    assert list(blobs.list("ten_3/")) == []
    stored = next(iter(blobs.list("ten_1/a/x")))
    assert stored.size == 4
    assert abs(datetime.now(UTC) - stored.modified_at) < timedelta(seconds=30)


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "a/../b", "../a", "a//b", "a/", ".hidden", "a b", "ä", "a\n", "x" * 501]
)
def test_a_name_cannot_lead_elsewhere(blobs: Blobs, name: str) -> None:
    """Names that could leave the place are refused."""
    for deed in (lambda: _put(blobs, name, b"x"), lambda: _get(blobs, name), lambda: blobs.delete(name)):
        with pytest.raises(InvalidRequest, match="object name"):
            deed()


def test_the_place_is_ready(blobs: Blobs) -> None:
    """A place that is there says so."""
    assert blobs.ready()


def test_the_place_is_made(s3: S3Server, s3_blobs: S3Blobs) -> None:
    """A bucket that is not there is made, once; without it the place is not ready."""
    s3.has_bucket = False
    assert not s3_blobs.ready()
    for _ in range(2):
        s3_blobs.prepare()
        assert s3_blobs.ready()


@pytest.mark.parametrize("stray", [".nfs0000000000a1", ".DS_Store", "a b", "ä"])
def test_what_is_no_name_of_ours_is_not_listed(tmp_path: Path, s3: S3Server, s3_blobs: S3Blobs, stray: str) -> None:
    """What somebody else has left beside the objects is none of them: whoever deletes all that is listed can."""
    local = LocalBlobs(tmp_path)
    for blobs in (local, s3_blobs):
        _put(blobs, "ten_1/a/one", b"1")
    (tmp_path / "ten_1/a" / stray).write_bytes(b"x")
    s3.objects[f"ten_1/a/{stray}"] = s3.objects["ten_1/a/one"]
    for blobs in (local, s3_blobs):
        assert [stored.name for stored in blobs.list("ten_1/")] == ["ten_1/a/one"]


def test_what_is_being_written_is_not_deleted(tmp_path: Path) -> None:
    """Of what is half written only that goes which nobody has touched since a moment."""
    blobs, counts = LocalBlobs(tmp_path), []

    def pieces() -> Iterator[bytes]:
        yield b"half"
        counts.append(blobs.delete_unfinished(datetime.now(UTC) - timedelta(hours=1)))
        yield b"half"

    blobs.put("a/b", pieces, 8)
    assert _get(blobs, "a/b") == b"halfhalf"
    assert counts == [0]


def test_a_broken_write_leaves_nothing(tmp_path: Path) -> None:
    """A file that was not written to its end is not there, and no part of it either."""
    blobs = LocalBlobs(tmp_path)

    def half() -> Iterator[bytes]:
        yield b"half"
        raise StorageDown("got no more")

    with pytest.raises(StorageDown):
        blobs.put("a/b", half, 8)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_no_room_is_said(tmp_path: Path) -> None:
    """A disk that takes no more is StorageDown, with the reason."""
    full = LocalBlobs(tmp_path)

    def device() -> Iterator[bytes]:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"x")
        yield b""

    with pytest.raises(StorageDown, match="No space left"):
        full.put("a", device, 1)


@pytest.mark.parametrize(("access", "secret"), [("access", "another secret, of some length"), ("nobody", None)])
def test_a_wrong_key_is_refused(s3: S3Server, access: str, secret: str | None) -> None:
    """The server checks signatures: a wrong secret and an unknown key are refused, once, and nothing is kept."""
    stranger = S3Blobs(s3.endpoint, s3.bucket, access, secret or s3.secret_key, s3.region, secure=False)
    with pytest.raises(StorageDown, match="SignatureDoesNotMatch"):
        _put(stranger, "a", b"x")
    assert s3.refusals == 1
    assert s3.objects == {}
    assert not stranger.ready()
    stranger.close()


def test_a_store_that_stumbles_is_tried_again(s3: S3Server, s3_blobs: S3Blobs) -> None:
    """Four failures are borne; five are an error of ours."""
    s3.failures = 4
    _put(s3_blobs, "a", b"x")
    assert _get(s3_blobs, "a") == b"x"
    s3.failures = 5
    with pytest.raises(StorageDown, match="SlowDown"):
        _get(s3_blobs, "a")


@pytest.mark.parametrize("page", [b"<html>Back in a minute.<br></html>", b"<html><body>Sign in</body></html>"])
def test_a_page_is_no_empty_listing(s3: S3Server, s3_blobs: S3Blobs, page: bytes) -> None:
    """What something in front of the store answers in its place is an error of ours, not a store without objects."""
    _put(s3_blobs, "a", b"x")
    s3.page = page
    with pytest.raises(StorageDown, match="no object store's"):
        list(s3_blobs.list(""))


def test_an_answer_that_breaks_off_is_no_object(s3: S3Server, s3_blobs: S3Blobs) -> None:
    """Half an object is never taken for one."""
    _put(s3_blobs, "a", os.urandom(1000))
    s3.cuts = 5
    with pytest.raises(StorageDown):
        _get(s3_blobs, "a")


def test_the_rest_is_asked_for(s3: S3Server, s3_blobs: S3Blobs) -> None:
    """Where answers break off what came is kept, and the object goes on from there."""
    data = os.urandom(1_000_000)
    _put(s3_blobs, "a", data)
    s3.cuts = 4
    assert _get(s3_blobs, "a") == data
    assert s3.cuts == 0


def test_a_large_object_goes_in_parts_and_whole(s3: S3Server, s3_blobs: S3Blobs) -> None:
    """A part that fails lets the object be sent again from its beginning; what was sent in vain is not left behind."""
    data, begun = os.urandom(12_000_000), []

    def pieces() -> Iterator[bytes]:
        begun.append(len(s3.parts))
        for start in range(0, len(data), 2**18):
            s3.failures += len(begun) < 3 and start == 30 * 2**18  # the second part
            yield data[start : start + 2**18]

    s3_blobs.put("a", pieces, len(data))
    assert begun == [0, 0, 0]
    assert s3.objects["a"][0] == data
    assert s3.parts == {}


def test_a_large_object_is_never_whole_in_memory(s3: S3Server, s3_blobs: S3Blobs) -> None:
    """Whoever writes 24 MiB is a part ahead of the server at most, and whoever reads them a chunk."""
    count, chunk, ahead = 96, os.urandom(2**18), []

    def pieces() -> Iterator[bytes]:
        for number in range(count):
            taken = sum(len(part) for parts in s3.parts.values() for part in parts.values())
            ahead.append(number * len(chunk) - taken)
            yield chunk

    s3_blobs.put("a", pieces, count * len(chunk))
    assert max(ahead) < LEAST_PART_BYTES
    tracemalloc.start()
    try:
        assert sum(map(len, s3_blobs.get("a"))) == count * len(chunk)
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


def test_a_store_that_is_away(s3_blobs: S3Blobs) -> None:
    """A store that nobody answers for is StorageDown, and not ready."""
    away = S3Blobs("127.0.0.1:1", "photos", "access", "secret", secure=False)
    assert not away.ready()
    with pytest.raises(StorageDown, match="no answer"):
        _get(away, "a")
    away.close()


def test_a_bucket_that_none_can_be_called() -> None:
    """A name that no bucket may have is said at once, in the store's own words, and nothing is tried."""
    with pytest.raises(InvalidRequest, match="got s3_bucket 'Bad_Bucket!'"):
        S3Blobs("127.0.0.1:1", "Bad_Bucket!", "access", "secret", secure=False)
