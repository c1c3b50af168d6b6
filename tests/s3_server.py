"""An S3 server for the tests: few operations, but signatures are checked to the last bit.

No real S3 server installs from the package registries, and the stand-ins that do accept any signature. This one
computes every signature anew with botocore's own signer (Signature Version 4) and refuses what differs, what is too
old, and bodies that are not what was signed. It is a stub: what it leaves out of S3 is far more than what it has.
"""

import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_OLDEST_SECONDS = 900
_TIME = "%Y%m%dT%H%M%SZ"
_SPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
LEAST_PART_BYTES = 5 * 2**20  # but for the last


@dataclass
class S3Server:
    """A running server: what it holds, whom it lets in, and what it is told to do wrong."""

    endpoint: str
    bucket: str = "photos"
    access_key: str = "access"
    secret_key: str = "a secret for tests"
    region: str = "us-east-1"
    objects: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)  # of uploads that are not complete
    refusals: int = 0  # how many requests were refused for their signature
    failures: int = 0  # how many of the next requests are to fail with 503
    cut: bool = False  # whether answers end half way
    cuts: int = 0  # how many of the next ones do, apart from that
    full: bool = False  # whether there is no room for another object
    page: bytes = b""  # what stands in for every answer, as if from something in front of the store
    delay_seconds: float = 0.0  # before each answer
    has_bucket: bool = True  # or it is yet to be made


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run a server for as long as the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    state = S3Server(f"127.0.0.1:{server.server_address[1]}")
    server.state = state  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    @property
    def s3(self) -> S3Server:
        """Return the server's state."""
        return self.server.state  # type: ignore[attr-defined]

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        wrong = self._wrong(body)
        time.sleep(self.s3.delay_seconds)
        if self.s3.page:
            self._send(200, self.s3.page)
        elif self.s3.failures > 0:
            self.s3.failures -= 1
            self._error(503, "SlowDown")
        elif wrong is not None:
            self.s3.refusals += 1
            self._error(403, wrong)
        elif self.s3.full and self.command == "PUT":
            self._error(507, "InsufficientStorage")
        else:
            self._carry_out(body)

    def _wrong(self, body: bytes) -> str | None:
        """Return what is wrong with a request's signature, or None."""
        given = self.headers.get("Authorization", "")
        moment = self.headers.get("x-amz-date", "")
        if hashlib.sha256(body).hexdigest() != self.headers.get("x-amz-content-sha256"):
            return "XAmzContentSHA256Mismatch"
        try:
            age = abs((datetime.now(UTC) - datetime.strptime(moment, _TIME).replace(tzinfo=UTC)).total_seconds())
            signed = given.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        except ValueError:
            return "AccessDenied"
        if age > _OLDEST_SECONDS:
            return "RequestTimeTooSkewed"
        return None if hmac.compare_digest(given, self._signature(moment, signed)) else "SignatureDoesNotMatch"

    def _signature(self, moment: str, signed: list[str]) -> str:
        """Return the Authorization that a request with these headers must have."""
        headers = {name: self.headers.get(name, "") for name in signed}
        request = AWSRequest(self.command, f"http://{self.headers['Host']}{self.path}", headers)
        request.context["timestamp"] = moment
        signer = _S3Signer(Credentials(self.s3.access_key, self.s3.secret_key), "s3", self.s3.region)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        scope = f"Credential={signer.scope(request)}, SignedHeaders={';'.join(sorted(signed))}"
        return f"AWS4-HMAC-SHA256 {scope}, Signature={signer.signature(text, request)}"

    def _carry_out(self, body: bytes) -> None:
        target = urlsplit(self.path)
        bucket, _, key = unquote(target.path).lstrip("/").partition("/")
        query = dict(parse_qsl(target.query, keep_blank_values=True))
        if self.command == "PUT" and not key:
            self.s3.has_bucket = self.s3.has_bucket or bucket == self.s3.bucket
            self._send(200, b"")
        elif bucket != self.s3.bucket or not self.s3.has_bucket:
            self._error(404, "NoSuchBucket")
        elif "uploads" in query or "uploadId" in query:
            self._in_parts(key, query, body)
        elif self.command == "PUT":
            self._keep(key, body)
            self._send(200, b"", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'})
        elif self.command == "DELETE":
            self.s3.objects.pop(key, None)
            self._send(204, b"")
        elif "location" in query:
            self._send(200, f"<LocationConstraint>{self.s3.region}</LocationConstraint>".encode())
        elif not key:
            self._send(200, self._listing(query.get("prefix", "")))
        elif key in self.s3.objects:
            self._send_object(self.s3.objects[key][0])
        else:
            self._error(404, "NoSuchKey")

    def _in_parts(self, key: str, query: dict[str, str], body: bytes) -> None:
        """Begin an upload in parts, take a part, put them together, or drop them."""
        upload = query.get("uploadId", "")
        if "uploads" in query:
            upload = secrets.token_hex(8)
            self.s3.parts[upload] = {}
            self._send(200, _document("InitiateMultipartUploadResult", UploadId=upload))
        elif upload not in self.s3.parts:
            self._error(404, "NoSuchUpload")
        elif self.command == "PUT":
            self.s3.parts[upload][int(query["partNumber"])] = body
            self._send(200, b"", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'})
        elif self.command == "DELETE":
            del self.s3.parts[upload]
            self._send(204, b"")
        else:
            parts = [part for _, part in sorted(self.s3.parts.pop(upload).items())]
            if any(len(part) < LEAST_PART_BYTES for part in parts[:-1]):
                self._error(400, "EntityTooSmall")
                return
            self._keep(key, b"".join(parts))
            self._send(200, _document("CompleteMultipartUploadResult", Bucket=self.s3.bucket, Key=key, ETag="x"))

    def _keep(self, key: str, body: bytes) -> None:
        self.s3.objects[key] = (body, datetime.now(UTC))

    def _send_object(self, data: bytes) -> None:
        """Send an object, or what is asked for of it: from some byte on."""
        asked = self.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        self._send(206 if asked else 200, data[start:])

    def _listing(self, prefix: str) -> bytes:
        entries = "".join(
            f"<Contents><Key>{escape(name)}</Key><Size>{len(data)}</Size><ETag>x</ETag>"
            f"<LastModified>{moment.strftime('%Y-%m-%dT%H:%M:%S.000Z')}</LastModified></Contents>"
            for name, (data, moment) in sorted(self.s3.objects.items())
            if name.startswith(prefix)
        )
        head = f"<Name>{self.s3.bucket}</Name><Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>"
        return f"<ListBucketResult {_SPACE}>{head}{entries}</ListBucketResult>".encode()

    def _error(self, status: int, code: str) -> None:
        self._send(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/xml" if body.startswith(b"<") else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if body and status < 300 and (self.s3.cut or self.s3.cuts):
            self.s3.cuts -= self.s3.cuts > 0
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        else:
            self.wfile.write(body)


def _document(name: str, **fields: str) -> bytes:
    inside = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in fields.items())
    return f"<{name} {_SPACE}>{inside}</{name}>".encode()


class _S3Signer(SigV4Auth):
    """Signs as S3 wants it: the path as it is sent, the body's digest as the header says."""

    def headers_to_sign(self, request: AWSRequest) -> object:
        """Return the headers that the client signed, and no others."""
        return request.headers

    def _normalize_url_path(self, path: str) -> str:
        return path

    def payload(self, request: AWSRequest) -> str:
        """Return the body's digest as it was signed; that it is the body's is checked apart."""
        return str(request.headers["x-amz-content-sha256"])
