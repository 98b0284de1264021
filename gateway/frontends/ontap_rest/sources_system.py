"""What clients ask an ONTAP system for before they work with it, and of which there is little or nothing here.

A collection that is empty because the gateway has no such thing is served all
the same: where it was missing, clients would take the whole system for broken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from gateway.core.model import Tenant
from gateway.frontends.ontap_rest.ask import Ask, uuid_key
from gateway.frontends.ontap_rest.errors import no_entry
from gateway.frontends.ontap_rest.sources import Rendered, Site
from gateway.frontends.ontap_rest.tree import predicate


class Counter(msgspec.Struct, frozen=True):
    """A counter that a table may hold. `base`: the one by whose change its own is divided."""

    name: str
    type: str
    unit: str
    description: str
    base: str = ""


class Counters(msgspec.Struct, frozen=True):
    """A table of counters."""

    description: str
    counters: tuple[Counter, ...]


_ELAPSED = Counter("elapsed_time", "delta", "microsec", "Time that passed since the node started")
_SYSTEM = Counters(
    "What the node as a whole is busy with",
    (
        Counter("average_processor_busy_percent", "percent", "percent", "Mean of all processors", "elapsed_time"),
        Counter("cpu_busy", "percent", "percent", "Share of the time in which any processor was busy", "elapsed_time"),
        _ELAPSED,
    ),
)
TABLES: Mapping[str, Counters] = {
    "processor": Counters(
        "What each processor is busy with",
        (Counter("domain_busy_percent", "percent", "percent", "Busy time by domain", "elapsed_time"), _ELAPSED),
    ),
    "system": _SYSTEM,
    "system:constituent": _SYSTEM,
    "wafl": Counters(
        "What the file system's consistency points take",
        (
            Counter("cp_phase_times", "percent", "percent", "Time by phase", "total_cp_msecs"),
            Counter("total_cp_msecs", "delta", "millisec", "Time in all phases"),
        ),
    ),
}
"""The tables by which clients judge how busy a node is. None has rows, because nothing is measured in these words."""


class CounterTables:
    """The tables of counters and what is in them. Of one table only those counters show that the query asks for."""

    async def list(self, ask: Ask) -> Sequence[tuple[object, Rendered]]:
        """List in order of the names."""
        found = [(name, render_table(name, table)) for name, table in sorted(TABLES.items())]
        if not ask.keys:
            return found
        asked = [(name, _asked(ask, rendered)) for name, rendered in found]
        return [(name, rendered) for name, rendered in asked if rendered["counter_schemas"]]


def render_table(name: str, table: Counters) -> Rendered:
    """Render a table."""
    return {
        "name": name,
        "description": table.description,
        "counter_schemas": [
            {
                "name": counter.name,
                "description": counter.description,
                "type": counter.type,
                "unit": counter.unit,
                **({"denominator": {"name": counter.base}} if counter.base else {}),
            }
            for counter in table.counters
        ],
    }


def _asked(ask: Ask, rendered: Rendered) -> Rendered:
    test = predicate(ask.parameters.where)
    every = rendered["counter_schemas"]
    return {**rendered, "counter_schemas": [one for one in every if test({**rendered, "counter_schemas": [one]})]}


class CounterRows:
    """The rows of a table, of which there are none; the table must exist."""

    async def list(self, ask: Ask) -> Sequence[tuple[object, Rendered]]:
        """Give nothing."""
        if ask.keys[0] not in TABLES:
            raise no_entry("counter_table.name")
        return []


class Nothing:
    """A collection of what the gateway does not have."""

    async def list(self, ask: Ask) -> Sequence[tuple[object, Rendered]]:
        """Give nothing."""
        del ask
        return []


class OfSvm:
    """A collection, below an SVM, of what the gateway does not have; the SVM must exist."""

    async def list(self, ask: Ask) -> Sequence[tuple[object, Rendered]]:
        """Give nothing."""
        found = await ask.core.catalog.get(Tenant, uuid_key(ask.keys[0], "svm.uuid"))
        if found is None or (ask.tenant is not None and found.id != ask.tenant.id):
            raise no_entry("svm.uuid")
        return []


class ComplianceClocks:
    """The node's clock of SnapLock, which was never started: it shows no time."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def list(self, ask: Ask) -> Sequence[tuple[object, Rendered]]:
        """Give the node's."""
        del ask
        node = self._site.node()
        return [(node, {"node": {"uuid": str(node.id), "name": node.name}})]
