"""What a service counts, in the text that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """Counters of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = {"namespace": "atomprint", "registry": self.registry}
        self.requests = Counter("requests", "Requests that were answered.", ("route", "method", "status"), **own)
        self.seconds = Histogram(
            "request_seconds", "From a request to its answer.", ("route",), buckets=_SECONDS, **own
        )
        self.open = Gauge("requests_open", "Requests that are not answered yet.", **own)
        self.refused = Counter("requests_refused", "Requests that met a limit.", ("reason",), **own)
        self.structures = Counter("structures", "Structures that were asked for.", ("kind",), **own)
        self.predictions = Counter("predictions", "Predictions that were made.", ("model", "domain"), **own)
        self.received = Counter("received_bytes", "Bytes of the bodies of requests.", **own)

    def watch(self, name: str, what: str, value: Callable[[], float]) -> None:
        """Show a number that is asked for when the counters are read."""
        Gauge(name, what, namespace="atomprint", registry=self.registry).set_function(value)

    def text(self) -> bytes:
        """Return all of it as text."""
        return bytes(generate_latest(self.registry))
