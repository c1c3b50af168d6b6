"""Photos are decoded and adapters looked through before a transaction begins: nobody who writes waits for that."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from core.decoder import Decoder
from store import adapter_bytes
from tests.api.hand import Hand, adapter_file
from tests.api.service import Tenant, png

SLOW: Mapping[str, tuple[Any, str, str, Mapping[str, Any]]] = {
    "verify": (Decoder, "decode_file", "/v1/verify", {"files": {"file": png(5)}}),
    "upload": (Decoder, "decode_file", "/v1/uploads", {"files": {"file": png(4)}}),
    "references": (Decoder, "decode_file", "/v1/identities/{}/references", {"files": {"files": png(3)}}),
    "import": (adapter_bytes, "read_label", "/v1/identities/{}/adapters/import", {"files": {"file": adapter_file()}}),
}
"""What is slow of a request, where it is sent, and its body."""


class Gate:
    """Holds a function up until it is opened."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, *given: Any) -> Any:
        """Wait for the gate, then do what the function does."""
        self.reached.set()
        assert self.opened.wait(20)
        return self._function(*given)


@pytest.mark.parametrize("name", SLOW)
def test_a_writer_does_not_wait(name: str, tenant: Tenant, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one request's file is looked at, another one writes and is answered."""
    place, function, path, body = SLOW[name]
    address = path.format(tenant.identity())
    hand.register()
    gate = Gate(getattr(place, function))
    monkeypatch.setattr(place, function, lambda *given: gate(*given))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(tenant.http.post, address, **body)
        try:
            assert gate.reached.wait(20)
            assert tenant.http.post("/v1/identities", json={"name": "Eve"}).status_code == 201
            assert not slow.done()
        finally:
            gate.opened.set()
        assert slow.result().is_success, slow.result().text
