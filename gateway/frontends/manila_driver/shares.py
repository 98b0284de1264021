"""What becomes of a share at the gateway: flows, each of which may be repeated after its answer was lost."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from gateway.client import ClientError, Flow, native
from gateway.client.flows import Listing, page
from gateway.client.native import NewClone, NewVolume, Volume
from gateway.client.wire import Pause
from gateway.frontends.manila_driver.access import Granted, granted, without
from gateway.frontends.manila_driver.locations import locations
from gateway.frontends.manila_driver.naming import MANAGED, Share, unmarked
from gateway.frontends.manila_driver.refusals import Refusal, WouldLoseData

_FIRST_POLL_S = 0.05
_LAST_POLL_S = 1.0
_MOVING = frozenset({"creating", "deleting"})


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A share's volume, and where clients mount it."""

    volume: Volume
    locations: list[dict[str, Any]]


def find(share: Share) -> Flow[Volume | None]:
    """Give a share's volume; None when there is none that bears its mark."""
    if share.volume_id is not None:
        try:
            known = yield from native.volume(share.volume_id)
        except ClientError as error:
            if not native.is_absent(error, "volume"):
                raise
        else:
            if share.owns(known.labels):
                return known
    named = yield from native.volume_named(share.name, tenant=share.tenant)
    return named if named is not None and share.owns(named.labels) else None


def require(share: Share) -> Flow[Volume]:
    """Give a share's volume; ClientError when it is not there."""
    found = yield from find(share)
    if found is None:
        raise absent(share)
    return found


def absent(share: Share) -> ClientError:
    """Give the error that says what the gateway says of volumes that are not there."""
    return ClientError(
        0, "NotFound", f"there is no volume {share.name!r}", fields={"kind": "volume", "ref": share.name}
    )


def create(share: Share, *, pool: str, size: int, thick: bool = False) -> Flow[Made]:
    """Make a share of `size` bytes that nobody may reach yet."""
    new = NewVolume(
        name=share.name,
        tenant=share.tenant,
        pool=pool,
        size=size,
        thick=thick,
        labels=share.labels,
        path=share.path,
        export_policy=share.name,
    )
    return (yield from _whole(share, native.ensure_volume(new, same=share.labels), size=size))


def create_from(share: Share, snapshot: native.Snapshot, *, pool: str, size: int) -> Flow[Made]:
    """Make a share of `size` bytes with the content of a snapshot, that nobody may reach yet."""
    source = yield from native.volume(snapshot.volume)
    if source.pool != pool:
        raise Refusal(f"a snapshot in pool {source.pool} cannot become a share in pool {pool}")
    new = NewClone(
        name=share.name,
        snapshot=snapshot.id,
        size=max(size, source.size),
        labels=share.labels,
        path=share.path,
        export_policy=share.name,
    )
    return (yield from _whole(share, native.ensure_clone(source.id, new, same=share.labels), size=size))


def delete(share: Share) -> Flow[None]:
    """Delete a share; one that is not there is no error. What snapshots and clones need of it goes with them.

    A volume that Manila failed to manage is let go.
    """
    pause = _FIRST_POLL_S
    while (volume := (yield from find(share))) is not None and volume.state in _MOVING:
        yield Pause(pause)
        pause = min(pause * 2, _LAST_POLL_S)
    if volume is not None and MANAGED in volume.labels and share.volume_id is None:
        # Manila never heard that it has this volume, and its owner would be surprised.
        yield from native.change_volume(volume.id, {"labels": unmarked(volume.labels)})
    elif volume is not None:
        yield from native.delete_volume(volume.id)
    yield from _drop_policy(share)


def extend(share: Share, size: int) -> Flow[None]:
    """Make a share at least `size` bytes large."""
    volume = yield from require(share)
    if volume.size < size:
        yield from native.change_volume(volume.id, {"size": size})


