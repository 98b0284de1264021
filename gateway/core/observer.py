"""What the core tells about itself; the server turns it into metrics and log lines."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from gateway.core.model import Intent, Job


class Observer(Protocol):
    """Receives; never raises, never blocks."""

    def substrate(self, pool: str, operation: str) -> AbstractContextManager[None]:
        """Measure one substrate operation."""

    def intent_opened(self, intent: Intent) -> None:
        """Count an open intent."""

    def intent_closed(self, intent: Intent, job: Job) -> None:
        """Count it off, with the job's final state."""

    def defect(self, incident: str, error: BaseException) -> None:
        """Log an error that is none of our tree, under its incident id."""

    def event(self, name: str, **fields: str | int) -> None:
        """Log something an operator should know."""


class SilentObserver:
    """Observes nothing."""

    def substrate(self, pool: str, operation: str) -> AbstractContextManager[None]:
        """Measure nothing."""
        del pool, operation
        return nullcontext()

    def intent_opened(self, intent: Intent) -> None:
        """Do nothing."""

    def intent_closed(self, intent: Intent, job: Job) -> None:
        """Do nothing."""

    def defect(self, incident: str, error: BaseException) -> None:
        """Do nothing."""

    def event(self, name: str, **fields: str | int) -> None:
        """Do nothing."""
