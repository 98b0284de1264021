from __future__ import annotations

import time
from contextlib import AbstractContextManager
from types import TracebackType

import structlog

from gateway.core.errors import GatewayError
from gateway.core.model import Intent, Job
from gateway.observe.metrics import Metrics
from gateway.observe.trail import FileTrail

_BAD = frozenset({"error", "reason"})
"""An event with one of these fields is a warning."""


class ReportingObserver:
    """Turns what the core tells into metrics and log lines.

    `trail` keeps events for those who ask, without what a substrate said of them.
    """

    def __init__(
        self,
        metrics: Metrics,
        logger: structlog.typing.FilteringBoundLogger | None = None,
        *,
        trail: FileTrail | None = None,
    ) -> None:
        self._metrics = metrics
        self._trail = trail
        self._log = logger if logger is not None else structlog.get_logger("gateway.core")

    def substrate(self, pool: str, operation: str) -> AbstractContextManager[None]:
        """Measure one substrate operation, and count it when it fails."""
        return _Measured(self._metrics, pool, operation)

    def intent_opened(self, intent: Intent) -> None:
        """Count an open intent."""
        self._metrics.open_intents.inc()
        self._log.debug("intent_opened", operation=intent.operation, intent=str(intent.id), job=str(intent.job_id))

    def intent_closed(self, intent: Intent, job: Job) -> None:
        """Count it off, and the job by its final state."""
        self._metrics.open_intents.dec()
        self._metrics.job_in(job.state)
        error = job.error.type if job.error is not None else ""
        self._log.debug(
            "intent_closed",
            operation=intent.operation,
            intent=str(intent.id),
            job=str(job.id),
            state=job.state,
            error=error,
        )

    def defect(self, incident: str, error: BaseException) -> None:
        """Log the error with its traceback under the incident id that the client was told."""
        self._metrics.defects.inc()
        self._log.error("defect", incident=incident, exc_info=error)

    def event(self, name: str, **fields: str | int) -> None:
        """Log something an operator should know."""
        tell = self._log.warning if _BAD.intersection(fields) else self._log.info
        tell(name, **fields)
        if self._trail is not None:
            self._trail.event(name, {key: str(value) for key, value in fields.items() if key not in _BAD})


class _Measured(AbstractContextManager[None]):
    """Times what runs within."""

    __slots__ = ("_metrics", "_operation", "_pool", "_start")

    def __init__(self, metrics: Metrics, pool: str, operation: str) -> None:
        self._metrics = metrics
        self._pool = pool
        self._operation = operation

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._metrics.substrate_time(self._pool, self._operation, time.perf_counter() - self._start)
        if kind is not None and issubclass(kind, Exception):
            name = kind.__name__ if issubclass(kind, GatewayError) else "Internal"
            self._metrics.substrate_failed(self._pool, self._operation, name)
