"""Prometheus metrics. Children are looked up once and kept, because looking up costs more than counting."""

from __future__ import annotations

import asyncio
import itertools
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector

from gateway import __version__

_REQUEST_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
_REQUEST_BOUNDS: Final = (*map(str, _REQUEST_BUCKETS), "+Inf")
_SUBSTRATE_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0)
_LAG_BUCKETS: Final = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)


class RouteMetric:
    """Counts the requests of one route; keep it in the route table. Belongs to one thread."""

    def __init__(self, labels: tuple[str, str, str]) -> None:
        self._labels = labels
        self._classes: dict[int, _Times] = {}

    def observe(self, status: int, seconds: float) -> None:
        """Count one answer."""
        times = self._classes.get(status // 100)
        if times is None:
            times = self._classes[status // 100] = _Times()
        times.counts[bisect_left(_REQUEST_BUCKETS, seconds)] += 1
        times.total_s += seconds

    def add_to(self, family: HistogramMetricFamily) -> None:
        """Put what was counted into the page."""
        for status, times in sorted(self._classes.items()):
            counts = zip(_REQUEST_BOUNDS, itertools.accumulate(times.counts), strict=True)
            family.add_metric((*self._labels, f"{status}xx"), list(counts), times.total_s)


class _Times:
    """How often a request took how long: a count per bucket, the last one for what exceeds them all."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(_REQUEST_BUCKETS) + 1)
        self.total_s = 0.0


class _Requests(Collector):
    """The histogram of requests. The library's own takes a lock twice per request, which no single thread needs."""

    def __init__(self) -> None:
        self.routes: list[RouteMetric] = []

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Give the family as the page shows it."""
        labels = ("door", "route", "method", "status")
        family = HistogramMetricFamily("gateway_request_seconds", "Time from a request to its answer.", labels=labels)
        for route in self.routes:
            route.add_to(family)
        yield family


class Metrics:
    """All metrics of one gateway, in a registry of their own."""

    CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        build = Gauge("gateway_build_info", "The running version.", ("version",), registry=registry)
        build.labels(__version__).set(1)
        self._requests = _Requests()
        registry.register(self._requests)
        self._substrate = Histogram(
            "gateway_substrate_seconds",
            "Time of one operation of a pool's substrate.",
            ("pool", "operation"),
            buckets=_SUBSTRATE_BUCKETS,
            registry=registry,
        )
        self._failures = Counter(
            "gateway_substrate_failures",
            "Operations of a pool's substrate that failed.",
            ("pool", "operation", "error"),
            registry=registry,
        )
        self._jobs = Counter("gateway_jobs", "Jobs by the state that they came to.", ("state",), registry=registry)
        self.open_intents = Gauge("gateway_open_intents", "Changes under way.", registry=registry)
        self.defects = Counter("gateway_defects", "Errors that nobody foresaw.", registry=registry)
        self.loop_lag = Histogram(
            "gateway_loop_lag_seconds",
            "How much too late the event loop woke a task.",
            buckets=_LAG_BUCKETS,
            registry=registry,
        )
        self._substrate_children: dict[tuple[str, str], Histogram] = {}

    def route(self, *, door: str, route: str, method: str) -> RouteMetric:
        """Give the counter of one route. `route` is the pattern, never a path with ids in it."""
        metric = RouteMetric((door, route, method))
        self._requests.routes.append(metric)
        return metric

    def substrate_time(self, pool: str, operation: str, seconds: float) -> None:
        """Count one substrate operation."""
        child = self._substrate_children.get((pool, operation))
        if child is None:
            child = self._substrate_children[pool, operation] = self._substrate.labels(pool, operation)
        child.observe(seconds)

    def substrate_failed(self, pool: str, operation: str, error: str) -> None:
        """Count one failure by the error's class name."""
        self._failures.labels(pool, operation, error).inc()

    def job_in(self, state: str) -> None:
        """Count a job that came to this state."""
        self._jobs.labels(state).inc()

    def render(self) -> bytes:
        """Give the page that Prometheus reads; its type is `CONTENT_TYPE`."""
        return generate_latest(self._registry)


async def sample_loop_lag(
    metrics: Metrics, *, every_s: float = 0.25, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Measure for ever how late the loop is. Ends by cancellation."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + every_s
        await pause(every_s)
        metrics.loop_lag.observe(max(0.0, clock() - due))
