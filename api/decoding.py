"""The queue before the decoder: short and fair, so that one tenant's photos hold up nobody else's requests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from api.errors import Refusal
from core.decoder import DecodedPhoto, Decoder

PLACES = 16
"""Threads that photos may hold, being decoded or waiting: of the forty that all requests share."""
WAITING_SECONDS = 20.0
_CROWDED = "got a photo while {}; wanted it at a quieter time; send it again in a moment, and fewer at the same time"


@dataclass(frozen=True, eq=False)
class _Ticket:
    """One photo that waits."""

    tenant_id: str


class DecodingQueue:
    """Lets photos into the decoder: first those of whoever has fewest in it."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._waiting: list[_Ticket] = []
        self._inside: list[str] = []  # whose photos are being decoded
        self._changed = threading.Condition()

    def decode_file(self, tenant_id: str, file: IO[bytes], size: int) -> DecodedPhoto:
        """Decode a tenant's photo as `Decoder.decode_file` does; `busy` where too many others wait."""
        with self._turn(tenant_id):
            return self._decoder.decode_file(file, size)

    def close(self) -> None:
        """End the decoder."""
        self._decoder.close()

    @contextmanager
    def _turn(self, tenant_id: str) -> Iterator[None]:
        self._wait(tenant_id)
        try:
            yield
        finally:
            with self._changed:
                self._inside.remove(tenant_id)
                self._changed.notify_all()

    def _wait(self, tenant_id: str) -> None:
        """Wait for a child of the decoder, but neither in a crowd nor for long."""
        ticket = _Ticket(tenant_id)
        with self._changed:
            self._check_room(tenant_id)
            self._waiting.append(ticket)
            in_time = self._changed.wait_for(lambda: self._is_next(ticket), WAITING_SECONDS)
            self._waiting.remove(ticket)
            self._changed.notify_all()
            if not in_time:
                raise Refusal("busy", _CROWDED.format(f"those before it took {WAITING_SECONDS:g} seconds"))
            self._inside.append(tenant_id)

    def _check_room(self, tenant_id: str) -> None:
        """Refuse a tenant that has half of what the others leave: so there is a place for whoever has none."""
        owners = [*self._inside, *(ticket.tenant_id for ticket in self._waiting)]
        own = owners.count(tenant_id)
        if 2 * own >= PLACES - (len(owners) - own):
            raise Refusal("busy", _CROWDED.format(f"{own} of this tenant's and {len(owners) - own} others waited"))

    def _is_next(self, ticket: _Ticket) -> bool:
        if len(self._inside) >= self._decoder.children:
            return False
        return min(self._waiting, key=lambda one: self._inside.count(one.tenant_id)) is ticket
