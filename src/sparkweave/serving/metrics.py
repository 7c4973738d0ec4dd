"""What Prometheus is told, in a registry of its own: two services in one process don't meet."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Counters, gauges and histograms of one service; their names start with ``sparkweave_``."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "sparkweave_requests", "Answers by route and status.", ("route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "sparkweave_request_seconds",
            "From the end of the headers to the answer.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._images = Counter("sparkweave_images", "Images, or rows of numbers, predicted.", registry=registry)
        self._batches = Histogram(
            "sparkweave_batch_images", "Images predicted together.", buckets=_SIZES, registry=registry
        )
        self._predicting = Histogram(
            "sparkweave_predict_seconds", "In the network, a batch.", buckets=_SECONDS, registry=registry
        )
        self.waiting = Gauge("sparkweave_waiting_images", "Taken in and not answered yet.", registry=registry)
        self.decoding = Gauge("sparkweave_decoding_pixels", "Being decoded, or waiting to be.", registry=registry)
        self.connections = Gauge("sparkweave_connections", "Open connections.", registry=registry)
        self.bodies = Gauge("sparkweave_bodies_bytes", "Bytes of bodies that are held.", registry=registry)
        self._model = Gauge(
            "sparkweave_model_info", "1 for the model that is served.", ("name", "version", "digest"), registry=registry
        )
        self._swaps = Counter("sparkweave_model_swaps", "Versions put in another's place.", registry=registry)
        self.refused = Gauge("sparkweave_refused_versions", "Newer versions not fit to be served.", registry=registry)
        self.reachable = Gauge("sparkweave_registry_reachable", "0 while it can't be read.", registry=registry)
        self.reachable.set(1)
        self._served = False

    def batch(self, images: int, seconds: float) -> None:
        """Counts one batch."""
        self._images.inc(images)
        self._batches.observe(images)
        self._predicting.observe(seconds)

    def served(self, name: str, version: str, digest: str) -> None:
        """Says which model is served from now on."""
        if self._served:
            self._swaps.inc()
        self._served = True
        self._model.clear()
        self._model.labels(name, version, digest[:12]).set(1)

    def text(self) -> bytes:
        """Everything in Prometheus's text form."""
        return generate_latest(self._registry)
