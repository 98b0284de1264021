"""What becomes of layers that no volume and no snapshot needs for itself. All of it blocks.

One on which nothing lies is removed. One on which a single immutable layer
lies is merged with that: the upper one is written into the lower, and the
lower one takes its name. What is seen through the upper layer is the same
before, during and after that, so it may end at any instant; only a rename
decides. Lower layers are the large ones, so this costs what the upper holds.

The head of an open volume is never merged: it would have to be held up. The
layer below it waits until the next snapshot has made that head immutable, or
the volume is closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from uuid import UUID

import msgspec
import structlog

from gateway.backends.files.names import flush
from gateway.backends.qcow2.images import Layer, new_name, read_layer
from gateway.backends.qcow2.layout import names_in, owner
from gateway.backends.qcow2.nodes import Merged
from gateway.backends.qcow2.pool import Pool
from gateway.core.errors import GatewayError
from gateway.core.qmp import Refused

log = structlog.get_logger(__name__)


class Kin(msgspec.Struct, frozen=True):
    """The layers of a family, by name: all, those that a sidecar names, and which lie on each."""

    layers: dict[str, Layer]
    held: frozenset[str]
    above: dict[str, list[Layer]]

    def idle(self) -> list[Layer]:
        """Give the layers that nothing needs."""
        return [layer for name, layer in self.layers.items() if name not in self.held and not self.above[name]]

    def pairs(self) -> list[tuple[Layer, Layer]]:
        """Give (lower, upper) of each layer that only one other layer needs."""
        return [
            (layer, self.above[name][0])
            for name, layer in self.layers.items()
            if name not in self.held and len(self.above[name]) == 1
        ]

    def chain(self, name: str) -> Iterator[Layer]:
        """Yield a layer and all below it, the upper first."""
        below = self.layers.get(name)
        while below is not None:
            yield below
            below = None if below.backing is None else self.layers.get(below.backing)

    def used(self, name: str) -> int:
        """Give the bytes that are allocated for a layer and all below it."""
        return sum(layer.allocated for layer in self.chain(name))


class Layers:
    """Keeps a family's layers few."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._layout = pool.layout
        self._passed = pool.steps("merge")

    def kin(self, family: UUID) -> Kin:
        """Give the layers of a family as they are now. DecodeError when a sidecar is damaged: nobody may guess."""
        layers = {}
        for name in names_in(self._layout.layers(family)):
            layer = None if owner(name) is None else read_layer(self._pool.name, self._layout.layer(family, name))
            if layer is not None:
                layers[name] = layer
        above: dict[str, list[Layer]] = {name: [] for name in layers}
        for layer in layers.values():
            if layer.backing in above:
                above[layer.backing].append(layer)
        return Kin(layers, frozenset(self._layout.held(family)), above)

    def collect(self, family: UUID) -> None:
        """Remove and merge what can be. What cannot be stays for the next time: nothing depends on it."""
        self.finish(family)
        tried: set[str] = set()
        while self._sweep(self.kin(family)) or self._merge_one(family, tried):
            pass

    def users(self, kin: Kin, family: UUID) -> dict[str, list[tuple[str, int]]]:
        """Give, for each layer that is open, under which names it is, and below how many others in each."""
        found: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for name in self._pool.devices.names():
            top = self._pool.top(name, family)
            for place, layer in enumerate(() if top is None else kin.chain(top)):
                found[layer.name].append((name, place))
        return found

    def _sweep(self, kin: Kin) -> bool:
        idle = [layer for layer in kin.idle() if not self._pool.pinned[layer.inode]]
        for layer in idle:
            layer.path.unlink(missing_ok=True)
        if idle:
            flush(idle[0].path.parent)
        return bool(idle)

    def _merge_one(self, family: UUID, tried: set[str]) -> bool:
        kin = self.kin(family)
        pairs = kin.pairs()
        users = self.users(kin, family) if pairs else {}
        for lower, upper in pairs:
            if lower.name in tried or self._pool.pinned[lower.inode] or self._pool.pinned[upper.inode]:
                continue
            tried.add(lower.name)
            try:
                if self._merge(family, lower, upper, users.get(upper.name, [])):
                    tried.discard(lower.name)
                    return True
            except (OSError, Refused, GatewayError) as error:
                log.warning("layers stay unmerged", pool=self._pool.name, layer=lower.name, error=str(error))
        return False

    def _merge(self, family: UUID, lower: Layer, upper: Layer, users: list[tuple[str, int]]) -> bool:
        """Merge two layers; False when it has to wait until the upper one is not the top of what is open."""
        devices = self._pool.devices
        tops = [name for name, place in users if place > 0]
        if users and not tops:
            return False
        merged = Merged(family, lower.inode, upper.inode)
        self._passed("begun")
        if users:
            devices.merge(merged, tops[0], name=upper.name, volume=upper.allocated)
        else:
            self._pool.images.commit(upper.path, volume=upper.allocated)
        self._passed("committed")
        self._rename(lower, upper)
        self._passed("renamed")
        if users:
            devices.dismiss(merged)
        self._passed("dismissed")
        return True

    def _rename(self, lower: Layer, upper: Layer) -> None:
        flush(lower.path)
        lower.path.replace(upper.path)
        flush(upper.path.parent)

    def finish(self, family: UUID | None = None, *, cancel: bool = False) -> None:
        """Complete the merges that the daemon has done and the gateway did not live to see."""
        for merged in self._pool.devices.unfinished(cancel=cancel):
            if family not in {None, merged.family}:
                continue
            layers = {layer.inode: layer for layer in self.kin(merged.family).layers.values()}
            lower, upper = layers.get(merged.lower), layers.get(merged.upper)
            if lower is not None and upper is not None:
                self._rename(lower, upper)
            self._pool.devices.dismiss(merged)

    # --- independence ---

    def own_root(self, volume: UUID, head: Layer) -> Layer:
        """Give the lowest layer of a volume that is the volume's own."""
        root = head
        for layer in self._pool.images.chain(head.path):
            if owner(layer.name) != volume:
                break
            root = layer
        return root

    def detach(self, volume: UUID, family: UUID, root: Layer, passed: Callable[[str], None]) -> None:
        """Make a layer hold by itself all that is seen through it, also for those who have it open."""
        old = self._pool.images.chain(root.path)
        target = self._layout.layer(family, new_name(volume))
        try:
            self._pool.images.flatten(root.path, target, volume=sum(layer.allocated for layer in old))
            passed("flattened")
            target.replace(root.path)
        except (OSError, GatewayError):
            target.unlink(missing_ok=True)
            raise
        flush(root.path.parent)
        passed("renamed")
        kin = self.kin(family)
        self._replace(kin, old, self.users(kin, family).get(root.name, []))
        passed("replaced")

    def _replace(self, kin: Kin, old: tuple[Layer, ...], users: list[tuple[str, int]]) -> None:
        new = kin.layers[old[0].name]
        for name, place in users:
            target = self._pool.locate(name)
            # An open snapshot shows the layer itself, which cannot be exchanged below its readers.
            if place == 0 and target is not None:
                self._pool.devices.close(name, old)
                self._pool.devices.open(name, target)
        if users:
            self._pool.devices.replace(old, new, kin.above[new.name])
