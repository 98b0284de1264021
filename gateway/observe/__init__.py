"""What a running gateway tells: log lines, access lines, audit lines, metrics."""

from __future__ import annotations

from gateway.observe.access import AccessLog
from gateway.observe.logs import REQUEST_ID, AuditLog, RequestIds, configure_logging, hand_over_logging
from gateway.observe.metrics import Metrics, RouteMetric, sample_loop_lag
from gateway.observe.observer import ReportingObserver
from gateway.observe.trail import FileTrail

__all__ = [
    "REQUEST_ID",
    "AccessLog",
    "AuditLog",
    "FileTrail",
    "Metrics",
    "ReportingObserver",
    "RequestIds",
    "RouteMetric",
    "configure_logging",
    "hand_over_logging",
    "sample_loop_lag",
]
