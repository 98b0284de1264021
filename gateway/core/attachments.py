"""Use cases of attachments: which node may reach a volume, and by which way.

An attachment belongs to its volume's record, and so to its note: attaching is
a change of the volume like any other, and survives what volumes survive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import msgspec

from gateway.core import errors
from gateway.core.catalog import walk
from gateway.core.change import Plan, Started
from gateway.core.context import Core
from gateway.core.exports import NfsServer
from gateway.core.model import Attachment, AttachMode, HostGroup, Transport, Volume, VolumeKind, VolumeState, utc_now
from gateway.core.notes import require_short
from gateway.core.ownership import Access, may
from gateway.core.policies import export_policy_named
from gateway.core.query import Compare, Op, Order, Query
from gateway.core.replicas import require_writable
from gateway.core.targets import check_initiator
from gateway.core.tenants import DEFAULT_POLICY
from gateway.core.volumes import check_text, settled

LUN_MIN, LUN_MAX = 1, 255
"""Logical unit numbers. Unit 0 of a target is its controller; beyond 255 initiators count in ways of their own."""

_NODE_MAX = 255
_DEVICE_MAX = 255
_WAYS: Mapping[VolumeKind, frozenset[Transport]] = {
    VolumeKind.FILESYSTEM: frozenset({Transport.NFS, Transport.LOCAL}),
    VolumeKind.BLOCK: frozenset(Transport),
    VolumeKind.OBJECTS: frozenset(),
    VolumeKind.TREE: frozenset(),
}
_HELD: Mapping[VolumeKind, str] = {
    VolumeKind.FILESYSTEM: "files",
    VolumeKind.BLOCK: "blocks",
    VolumeKind.OBJECTS: "objects",
    VolumeKind.TREE: "a tree under version control",
}
_HARD_TO_SAY = re.compile(r"[\"'\\#,:\s]")
"""What configurations of export servers, nodes' tables of mounts, or lists of these cannot say in a path."""


class NewAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says about an attachment.

    `node` names who attaches; with `host_group_id` it is left empty.
    `lun` None takes the lowest free number of the node. `shared`: whether other
    nodes may write at the same time although the volume does not say so; None:
    files yes, blocks no. `preempt`: other nodes' attachments end, also while
    they use it; what a host has mounted of blocks stays, and is in the way. For
    `clients` and `device` see `Attachment`.
    """

    node: str = ""
    transport: Transport = Transport.ISCSI
    mode: AttachMode = AttachMode.READ_WRITE
    host_group_id: UUID | None = None
    initiators: tuple[str, ...] = ()
    lun: int | None = None
    clients: tuple[str, ...] = ()
    device: str = ""
    shared: bool | None = None
    preempt: bool = False

    @property
    def key(self) -> str:
        """Give the node as it is stored."""
        return self.node if self.host_group_id is None else str(self.host_group_id)


async def attach(core: Core, volume_id: UUID, new: NewAttachment, *, description: str) -> Started:
    """Start attaching a volume to a node.

    The same attachment again publishes what is not published yet, and takes
    over the clients and the device if any are given. A volume that is to be
    reached over NFS gets a path and the tenant's default export policy where it
    has none.

    InUse when another node holds the volume, or has its blocks mounted, and not
    both only read, unless the volume is multi-attach or the attachment shared;
    AlreadyExists when the node has another kind of attachment of it, or the
    number is taken; InvalidState unless the volume is online, and to write to one that only follows another;
    Unsupported when
    there is no such way to a volume of its kind; PermissionDenied when other
    initiators than before would reach, as this node, what the caller may not.
    """
    new = _checked(new)
    wanted = Attachment(
        id=uuid4(),
        node=new.key,
        created=utc_now(),
        transport=new.transport,
        mode=new.mode,
        host_group_id=new.host_group_id,
        initiators=new.initiators,
        clients=new.clients,
        device=new.device,
    )

    async def plan() -> Plan:
        before = await settled(core, volume_id)
        if new.mode is AttachMode.READ_WRITE:
            require_writable(before, action="attach")
        await _require_way(core, before, new)
        after = msgspec.structs.replace(before, attachments=await _joined(core, before, wanted, new))
        if new.transport is Transport.NFS and before.state is VolumeState.ONLINE:
            after = await _published(core, after)
        require_short(after, "attachments", "junction_path")
        return Plan(
            operation="volume.update",
            description=description,
            pool_id=before.pool_id,
            before=before,
            after=after,
            force=new.preempt,
        )

    # Two volumes that are attached to one node at once must not get one number.
    return await core.start(
        {volume_id, uuid5(NAMESPACE_URL, f"node:{new.key}"), *await _path_keys(core, volume_id, new)}, plan
    )


async def detach(core: Core, volume_id: UUID, node: str | None, *, description: str, force: bool = False) -> Started:
    """Start ending a node's attachment, or those of every node (None).

    NotFound when there is none; InUse while blocks of it are connected, unless by force.
    """

    async def plan() -> Plan:
        before = await settled(core, volume_id, broken_too=True)
        kept = tuple(attachment for attachment in before.attachments if node not in {None, attachment.node})
        if len(kept) == len(before.attachments):
            raise errors.NotFound(kind="attachment", ref=node or before.name)
        return Plan(
            operation="volume.update",
            description=description,
            pool_id=before.pool_id,
            before=before,
            after=msgspec.structs.replace(before, attachments=kept),
            force=force,
        )

    return await core.start({volume_id}, plan)


def _checked(new: NewAttachment) -> NewAttachment:
    """Give the attachment with names as they are compared; InvalidArgument for what cannot be."""
    if not new.key:
        raise errors.InvalidArgument(field="node", value="", reason="must not be empty")
    check_text("node", new.node, _NODE_MAX)
    check_text("device", new.device, _DEVICE_MAX)
    if new.lun is not None and not LUN_MIN <= new.lun <= LUN_MAX:
        raise errors.InvalidArgument(field="lun", value=new.lun, reason=f"must be {LUN_MIN} to {LUN_MAX}")
    names = tuple(dict.fromkeys(check_initiator("initiators", name) for name in new.initiators))
    clients = tuple(dict.fromkeys(_address(client) for client in new.clients))
    return msgspec.structs.replace(new, initiators=names, clients=clients)


def _address(client: str) -> str:
    """Give an address as an exporter sees who comes from it: without a zone, and version 4 by itself."""
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        raise errors.InvalidArgument(field="clients", value=client[:64], reason="is no address") from None
    return str(getattr(address, "ipv4_mapped", None) or address)


async def _require_way(core: Core, volume: Volume, new: NewAttachment) -> None:
    """Raise Unsupported where the transport does not lead to the volume, NotFound for no host group of its tenant."""
    reason = ""
    over_nfs, blocks = new.transport is Transport.NFS, volume.kind is VolumeKind.BLOCK
    unserved = over_nfs and core.publisher.files_by(volume.pool_id, volume.kind) is None
    if new.transport not in _WAYS[volume.kind] or (unserved and blocks):
        held = _HELD[volume.kind]
        reason = f"the volume holds {held}, which cannot be reached over {new.transport}"
    elif unserved:
        reason = "there is no NFS exporter that can reach its files"
    if reason:
        raise errors.Unsupported(capability="attach", backend=core.pools.get(volume.pool_id).name, reason=reason)
    if new.host_group_id is not None:
        group = await core.get(HostGroup, new.host_group_id)
        if group.tenant_id != volume.tenant_id:
            raise errors.NotFound(kind="host group", ref=str(new.host_group_id))


async def _joined(core: Core, volume: Volume, wanted: Attachment, new: NewAttachment) -> tuple[Attachment, ...]:
    """Give a volume's attachments with the one wanted, or with the one that the node has, brought up to date."""
    kept = tuple(one for one in volume.attachments if one.node == new.key or not new.preempt)
    present = _present(volume, new)
    if present is not None:
        clients, device = new.clients or present.clients, new.device or present.device
        again = msgspec.structs.replace(present, clients=clients, device=device)
        return tuple(again if one is present else one for one in kept)
    if volume.state is not VolumeState.ONLINE:
        raise errors.InvalidState(kind="volume", ref=volume.name, state=volume.state, action="attach")
    _fence(volume, kept, new)
    if new.transport is Transport.ISCSI:
        there = await _of_node(core, new)
        _require_own_target(core, volume, there, new)
        wanted = msgspec.structs.replace(wanted, lun=_number([attachment for _, attachment in there], new))
    return (*kept, wanted)


