"""What `Create` asks for: a name, plain or a name string of openstorage, and a map of options.

The grammar is that of `gateway.frontends.openstorage.spec`, with four options
of this door beside: pool, tenant, kind and from. What no pool can do and a
user must not take for done is refused; what only says how fast or how small
data should be kept is a wish, which is kept and shown but not followed.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping

import msgspec

from gateway.core.errors import InvalidArgument
from gateway.frontends.kinds import KindChoice
from gateway.frontends.openstorage.spec import FsType, Parsed, parse_request, parse_size, render_options, split_name
from gateway.frontends.openstorage.spec.options import OPTIONS, default, find

POOL, TENANT, KIND, FROM = "pool", "tenant", "kind", "from"
OWN = frozenset({POOL, TENANT, KIND, FROM})
"""The options of this door."""

SPEC = "docker.spec"
"""The annotation with a volume's `Kept` as JSON."""

READ_ONLY = "ro"

_ALIKE = 0.75
_FORMATS: Mapping[FsType, str] = {
    FsType.BTRFS: "btrfs",
    FsType.EXT4: "ext4",
    FsType.NFS: "nfs",
    FsType.VFS: "vfs",
    FsType.XFS: "xfs",
    FsType.XFSV2: "xfs",
    FsType.ZFS: "zfs",
}
_ENCRYPTS = "no pool encrypts volumes by itself"
_PROXY = "proxy volumes are not supported"
_PUBLISH = "this door publishes nothing to other hosts: do it through another one"
_SCHEDULE = "this door keeps no schedules: give the volume a snapshot policy through another one"
_REFUSED: Mapping[str, str] = {
    "secure": _ENCRYPTS,
    "secret_key": _ENCRYPTS,
    "snap_schedule": _SCHEDULE,
    "snap_interval": _SCHEDULE,
    "repl": "pools keep one copy as far as this door knows",
    "sticky": "this door could not undo it",
    "storagepolicy": "this door has no storage policies",
    "createoptions": "file systems are made in the usual way",
    "export": _PUBLISH,
    "export_options": _PUBLISH,
    "winshare": _PUBLISH,
    "sharedv4": _PUBLISH,
    "sharedv4_mount_options": _PUBLISH,
    "sharedv4_svc_name": _PUBLISH,
    "sharedv4_svc_type": _PUBLISH,
    "sharedv4_external_access": _PUBLISH,
    "sharedv4_failover_strategy": _PUBLISH,
    "backend": _PROXY,
    "proxy_endpoint": _PROXY,
    "proxy_nfs_subpath": _PROXY,
    "proxy_nfs_exportpath": _PROXY,
    "pure_fa_pod_name": _PROXY,
    "pure_export_rules": _PROXY,
    "pure_nfs_endpoint": _PROXY,
}
"""Option -> why it cannot be had. Saying that one does not want it is no wish for it."""

