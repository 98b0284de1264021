"""What a volume type may ask of a pool.

Cinder's scheduler compares `capabilities:gateway:driver` and the like with
the table `gateway` of each pool's stats. It leaves keys that begin with
`gateway:` to the driver, which is where `required` compares them: a volume
that was sent to a pool that is not meant is refused, and scheduled again.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.client import native
from gateway.frontends.cinder_driver.errors import Refusal
from gateway.frontends.cinder_driver.site import abilities

PREFIX = "gateway"
THICK = "gateway:thick"
THIN = "gateway:thin"
_PROVISIONING = "provisioning:type"
_TRUE = frozenset({"true", "1", "yes", "on", "t", "y"})
_IS = "<is>"
_IN = "<in>"
_OR = "<or>"

ABILITIES = (
    "resize",
    "snapshot",
    "snapshot_group",
    "restore",
    "restore_keeps_newer",
    "clone",
    "replicate",
    "thin",
    "thick",
    "crash_consistent",
)
"""What a type may ask for by `<is> True`, by the gateway's own names."""

PROPERTIES: Mapping[str, tuple[str, str, str]] = {
    "pool": ("Pool", "Name of the pool at the gateway.", "string"),
    "driver": ("Driver", "What the pool is made of: zfs, directory, qcow2, nfs, memory.", "string"),
    "ways": ("Ways", "By which hosts are led to volumes of the pool: <in> iscsi, <in> nfs, <in> local.", "string"),
    "volatile": ("Volatile", "Whether content is gone when the gateway ends.", "boolean"),
    "resize": ("Resize", "Volumes can grow.", "boolean"),
    "snapshot": ("Snapshots", "Volumes can have snapshots.", "boolean"),
    "snapshot_group": ("Group snapshots", "Snapshots of several volumes are one instant.", "boolean"),
    "restore": ("Restore", "Volumes are reverted in place, without copying.", "boolean"),
    "restore_keeps_newer": ("Restore keeps newer", "Reverting leaves newer snapshots alone.", "boolean"),
    "clone": ("Clone", "Volumes are cloned without copying.", "boolean"),
    "replicate": ("Replicate", "Volumes can be sent to another pool.", "boolean"),
    "thin": ("Thin", "Volumes without reserved space.", "boolean"),
    "thick": ("Thick", "Volumes with reserved space.", "boolean"),
    "crash_consistent": ("Crash consistent", "A snapshot is one instant of the whole volume.", "boolean"),
}
"""Key after the prefix -> title, description and type, as Cinder shows them."""


def facts(pool: native.Pool) -> dict[str, str | bool | list[str]]:
    """Give what a type can ask of a pool."""
    kind = abilities(pool)
    return {
        "pool": pool.name,
        "driver": pool.driver,
        "ways": list(kind.ways),
        "volatile": pool.volatile,
        **{name: name in kind.can for name in ABILITIES},
    }


def thick(specs: Mapping[str, str]) -> bool:
    """Tell whether a type asks for reserved space. Refusal when it asks for both."""
    wanted = true(specs.get(THICK, "")) or specs.get(_PROVISIONING) == "thick"
    if wanted and true(specs.get(THIN, "")):
        raise Refusal("InvalidVolumeType", reason="it asks for thin and for thick volumes")
    return wanted


def own(specs: Mapping[str, str]) -> Mapping[str, str]:
    """Give those that are left to the driver, without their prefix."""
    return {
        key.removeprefix(f"{PREFIX}:"): value
        for key, value in specs.items()
        if key.startswith(f"{PREFIX}:") and key not in {THICK, THIN}
    }


def required(specs: Mapping[str, str], pool: native.Pool) -> None:
    """Raise Refusal unless a pool has what a type asks for."""
    known = facts(pool)
    for key, wanted in own(specs).items():
        if key not in known:
            raise Refusal("InvalidVolumeType", reason=f"{PREFIX}:{key} is nothing that a pool could have")
        values = known[key]
        if not any(_fits(value, wanted) for value in (values if isinstance(values, list) else [values])):
            raise Refusal(
                "VolumeDriverException",
                message=f"the type wants {PREFIX}:{key} {wanted!r}, which the pool {pool.name} does not have",
            )


def _fits(value: str | bool, wanted: str) -> bool:
    """Tell whether a value is the one wanted, in those of Cinder's operators that texts and flags have."""
    first, _, rest = wanted.partition(" ")
    if isinstance(value, bool):
        return true(wanted) is value
    if first == _IN:
        return rest.strip() in value
    if first == _OR:
        return value in (part.strip() for part in rest.split(_OR))
    return value == wanted


def true(wanted: str) -> bool:
    """Tell whether a type wants something, as `<is> True` says it."""
    return wanted.removeprefix(_IS).strip().lower() in _TRUE
