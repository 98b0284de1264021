"""What the door should do with volumes, in plain Python: no dialect, no journal, no substrate.

Every operation gives the ONTAP code it must be refused with, or None after it
was carried out here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MIB = 1 << 20
SIZE_MIN = 20 * MIB
NO_ENTRY = "4"


@dataclass(eq=False)
class Snap:
    """A snapshot. `order` is when it was taken; `id` is learnt from the door."""

    name: str
    files: dict[str, bytes]
    order: int
    id: str = ""


@dataclass(eq=False)
class Vol:
    """A volume. `origin` are the parent's and the base snapshot's objects."""

    name: str
    size: int
    id: str = ""
    online: bool = True
    comment: str = ""
    tags: tuple[str, ...] = ()
    junction: str | None = None
    policy: str = "default"
    files: dict[str, bytes] = field(default_factory=dict)
    snapshots: list[Snap] = field(default_factory=list)
    origin: tuple[Vol, Snap] | None = None

    def snapshot(self, name: str) -> Snap | None:
        return next((snap for snap in self.snapshots if snap.name == name), None)


@dataclass(eq=False)
class Policy:
    """An export policy; rules are (index, client)."""

    rules: list[tuple[int, str]] = field(default_factory=list)


class Model:
    """One SVM."""

    def __init__(self) -> None:
        self.volumes: list[Vol] = []
        self.policies: dict[str, Policy] = {"default": Policy()}
        self._clock = 0

    def volume(self, name: str) -> Vol | None:
        return next((vol for vol in self.volumes if vol.name == name), None)

    def clones_of(self, vol: Vol) -> list[Vol]:
        return [other for other in self.volumes if other.origin is not None and other.origin[0] is vol]

    def based_on(self, snap: Snap) -> list[Vol]:
        return [other for other in self.volumes if other.origin is not None and other.origin[1] is snap]

    def create(self, name: str, size: int, *, online: bool, junction: str | None, policy: str | None) -> str | None:
        if policy is not None and policy not in self.policies:
            return "1703954"
        if size < SIZE_MIN:
            return "917534"
        refused = self._placeable(None, name, junction, online=online)
        if refused is None:
            made = Vol(name=name, size=size, online=online, junction=junction, policy=policy or "default")
            self.volumes.append(made)
        return refused

    def clone(
        self, parent: str, snapshot: str | None, name: str, *, junction: str | None, policy: str | None
    ) -> str | None:
        source = self.volume(parent)
        if source is None:
            return "524601"
        base = None if snapshot is None else source.snapshot(snapshot)
        if snapshot is not None and base is None:
            return "1638600"
        if policy is not None and policy not in self.policies:
            return "1703954"
        if base is None and not source.online:
            return "524819"
        refused = self._placeable(None, name, junction, online=True)
        if refused is not None:
            return refused
        if base is None:
            base = self._take(source, "")
        made = Vol(
            name=name, size=source.size, junction=junction, policy=policy or source.policy, origin=(source, base)
        )
        made.files = dict(base.files)
        self.volumes.append(made)
        return None

    def split(self, name: str) -> str | None:
        vol = self.volume(name)
        if vol is None:
            return NO_ENTRY
        if vol.origin is None:
            return "918703"
        vol.origin = None
        return None

    def update(
        self,
        name: str,
        *,
        new_name: str | None = None,
        size: int | None = None,
        online: bool | None = None,
        comment: str | None = None,
        tags: tuple[str, ...] | None = None,
        junction: str | None = None,
        policy: str | None = None,
    ) -> str | None:
        """Change what is given; `junction` "" unmounts."""
        vol = self.volume(name)
        if vol is None:
            return NO_ENTRY
        if size is not None and size < SIZE_MIN:
            return "917534"
        if policy is not None and policy not in self.policies:
            return "1703954"
        stays = vol.online if online is None else online
        mounted = vol.junction if junction is None else (junction or None)
        if not stays and junction is None:
            mounted = None
        refused = self._placeable(vol, new_name or name, mounted, online=stays)
        if refused is not None:
            return refused
        vol.name, vol.online, vol.junction = new_name or name, stays, mounted
        vol.size = vol.size if size is None else size
        vol.comment = vol.comment if comment is None else comment
        vol.tags = vol.tags if tags is None else tags
        vol.policy = policy or vol.policy
        return None

    def delete(self, name: str) -> str | None:
        vol = self.volume(name)
        if vol is None:
            return NO_ENTRY
        if self.clones_of(vol):
            return "524615"
        self.volumes.remove(vol)
        return None

    def snap(self, name: str, snapshot: str) -> str | None:
        vol = self.volume(name)
        if vol is None:
            return NO_ENTRY
        if not vol.online:
            return "524479"
        if vol.snapshot(snapshot) is not None:
            return "525059"
        self._take(vol, snapshot)
        return None

    def rename_snapshot(self, name: str, snapshot: str, new_name: str) -> str | None:
        vol = self.volume(name)
        found = vol.snapshot(snapshot) if vol else None
        if vol is None or found is None:
            return NO_ENTRY
        if vol.snapshot(new_name) not in {None, found}:
            return "525059"
        found.name = new_name
        return None

    def delete_snapshot(self, name: str, snapshot: str) -> str | None:
        vol = self.volume(name)
        found = vol.snapshot(snapshot) if vol else None
        if vol is None or found is None:
            return NO_ENTRY
        if self.based_on(found):
            return "1638555"
        vol.snapshots.remove(found)
        return None

    def restore(self, name: str, snapshot: str) -> str | None:
        vol = self.volume(name)
        if vol is None:
            return NO_ENTRY
        found = vol.snapshot(snapshot)
        if found is None:
            return "1638600"
        if not vol.online:
            return "9437885"
        if any(self.based_on(other) for other in vol.snapshots if other.order > found.order):
            return "1638480"
        vol.snapshots = [other for other in vol.snapshots if other.order <= found.order]
        vol.files = dict(found.files)
        return None

    def create_policy(self, name: str) -> str | None:
        if name in self.policies:
            return "1"
        self.policies[name] = Policy()
        return None

    def delete_policy(self, name: str) -> str | None:
        if name not in self.policies:
            return NO_ENTRY
        if name == "default":
            return "1703947"
        if any(vol.policy == name for vol in self.volumes):
            return "1703945"
        del self.policies[name]
        return None

    def rename_policy(self, name: str, new_name: str) -> str | None:
        if name not in self.policies:
            return NO_ENTRY
        if name == "default" and new_name != name:
            return "1703947"
        if new_name != name and new_name in self.policies:
            return "1"
        self.policies[new_name] = self.policies.pop(name)
        for vol in self.volumes:
            vol.policy = new_name if vol.policy == name else vol.policy
        return None

    def add_rule(self, name: str, client: str, index: int | None) -> str | None:
        """Add a rule: behind the last, or at an index, where it pushes those in its way up."""
        if name not in self.policies:
            return NO_ENTRY
        rules = self.policies[name].rules
        at = index or max((number for number, _ in rules), default=0) + 1
        placed, free = [(at, client)], at
        for number, other in rules:
            if number < at:
                placed.append((number, other))
            else:
                free = max(number, free + 1)
                placed.append((free, other))
        self.policies[name].rules = sorted(placed)
        return None

    def delete_rule(self, name: str, index: int) -> str | None:
        if name not in self.policies or index not in dict(self.policies[name].rules):
            return NO_ENTRY
        self.policies[name].rules = [rule for rule in self.policies[name].rules if rule[0] != index]
        return None

    def _take(self, vol: Vol, name: str) -> Snap:
        self._clock += 1
        taken = Snap(name=name, files=dict(vol.files), order=self._clock)
        vol.snapshots.append(taken)
        return taken

    def _placeable(self, vol: Vol | None, name: str, junction: str | None, *, online: bool) -> str | None:
        if junction is not None and not online:
            return "917533"
        if self.volume(name) not in {None, vol}:
            return "917526"
        if junction is not None and any(other.junction == junction for other in self.volumes if other is not vol):
            return "918252"
        return None
