"""What can go wrong between a program and the service."""

from collections.abc import Sequence
from dataclasses import dataclass


class ClientError(Exception):
    """Anything that this client raises on purpose."""


class Unreachable(ClientError):
    """No answer came, however often it was tried."""


class ForgedWebhook(ClientError):
    """A webhook whose signature or time does not hold."""


@dataclass(eq=False)
class Problem(ClientError):
    """A request that the service refused: RFC 9457, with the service's own code."""

    status: int
    code: str
    detail: str
    request_id: str = ""
    retryable: bool = False
    errors: Sequence[dict[str, str]] = ()

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.detail}"


@dataclass(eq=False)
class JobFailed(ClientError):
    """A job that ended otherwise than by succeeding."""

    job_id: str
    state: str
    code: str
    detail: str

    def __str__(self) -> str:
        return f"job {self.job_id} is {self.state} ({self.code}): {self.detail}"


class StillRunning(ClientError):
    """A job that had not ended when the caller's time was up; it goes on."""
