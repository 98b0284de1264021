"""What the ONTAP REST door of a configuration serves of what is documented."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.config import Settings
from gateway.frontends.ontap_rest.coverage import Coverage, coverage, summary
from gateway.frontends.ontap_rest.release import Release

HEADER = ("PATH", "VERB", "SERVED", "CONFIRMED", "REFUSED", "UNKNOWN")


def lines(settings: Settings) -> list[Coverage]:
    """Give a line for every verb of every resource, with the names of fields."""
    return coverage(Release.parse(settings.ontap.release))


def numbers(settings: Settings) -> list[Sequence[str]]:
    """Give the same as rows of a table, with numbers of fields."""
    return [*summary(lines(settings))]
