"""The client, put together."""

from types import TracebackType
from typing import Self

import httpx2

from idprefer_client.account import Account, ApiKeys, WebhookEndpoints
from idprefer_client.jobs import Jobs
from idprefer_client.people import Adapters, Consents, Identities, References, Trainings
from idprefer_client.restorations import Restorations
from idprefer_client.transport import Transport


class Client:
    """One service, asked with one key; close it, or use it as a context."""

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        attempts: int = 4,
        timeout_seconds: float = 30.0,
        http_transport: httpx2.BaseTransport | None = None,
    ) -> None:
        headers = {"Authorization": f"Bearer {key}", "User-Agent": "idprefer-client/0.1"}
        self._http = httpx2.Client(base_url=base_url, headers=headers, transport=http_transport)
        transport = Transport(self._http, attempts, timeout_seconds)
        self.identities = Identities(transport)
        self.consents = Consents(transport)
        self.references = References(transport)
        self.trainings = Trainings(transport)
        self.adapters = Adapters(transport)
        self.restorations = Restorations(transport)
        self.jobs = Jobs(transport)
        self.api_keys = ApiKeys(transport)
        self.webhook_endpoints = WebhookEndpoints(transport)
        self.account = Account(transport)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