_FOLLOWED = frozenset({"size", "fs", "shared", "mount_options", *_REFUSED})


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the door keeps with a volume: how it is mounted, and the wishes that nothing follows."""

    format: str = ""
    mount_options: dict[str, str] = {}
    wishes: dict[str, str] = {}

    def text(self) -> str:
        """Give it as an annotation."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def of(cls, annotations: Mapping[str, str]) -> Kept:
        """Give that of a volume; nothing for one that was made through another door."""
        text = annotations.get(SPEC)
        return cls() if text is None else msgspec.json.decode(text, type=cls)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a volume is to be. What is empty or None was not said.

    `source` is what it is to be a copy of: VOLUME, VOLUME@SNAPSHOT, or the id
    of either. `kept.format` is the type of file system.
    """

    name: str
    size: int | None = None
    pool: str = ""
    tenant: str = ""
    kind: KindChoice = KindChoice.AUTO
    source: str = ""
    shared: bool = False
    labels: dict[str, str] = {}
    kept: Kept = Kept()


def name_of(text: str) -> str:
    """Give the name of the volume that a request means; InvalidArgument when there is none."""
    found = split_name(text, own=OWN)
    name = text if found is None else found[0]
    if not name:
        raise InvalidArgument(field="name", value="", reason="must not be empty")
    return name


def wanted(
    text: str, options: Mapping[str, str], *, pools: Collection[str] = (), tenants: Collection[str] = ()
) -> Wanted:
    """Give what a name and a map ask for together; the name string counts first. InvalidArgument on the option.

    `pools` and `tenants` are those that there are: an option that is spelt
    nearly like `pool` is no label when it names one of them.
    """
    _check_spelling(options, pools=pools, tenants=tenants)
    parsed = parse_request(text, options, own=OWN)
    own = parsed.own
    if not parsed.name:
        raise InvalidArgument(field="name", value="", reason="must not be empty")
    if parsed.token is not None or parsed.token_secret is not None:
        raise InvalidArgument(field="token", reason="means nothing here: whoever reaches this door may use it")
    _check_refused(parsed)
    source = own.get(FROM, "")
    if source and parsed.parent:
        raise InvalidArgument(field=FROM, value=source[:64], reason="is given beside parent, which means the same")
    mount_options = parsed.spec.mount_options
    return Wanted(
        name=parsed.name,
        size=_size(parsed),
        pool=own.get(POOL, ""),
        tenant=own.get(TENANT, ""),
        kind=_kind(own.get(KIND, "")),
        source=source or parsed.parent,
        shared=parsed.spec.shared,
        labels=parsed.labels,
        kept=Kept(
            format=_format(parsed),
            mount_options={} if mount_options is None else mount_options.options,
            wishes=_wishes(parsed),
        ),
    )


def _size(parsed: Parsed) -> int | None:
    if "size" not in parsed.given:
        return None
    if not parsed.spec.size:
        raise InvalidArgument(field="size", value=0, reason="must not be zero")
    return parsed.spec.size


def _kind(text: str) -> KindChoice:
    try:
        return KindChoice(text.lower() or KindChoice.AUTO)
    except ValueError:
        known = ", ".join(KindChoice)
        raise InvalidArgument(field=KIND, value=text[:64], reason=f"must be one of {known}") from None


def _format(parsed: Parsed) -> str:
    if "fs" not in parsed.given:
        return ""
    if parsed.spec.format not in _FORMATS:
        known = ", ".join(sorted(set(_FORMATS.values())))
        raise InvalidArgument(field="fs", value=parsed.spec.format.name.lower(), reason=f"must be one of {known}")
    return _FORMATS[parsed.spec.format]


def _check_refused(parsed: Parsed) -> None:
    for name, reason in _REFUSED.items():
        path = OPTIONS[name].path
        if name in parsed.given and find(parsed.spec, path) != default(path):
            raise InvalidArgument(field=name, reason=f"cannot be had: {reason}")


def _wishes(parsed: Parsed) -> dict[str, str]:
    given = parsed.given - _FOLLOWED
    return render_options(msgspec.structs.replace(parsed, given=given, labels={}, parent="", own={}))


def _check_spelling(options: Mapping[str, str], *, pools: Collection[str], tenants: Collection[str]) -> None:
    """Refuse a label that must be a misspelt option: its name nearly is one's, and its value is one's."""
    legible: Mapping[str, Callable[[str], bool]] = {
        "size": _is_size,
        POOL: lambda text: text in pools,
        TENANT: lambda text: text in tenants,
        KIND: lambda text: text.lower() in set(KindChoice),
    }
    for key, text in options.items():
        if key in OPTIONS or key in OWN:
            continue
        lowered = key.lower()
        near = difflib.get_close_matches(lowered, legible, n=1, cutoff=_ALIKE)
        meant = lowered if lowered in {*OWN, "fs"} else near[0] if near and legible[near[0]](text) else None
        if meant is not None:
            reason = f"is no option; did you mean {meant!r}? Write labels={key[:64]}=... for a label of this name"
            raise InvalidArgument(field=key[:64], value=text[:64], reason=reason)


def _is_size(text: str) -> bool:
    try:
        return parse_size(text) > 0
    except ValueError:
        return False