def shrink(share: Share, size: int) -> Flow[None]:
    """Make a share at most `size` bytes large; WouldLoseData when it holds more."""
    volume = yield from require(share)
    if volume.used > size:
        raise WouldLoseData
    if volume.size <= size:
        return
    try:
        yield from native.change_volume(volume.id, {"size": size})
    except ClientError as error:
        # What the gateway told of its use may be older than what clients have written.
        if error.code == "LimitExceeded" and error.fields.get("limit") == "size":
            raise WouldLoseData from error
        raise


def restore(share: Share, snapshot: native.Snapshot) -> Flow[Volume]:
    """Bring the content of a snapshot back, and give the volume, whose size stays. No other snapshot goes."""
    volume = yield from require(share)
    return (yield from native.restore_volume(volume.id, snapshot.id))


def set_access(
    share: Share, access_rules: Iterable[Mapping[str, Any]], added: Collection[str] = ()
) -> Flow[Mapping[str, str]]:
    """Let exactly those reach a share whom the rules name; give the ids of rules that cannot be, with the reason."""
    volume = yield from require(share)
    whole = yield from _put_rules(share, granted(access_rules, added))
    if volume.export_policy != share.name:
        yield from native.change_volume(volume.id, {"export_policy": share.name})
    return whole.refused


def publish(share: Share, volume: Volume) -> Flow[bool]:
    """See that a share's volume is published; tell whether it was not, so that its access rules have to be set."""
    lacking: dict[str, Any] = {}
    if volume.path is None:
        lacking["path"] = share.path
    if volume.export_policy is None:
        yield from own_policy(share)
        lacking["export_policy"] = share.name
    if lacking:
        yield from native.change_volume(volume.id, lacking)
    return bool(lacking)


def own_policy(share: Share) -> Flow[None]:
    """See that a share's policy is there; one that is keeps its rules."""
    try:
        yield from native.export_policy(share.tenant, share.name)
    except ClientError as error:
        if not native.is_absent(error, "export policy"):
            raise
        yield from native.set_export_policy(share.tenant, share.name, ())


def every(listing: Listing[Volume]) -> Flow[list[Volume]]:
    """Give all that a question has as answers."""
    part = yield from page(listing)
    found = list(part.records)
    while part.following:
        part = yield from page(listing, part.following)
        found += part.records
    return found


def published(volume: Volume) -> Flow[list[dict[str, Any]]]:
    """Give the export locations of a volume; Refusal when it has none."""
    found = locations((yield from native.handles(volume.id)))
    if not found:
        raise Refusal(f"volume {volume.name} is not served over NFS")
    return found


def _whole(share: Share, maker: Flow[Volume], *, size: int) -> Flow[Made]:
    """Make a share with all that belongs to it, or nothing of it."""
    try:
        yield from own_policy(share)
        volume = yield from maker
        if volume.size != size:
            volume = yield from native.change_volume(volume.id, {"size": size})
        places = yield from published(volume)
    except (ClientError, Refusal) as error:
        # Where nobody answers, nothing can be undone either.
        if isinstance(error, Refusal) or not native.is_lost(error):
            yield from _undo(share)
        raise
    return Made(volume=volume, locations=places)


def _undo(share: Share) -> Flow[None]:
    # What led here is the error to tell; what cannot be undone now goes when the share is deleted.
    with suppress(ClientError):
        yield from delete(share)


def _put_rules(share: Share, whole: Granted) -> Flow[Granted]:
    """Set the rules of a share's policy, but for those that the gateway cannot serve."""
    while True:
        try:
            yield from native.set_export_policy(share.tenant, share.name, whole.rules)
        except ClientError as error:
            client = error.fields.get("value")
            if error.code != "InvalidArgument" or not any(rule.clients == (client,) for rule in whole.rules):
                raise
            whole = without(whole, str(client), str(error.fields.get("reason") or error.message))
        else:
            return whole


def _drop_policy(share: Share) -> Flow[None]:
    try:
        yield from native.delete_export_policy(share.tenant, share.name)
    except ClientError as error:
        # Somebody gave it to another volume, which goes on to need it.
        if error.code != "InUse":
            raise
