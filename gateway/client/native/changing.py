"""Changes of the gateway's own resources. Each is sent once and waits for its end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from gateway.client.flows import Flow
from gateway.client.native.reading import SNAPSHOTS, VOLUMES, policy_path, snapshot_named, volume
from gateway.client.native.records import (
    Attached,
    ExportPolicy,
    Job,
    NewAttachment,
    NewClone,
    NewMember,
    NewVolume,
    Rule,
    SignedRequest,
    Signing,
    Snapshot,
    Volume,
)
from gateway.client.native.steps import ROOT, is_absent, made, send
from gateway.client.wire import ClientError, Reply, decode

_ATTACHED_AFTER = 10
"""So many changes at most lead to an attachment."""


class _Snapshots(msgspec.Struct, frozen=True):
    records: tuple[Snapshot, ...]


def create_volume(new: NewVolume) -> Flow[Volume]:
    """Make a volume and give it."""
    return (yield from made((yield from send("POST", VOLUMES, new)), Volume, VOLUMES))


def clone_volume(volume_id: str, new: NewClone) -> Flow[Volume]:
    """Make a clone of a volume, as it is or as a snapshot has it, and give it."""
    return (yield from made((yield from send("POST", f"{VOLUMES}/{volume_id}/clone", new)), Volume, VOLUMES))


def sign(volume_id: str, wanted: Signing) -> Flow[SignedRequest]:
    """Give a signed request for an object of a volume or snapshot."""
    answer = yield from send("POST", f"{VOLUMES}/{volume_id}/sign", wanted)
    assert isinstance(answer, Reply)  # noqa: S101 - no job signs
    return decode(answer, SignedRequest)


def change_volume(volume_id: str, values: Mapping[str, Any]) -> Flow[Volume]:
    """Set what is given and give the volume as it is then.

    Names are those of `Volume` that can be changed: name, size, comment,
    labels, path (None withdraws it), export_policy, multi_attach, state.
    """
    return (yield from _changed("PATCH", f"{VOLUMES}/{volume_id}", volume_id, dict(values)))


def restore_volume(volume_id: str, snapshot_id: str, *, discard_newer: bool = False) -> Flow[Volume]:
    """Bring the content of a snapshot back, and give the volume. `discard_newer`: later snapshots may go."""
    body = {"snapshot": snapshot_id, "discard_newer": discard_newer}
    return (yield from _changed("POST", f"{VOLUMES}/{volume_id}/restore", volume_id, body))


def move_volume(volume_id: str, pool: str) -> Flow[Volume]:
    """Take a volume to another pool, by name, and give it as it is there."""
    return (yield from _changed("POST", f"{VOLUMES}/{volume_id}/move", volume_id, {"pool": pool}))


def delete_volume(volume_id: str, *, force: bool = False) -> Flow[None]:
    """Delete a volume; one that is not there is no error.

    What snapshots and clones need of it stays until they are gone. `force` cuts off who uses it.
    """
    yield from _removed(f"{VOLUMES}/{volume_id}", "volume", flags={"force": force})


def create_snapshot(
    volume_id: str, name: str, *, labels: Mapping[str, str] | None = None, comment: str = ""
) -> Flow[Snapshot]:
    """Take a snapshot and give it."""
    body = {"name": name, "labels": dict(labels or {}), "comment": comment}
    return (yield from made((yield from send("POST", f"{VOLUMES}/{volume_id}/snapshots", body)), Snapshot, SNAPSHOTS))


def create_snapshot_group(members: Iterable[NewMember]) -> Flow[tuple[Snapshot, ...]]:
    """Take snapshots of several volumes at one instant and give them, in the order of the members."""
    wanted = tuple(members)
    answer = yield from send("POST", f"{ROOT}/snapshot-groups", {"members": wanted})
    if isinstance(answer, Reply):
        return decode(answer, _Snapshots).records
    found = []
    for member in wanted:
        taken = yield from snapshot_named(member.volume, member.name)
        if taken is None:
            raise ClientError(0, "", f"the snapshot {member.name!r} was taken and is gone")
        found.append(taken)
    return tuple(found)


def change_snapshot(snapshot_id: str, values: Mapping[str, Any]) -> Flow[Snapshot]:
    """Set what is given of name, labels and comment, and give the snapshot as it is then."""
    answer = yield from send("PATCH", f"{SNAPSHOTS}/{snapshot_id}", dict(values))
    return (yield from made(answer, Snapshot, SNAPSHOTS))


def delete_snapshot(snapshot_id: str, *, retire: bool = False) -> Flow[None]:
    """Delete a snapshot; one that is not there is no error.

    One that clones hang on is in use, or (`retire`) nobody sees it any more and it goes with the last of them.
    """
    yield from _removed(f"{SNAPSHOTS}/{snapshot_id}", "snapshot", flags={"retire": True} if retire else {})


def attach(volume_id: str, new: NewAttachment) -> Flow[Attached]:
    """Attach a volume to a node and give the way to its bytes. The same again gives the same."""
    for _ in range(_ATTACHED_AFTER):
        answer = yield from send("POST", f"{VOLUMES}/{volume_id}/attachments", new)
        if not isinstance(answer, Job):
            return decode(answer, Attached)
    raise ClientError(0, "", "the volume was attached, and no way to it was told")


def detach(volume_id: str, node: str, *, force: bool = True) -> Flow[None]:
    """End a node's attachment; one that is not there is no error. `force`: also while the node is connected."""
    path = f"{VOLUMES}/{volume_id}/attachments/{quote(node, safe='')}"
    yield from _removed(path, "attachment", "volume", flags={"force": force})


def set_export_policy(tenant: str, name: str, rules: Sequence[Rule]) -> Flow[ExportPolicy]:
    """Make a tenant's export policy, or replace all of its rules, and give it."""
    answer = yield from send("PUT", policy_path(tenant, name), {"rules": list(rules)})
    return (yield from made(answer, ExportPolicy, ""))


def delete_export_policy(tenant: str, name: str) -> Flow[None]:
    """Delete a tenant's export policy; one that is not there is no error."""
    yield from _removed(policy_path(tenant, name), "export policy")


def _changed(method: str, path: str, volume_id: str, body: dict[str, Any]) -> Flow[Volume]:
    answer = yield from send(method, path, body)
    return decode(answer, Volume) if isinstance(answer, Reply) else (yield from volume(volume_id))


def _removed(path: str, *kinds: str, flags: Mapping[str, bool] = {}) -> Flow[None]:
    try:
        yield from send("DELETE", path, flags=flags)
    except ClientError as error:
        if not any(is_absent(error, kind) for kind in kinds):
            raise
