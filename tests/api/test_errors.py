"""Every error is a problem: ours, the framework's own, and the server's."""

import contextlib
import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from api.wire import LARGEST_HEAD_BYTES
from tests.api.service import Service, Tenant

WANTED = {"type", "title", "status", "detail", "code", "request_id", "retryable"}


def _check(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = answer.json()
    assert set(told) >= WANTED
    assert (told["status"], told["code"]) == (status, code)
    return told


def _all_of(raw: socket.socket) -> bytes:
    return b"".join(iter(lambda: raw.recv(4096), b""))


def test_no_such_path(tenant: Tenant) -> None:
    """A path that leads nowhere is a problem, under /v1 and beside it."""
    _check(tenant.http.get("/v1/nothing"), 404, "not_found")
    _check(tenant.http.get("/nothing"), 404, "not_found")
    _check(tenant.http.get("/v1/identities/"), 404, "not_found")


def test_no_such_method(tenant: Tenant) -> None:
    """A method that a path does not have is a problem that names those it has."""
    answer = tenant.http.put("/v1/identities", json={})
    _check(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD, POST"


def test_a_field_that_does_not_fit(tenant: Tenant) -> None:
    """A wrong field is named by its JSON pointer."""
    told = _check(tenant.http.post("/v1/identities", json={"name": 7, "more": 1}), 422, "invalid_request")
    assert {error["pointer"] for error in told["errors"]} == {"#/body/name", "#/body/more"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "strict"),
        (b'{"name": "a", "name": "b"}', "same name twice"),
        (b'{"name": NaN}', "NaN"),
        (b'{"name": "\xff"}', "UTF-8"),
        (b'{"name": "\\ud800"}', "UTF-8"),
        (b'{"name": ' + b"[" * 40 + b"]" * 40 + b"}", "deeper"),
        (b'{"name": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "deep"),
    ],
)
def test_json_that_is_not_strict(tenant: Tenant, body: bytes, said: str) -> None:
    """Half, deep, ambiguous or unencodable JSON is 400, and the problem says why."""
    answer = tenant.http.post("/v1/identities", content=body, headers={"Content-Type": "application/json"})
    assert said in _check(answer, 400, "malformed_request")["detail"]


def test_json_that_is_huge(tenant: Tenant) -> None:
    """JSON beyond 128 KiB is 413."""
    answer = tenant.http.post("/v1/identities", json={"name": "a" * 200_000})
    _check(answer, 413, "too_large")


def test_a_body_of_another_type(tenant: Tenant) -> None:
    """A body that is no JSON is refused where JSON is wanted, and the other way round."""
    answer = tenant.http.post("/v1/identities", content=b"name=Ada", headers={"Content-Type": "text/plain"})
    _check(answer, 415, "unsupported_media_type")
    answer = tenant.http.post("/v1/restorations", content=b"x", headers={"Content-Type": "text/plain"})
    _check(answer, 415, "unsupported_media_type")
    answer = tenant.http.post("/v1/uploads", json={"file": "x"})
    assert answer.status_code in {415, 422}
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("cursor", ["x", "====", "aWRu", "%00", "\u00e9" * 50, "a" * 200])
def test_a_cursor_of_another_shape(tenant: Tenant, cursor: str) -> None:
    """A cursor that no page gave is 422."""
    _check(tenant.http.get("/v1/identities", params={"cursor": cursor}), 422, "invalid_cursor")


def test_a_request_id_is_taken_over(tenant: Tenant) -> None:
    """A caller's request id is echoed; one that could harm a log is replaced."""
    assert tenant.http.get("/v1/usage", headers={"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert tenant.http.get("/v1/usage", headers={"X-Request-ID": "a b"}).headers["x-request-id"] != "a b"


def test_head_is_answered_as_get(tenant: Tenant) -> None:
    """HEAD has GET's headers and no body; an endless stream has none."""
    answer = tenant.http.head("/v1/identities")
    assert answer.status_code == 200
    assert answer.content == b""
    assert tenant.http.head(f"/v1/jobs/job_{'0' * 32}/events").status_code == 405


def test_a_bug_is_a_problem(service: Service, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure on our side is 500 with an id to name, and nothing of what went wrong."""
    from store import queries

    def broken(*_: object) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(queries, "usage", broken)
    answer = tenant.http.get("/v1/usage")
    told = _check(answer, 500, "internal")
    assert "secret" not in answer.text
    assert told["retryable"] is True


def test_a_request_that_is_no_http(service: Service) -> None:
    """Bytes that are no request end that connection, and nothing else."""
    parts = urlsplit(service.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5) as raw:
        raw.sendall(b"\x16\x03\x01 garbage\r\n\r\n")
        head, _, body = _all_of(raw).partition(b"\r\n\r\n")
    assert b" 400 Bad Request\r\n" in head
    assert b"application/problem+json" in head
    assert json.loads(body)["code"] == "malformed_request"
    with service.client(None) as client:
        assert client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    ("begins", "goes_on"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n", b"X-More: 1\r\n"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: ", b"aaaaaaaaaaaa"),
        (b"GET /", b"aaaaaaaaaaaa"),
        (b"POST /v1/identities HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"aaaaaaaaaaaa"),
        (b"POST /v1/identities HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-More: 1\r\n"),
    ],
    ids=["headers", "header", "path", "extension", "trailers"],
)
def test_what_does_not_end_is_cut_off(service: Service, begins: bytes, goes_on: bytes) -> None:
    """A head, a trailer or a chunk's extension is given so much room and no more."""
    parts = urlsplit(service.url)
    sent = 0
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5) as raw:
        raw.sendall(begins)
        with contextlib.suppress(ConnectionError):
            while sent < 40 * LARGEST_HEAD_BYTES:
                raw.sendall(goes_on * 500)
                sent += len(goes_on) * 500
                time.sleep(0.001)
    assert sent < 40 * LARGEST_HEAD_BYTES


def test_answers_carry_their_safeguards(tenant: Tenant) -> None:
    """Every answer forbids sniffing, framing and caching, and names no server."""
    headers = tenant.http.get("/v1/identities").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
