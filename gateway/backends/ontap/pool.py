"""An opened pool: what it knows of its SVM, and finding what belongs to an id."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import msgspec

from gateway.backends.ontap.cluster import Cluster
from gateway.backends.ontap.descriptions import Document, VolumeSidecar, from_tags, unpack
from gateway.backends.ontap.failures import Subject
from gateway.backends.ontap.names import Names
from gateway.backends.ontap.options import OntapOptions
from gateway.backends.ontap.records import Aggregate, Copy, FlexVol
from gateway.core.backend import FaultHook
from gateway.core.errors import NotFound, Unavailable

AGGREGATES = "/api/storage/aggregates"
_SPACE = "name,uuid,state,space.block_storage.size,space.block_storage.used,space.block_storage.available"
Step = Callable[[str], None]


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about an id: the whole volume, one that is being made, and carriers."""

    volume: FlexVol | None = None
    staged: FlexVol | None = None
    carriers: tuple[FlexVol, ...] = ()


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A volume of ours, whole, with its description."""

    flexvol: FlexVol
    sidecar: VolumeSidecar
    family: Family


class Pool:
    """The parts of a pool share this."""

    def __init__(
        self,
        name: str,
        options: OntapOptions,
        *,
        cluster: Cluster,
        key: UUID,
        allowed: frozenset[str],
        fault: FaultHook,
    ) -> None:
        self.name = name
        self.options = options
        self.cluster = cluster
        self.key = key
        self.names = Names(options.prefix)
        self._allowed = allowed
        self._fault = fault

    def steps(self, operation: str) -> Step:
        """Give what passes the points of an operation."""
        return lambda step: self._fault(f"ontap.{operation}.{step}")

    def about(self, kind: str, key: UUID, action: str = "") -> Subject:
        """Say what the cluster is asked about."""
        return Subject(pool=self.name, kind=kind, ref=str(key), action=action)

    # --- finding ---

    def family(self, key: UUID) -> Family:
        """Give everything about an id. One question."""
        volume, staged, carriers = None, None, []
        for found in self.cluster.flexvols(self.names.family(key)):
            named = self.names.read(found.name)
            if named is None:
                continue
            if named.generation:
                carriers.append(found)
            elif named.staged:
                staged = found
            else:
                volume = found
        if volume is None and self.options.adopt:
            volume = self.cluster.stranger(key)
        return Family(volume=volume, staged=staged, carriers=tuple(carriers))

    def find(self, key: UUID) -> Known | None:
        """Give a volume of ours; None when there is none. Damaged when it is there and its description is not."""
        return self.known(key, self.family(key))

    def known(self, key: UUID, family: Family) -> Known | None:
        """Give the volume of ours that a family has; None when it has none."""
        if family.volume is None:
            return None
        text = self.text(key, family.volume, family.carriers)
        if text is None:
            return None
        return Known(flexvol=family.volume, sidecar=unpack(text, VolumeSidecar, key), family=family)

    def volume(self, key: UUID) -> Known:
        """Give a volume of ours; NotFound when there is none."""
        found = self.find(key)
        if found is None:
            raise NotFound(kind="volume", ref=str(key))
        return found

    def text(self, key: UUID, volume: FlexVol, carriers: tuple[FlexVol, ...]) -> str | None:
        """Give the text that describes a volume, from its tags and the carriers that they name; None: it has none."""
        told = from_tags(volume.tags)
        if told is None:
            return None
        text, more = told
        if more is None:
            return text
        held = {carrier.name: carrier for carrier in carriers}
        for index in range(more.count):
            carrier = held.get(self.names.carrier(key, more.generation, index))
            part = from_tags(carrier.tags) if carrier is not None else None
            text += part[0] if part is not None else ""
        return text

    def document(self) -> bytes | None:
        """Give the document of the whole pool; None when there is none."""
        family = self.family(self.key)
        text = None if family.volume is None else self.text(self.key, family.volume, family.carriers)
        return None if text is None else unpack(text, Document, self.key).document

    def copy(self, volume: FlexVol, snapshot: UUID) -> Copy | None:
        """Give a snapshot of a volume; None when there is none."""
        found = self.cluster.copies(volume, self.names.snapshot(snapshot))
        return found[0] if found else None

    # --- room ---

    def aggregates(self) -> list[Aggregate]:
        """Give the aggregates that volumes may be in, that with the most room first; Unavailable: there is none."""
        found = [
            aggregate
            for aggregate in self.cluster.each(AGGREGATES, Aggregate, fields=_SPACE)
            if aggregate.name == self.options.aggregate
            or (not self.options.aggregate and (not self._allowed or aggregate.name in self._allowed))
        ]
        if not found:
            wanted = f"aggregate {self.options.aggregate}" if self.options.aggregate else "aggregate"
            raise Unavailable(what=self.name, reason=f"there is no {wanted}")
        return sorted(found, key=lambda aggregate: aggregate.space.block_storage.available, reverse=True)

    def junction(self, key: UUID) -> str:
        """Give where a volume is mounted in the SVM's name space."""
        return f"{self.options.junction.rstrip('/')}/{self.names.volume(key)}"