def _present(volume: Volume, new: NewAttachment) -> Attachment | None:
    """Give the node's attachment when it is the one wanted; AlreadyExists when it is another."""
    for attachment in volume.attachments:
        if attachment.node == new.key:
            same = (attachment.transport, attachment.mode, attachment.initiators) == (
                new.transport,
                new.mode,
                new.initiators,
            )
            if same and new.lun in {None, attachment.lun}:
                return attachment
            raise errors.AlreadyExists(kind="attachment", name=new.key, field="node", same_spec=False)
    return None


def _fence(volume: Volume, others: tuple[Attachment, ...], new: NewAttachment) -> None:
    """Raise InUse when others than the node use the volume, or may, and one of them writes."""
    files = volume.kind is VolumeKind.FILESYSTEM
    if volume.multi_attach or (files if new.shared is None else new.shared):
        return
    for attachment in others:
        if AttachMode.READ_WRITE in {attachment.mode, new.mode}:
            raise errors.InUse(kind="volume", ref=volume.name, by="attachments", action="attach")
    for mount in () if files else volume.mounts:
        if mount.node != new.key and (new.mode is AttachMode.READ_WRITE or not mount.read_only):
            raise errors.InUse(kind="volume", ref=volume.name, by="mounts", action="attach")


async def _published(core: Core, volume: Volume) -> Volume:
    """Give a volume with a path and a policy by which the exporter has it, where it has none."""
    if core.publisher.files_by(volume.pool_id) is not NfsServer.EXPORTER:
        return volume
    if volume.export_policy_id is None:
        policy = await export_policy_named(core, volume.tenant_id, DEFAULT_POLICY)
        volume = msgspec.structs.replace(volume, export_policy_id=policy.id)
    if volume.junction_path is None:
        volume = msgspec.structs.replace(volume, junction_path=await _free_path(core, volume))
    return volume


async def _path_keys(core: Core, volume_id: UUID, new: NewAttachment) -> frozenset[UUID]:
    """Give what else is locked: two volumes that are published at once must not both find one path free."""
    if new.transport is not Transport.NFS:
        return frozenset()
    volume = await core.get(Volume, volume_id)
    return frozenset({uuid5(NAMESPACE_URL, f"path:/{volume.name.casefold()}")})


async def _free_path(core: Core, volume: Volume) -> str:
    """Give a path that nobody has: the name, or the id where that is taken or has what cannot be said."""
    path = f"/{volume.name}"
    taken = _HARD_TO_SAY.search(path) or await core.find(Volume, junction_key=path.casefold()) is not None
    return f"/{volume.id}" if taken else path


async def _of_node(core: Core, new: NewAttachment) -> list[tuple[Volume, Attachment]]:
    """Give what the node has already, with the volumes."""
    query = Query(where=Compare("attachment.node", Op.EQ, new.key), order=(Order("id"),))
    return [
        (volume, attachment)
        async for volume in walk(core.catalog, Volume, query)
        for attachment in volume.attachments
        if attachment.node == new.key
    ]


def _require_own_target(
    core: Core, volume: Volume, there: Iterable[tuple[Volume, Attachment]], new: NewAttachment
) -> None:
    """Raise PermissionDenied when the node has a volume that the caller may not change, by other initiators.

    All that a node has over iSCSI is behind one target, and whoever logs in to that sees all of it.
    """
    if core.caller is None or new.host_group_id is not None:
        return
    for other, attachment in there:
        if (
            other.tenant_id == volume.tenant_id
            and attachment.transport is Transport.ISCSI
            and attachment.host_group_id is None
            and attachment.initiators != new.initiators
            and not may(core.caller, other.ownership, Access.WRITE)
        ):
            raise errors.PermissionDenied(action=f"log in as node {new.node} by other initiators")


def _number(there: Iterable[Attachment], new: NewAttachment) -> int:
    """Give the number asked for, or the lowest free one; AlreadyExists when it is taken, LimitExceeded when all are."""
    taken = {attachment.lun for attachment in there}
    if new.lun is not None:
        if new.lun in taken:
            raise errors.AlreadyExists(kind="attachment", name=str(new.lun), field="lun")
        return new.lun
    free = next((number for number in range(LUN_MIN, LUN_MAX + 1) if number not in taken), None)
    if free is None:
        raise errors.LimitExceeded(limit="luns", value=LUN_MAX + 1, minimum=0, maximum=LUN_MAX)
    return free
