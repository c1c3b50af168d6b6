"""What one application is made of, and how it is put together from the settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from api.auth import Sessions
from api.decoding import DecodingQueue
from api.downloads import Downloads
from api.limits import RateLimiter
from api.live import Hub, Listen, Pulse
from api.metrics import Metrics
from api.shared_answer import SharedAnswer
from core.decoder import Decoder
from store import queries, schema
from store.blobs_of import open_blobs
from store.database import Database
from store.doorbell import Doorbell
from store.quotas import Stored
from store.safe import Safe
from store.settings import Settings
from store.vault import Vault


@dataclass(frozen=True)
class Parts:
    """What one application is made of."""

    database: Database
    safe: Safe
    doorbell: Doorbell
    hub: Hub
    sessions: Sessions
    limiter: RateLimiter
    metrics: Metrics
    stored: Stored
    decoding: DecodingQueue
    downloads: Downloads

    @cached_property
    def readiness(self) -> SharedAnswer[list[str]]:
        """Return who says what is missing."""
        return SharedAnswer(self.missing)

    @cached_property
    def figures(self) -> SharedAnswer[bytes]:
        """Return who says the numbers."""
        return SharedAnswer(self.metrics.text)

    def missing(self) -> list[str]:
        """Return what is not there of database, schema and storage."""
        return schema.missing(self.database) + ([] if self.safe.blobs.ready() else ["storage"])

    def close(self) -> None:
        """Let go of processes and connections."""
        self.decoding.close()
        self.doorbell.close()
        self.database.close()


def parts_from(settings: Settings, doorbell: Doorbell) -> Parts:
    """Put an application's parts together."""
    database = Database(settings.database_url, role="api")
    return Parts(
        database=database,
        safe=Safe(Vault(settings.root_key_list()), open_blobs(settings)),
        doorbell=doorbell,
        hub=hub_over(database),
        sessions=Sessions(settings.session_secret.get_secret_value().encode()),
        limiter=RateLimiter(settings.requests_per_minute, settings.redis_url or None),
        metrics=Metrics(database),
        stored=Stored(settings.tenant_upload_bytes, settings.tenant_references),
        decoding=DecodingQueue(Decoder()),
        downloads=Downloads(),
    )


def hub_over(database: Database, **seconds: float) -> Hub:
    """Return the hub that watches a database's jobs; it looks as often as told, or as it does by itself."""
    return Hub(lambda job_ids: _pulses(database, job_ids), listen=_channel(database), **seconds)


def _channel(database: Database) -> Listen | None:
    """Return how to listen to what the database tells of jobs: Postgres only, SQLite tells nothing."""
    if database.is_sqlite:
        return None
    from store.job_channel import JobChannel  # lazily: embedded, the driver is never loaded

    return JobChannel(database).listen


def _pulses(database: Database, job_ids: Sequence[str]) -> Mapping[str, Pulse]:
    with database.transaction(None, read_only=True) as session:
        return {job_id: Pulse(*pulse) for job_id, pulse in queries.pulses(session, job_ids).items()}
