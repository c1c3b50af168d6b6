"""The numbers of one process, and the queues' as the database has them; labels are bounded: no tenants, no ids."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Scope

from store import operators, overview
from store.database import Database

log = structlog.get_logger(__name__)
_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE"})
_SHARES = (0.5, 0.95, 0.99)
_WAITED = "How long a worker took to claim the jobs that were queued in the last ten minutes."
_LANES = (
    ("queue_depth", "queued", "Jobs that wait."),
    ("queue_running", "running", "Jobs that run."),
    ("queue_oldest_age_seconds", "oldest_age_seconds", "How long the first one has waited."),
)


class Metrics:
    """The counters of one application."""

    def __init__(self, database: Database) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.requests = Counter("http_requests", "Requests answered.", labels, registry=self.registry)
        self.seconds = Histogram("http_request_seconds", "Time to answer.", labels[:2], registry=self.registry)
        self.registry.register(_Queues(database))

    def text(self) -> bytes:
        """Return all numbers as Prometheus reads them."""
        return generate_latest(self.registry)

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one answered request under the route that took it."""
        route = route_of(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(method, route).observe(seconds)


class _Queues(Collector):
    """How the whole installation is doing, asked when the numbers are; without the database there are none.

    Every process of the API tells the same, so whoever adds them up takes the largest of them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return the gauges of lanes, workers, waits and failures."""
        try:
            with self._database.transaction(None, read_only=True) as session:
                lanes, waits = operators.queues(session), overview.waits(session)
                states, failures = overview.worker_states(session), overview.failures(session)
        except SQLAlchemyError as error:
            log.warning("queues_unknown", error=type(error).__name__)
            return
        for name, field, meaning in _LANES:
            yield _gauge(name, meaning, ("kind",), {(lane["kind"],): lane[field] or 0 for lane in lanes})
        quantiles = {
            (lane, str(share)): value
            for lane, waited in waits.items()
            for share in _SHARES
            if (value := overview.quantile(waited, share)) is not None
        }
        yield _gauge("queue_wait_seconds", _WAITED, ("kind", "quantile"), quantiles)
        yield _gauge("workers", "Worker processes heard of in the last minute.", ("state",), _keyed(states))
        by_code = {(row["kind"], row["code"]): row["count"] for row in failures}
        yield _gauge("jobs_failed_last_hour", "Jobs that failed in the last hour.", ("kind", "code"), by_code)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name nothing ahead, so that nothing is asked when this is registered."""
        return iter(())


def _keyed(counts: Mapping[str, int]) -> Mapping[tuple[str, ...], int]:
    return {(name,): count for name, count in counts.items()}


def _gauge(name: str, meaning: str, labels: Sequence[str], values: Mapping[Any, float]) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, meaning, labels=labels)
    for label, value in values.items():
        gauge.add_metric(label, value)
    return gauge


def route_of(scope: Scope) -> str:
    """Return the path's pattern: its ids would be labels without bound."""
    return str(getattr(scope.get("route"), "path", "unmatched"))
