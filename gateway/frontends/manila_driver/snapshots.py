"""What becomes of a share's snapshots at the gateway: flows that may be repeated."""

from __future__ import annotations

from uuid import UUID

from gateway.client import ClientError, Flow, native
from gateway.frontends.manila_driver import shares
from gateway.frontends.manila_driver.naming import MANAGED, Share, Snapshot, unmarked


def find(share: Share, snapshot: Snapshot) -> Flow[native.Snapshot | None]:
    """Give the gateway's snapshot; None when there is none that bears the mark."""
    if is_id(snapshot.location):
        try:
            known = yield from native.snapshot(snapshot.location)
        except ClientError as error:
            if not native.is_absent(error, "snapshot"):
                raise
        else:
            if snapshot.owns(known.labels):
                return known
    volume = yield from shares.find(share)
    if volume is None:
        return None
    named = yield from native.snapshot_named(volume.id, snapshot.name)
    return named if named is not None and snapshot.owns(named.labels) else None


def require(share: Share, snapshot: Snapshot) -> Flow[native.Snapshot]:
    """Give the gateway's snapshot; ClientError when it is not there."""
    found = yield from find(share, snapshot)
    if found is None:
        fields = {"kind": "snapshot", "ref": snapshot.name}
        raise ClientError(0, "NotFound", f"there is no snapshot {snapshot.name!r}", fields=fields)
    return found


def take(share: Share, snapshot: Snapshot) -> Flow[native.Snapshot]:
    """Take a snapshot of a share and give it."""
    volume = yield from shares.require(share)
    labels = snapshot.labels
    return (yield from native.ensure_snapshot(volume.id, snapshot.name, same=labels, labels=labels))


def delete(share: Share, snapshot: Snapshot) -> Flow[None]:
    """Delete a snapshot; one that is not there is no error. What shares that were made of it need goes with them.

    One that Manila failed to manage is let go.
    """
    found = yield from find(share, snapshot)
    if found is None:
        return
    if MANAGED in found.labels and snapshot.location != found.id:
        yield from native.change_snapshot(found.id, {"labels": unmarked(found.labels)})
    else:
        yield from native.delete_snapshot(found.id, retire=True)


def is_id(text: str) -> bool:
    """Tell whether a text is an id, rather than a name."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True
