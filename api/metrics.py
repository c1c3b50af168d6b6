"""The numbers of one process, and the queues' as the database has them; labels are bounded: no tenants, no ids."""

from collections.abc import Iterator

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Scope

from store import operators
from store.database import Database

log = structlog.get_logger(__name__)
_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE"})


class Metrics:
    """The counters of one application."""

    def __init__(self, database: Database) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.requests = Counter("http_requests", "Requests answered.", labels, registry=self.registry)
        self.seconds = Histogram("http_request_seconds", "Time to answer.", labels[:2], registry=self.registry)
        self.registry.register(_Queues(database))

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one answered request under the route that took it."""
        route = route_of(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(method, route).observe(seconds)


class _Queues(Collector):
    """How many jobs wait and run, asked for when the numbers are; without the database there are none."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return the gauges of every lane."""
        try:
            with self._database.transaction(None, read_only=True) as session:
                lanes = operators.queues(session)
        except SQLAlchemyError as error:
            log.warning("queues_unknown", error=type(error).__name__)
            return
        for name, field, meaning in (
            ("queue_depth", "queued", "Jobs that wait."),
            ("queue_running", "running", "Jobs that run."),
            ("queue_oldest_age_seconds", "oldest_age_seconds", "How long the first one has waited."),
        ):
            gauge = GaugeMetricFamily(name, meaning, labels=["kind"])
            for lane in lanes:
                gauge.add_metric([lane["kind"]], lane[field] or 0)
            yield gauge

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name nothing ahead, so that nothing is asked when this is registered."""
        return iter(())


def route_of(scope: Scope) -> str:
    """Return the path's pattern: its ids would be labels without bound."""
    return str(getattr(scope.get("route"), "path", "unmatched"))
