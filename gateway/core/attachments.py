"""Use cases of attachments: which node may reach the blocks of a volume.

An attachment belongs to its volume's record, and so to its note: attaching is
a change of the volume like any other, and survives what volumes survive.
"""

from __future__ import annotations

from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import msgspec

from gateway.core import errors
from gateway.core.catalog import walk
from gateway.core.change import Plan, Started
from gateway.core.context import Core
from gateway.core.model import (
    Attachment,
    AttachMode,
    HostGroup,
    Transport,
    Volume,
    VolumeKind,
    VolumeState,
    utc_now,
)
from gateway.core.query import Compare, Op, Order, Query
from gateway.core.targets import check_initiator
from gateway.core.volumes import check_text, settled

LUN_MIN, LUN_MAX = 1, 255
"""Logical unit numbers. Unit 0 of a target is its controller; beyond 255 initiators count in ways of their own."""

_NODE_MAX = 255


class NewAttachment(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller says about an attachment.

    `node` names who attaches; with `host_group_id` it is left empty.
    `lun` None takes the lowest free number of the node. `shared`: other nodes
    may write at the same time although the volume does not say so.
    """

    node: str = ""
    transport: Transport = Transport.ISCSI
    mode: AttachMode = AttachMode.READ_WRITE
    host_group_id: UUID | None = None
    initiators: tuple[str, ...] = ()
    lun: int | None = None
    shared: bool = False

    @property
    def key(self) -> str:
        """Give the node as it is stored."""
        return self.node if self.host_group_id is None else str(self.host_group_id)


async def attach(core: Core, volume_id: UUID, new: NewAttachment, *, description: str) -> Started:
    """Start attaching a block volume to a node. The same attachment again only publishes what is not published yet.

    InUse when another node holds the volume, or has it mounted, and not both
    only read, unless the volume is multi-attach or the attachment shared; AlreadyExists when the
    node has another kind of attachment of it, or the number is taken;
    InvalidState unless the volume is online; Unsupported for a volume of files.
    """
    new = _checked(new)
    attachment_id, now = uuid4(), utc_now()

    async def plan() -> Plan:
        before = await settled(core, volume_id)
        if before.kind is not VolumeKind.BLOCK:
            pool = core.pools.get(before.pool_id).name
            raise errors.Unsupported(capability="attach", backend=pool, reason="the volume holds files, not blocks")
        if new.host_group_id is not None:
            group = await core.get(HostGroup, new.host_group_id)
            if group.tenant_id != before.tenant_id:
                raise errors.NotFound(kind="host group", ref=str(new.host_group_id))
        present = _present(before, new)
        after = before
        if present is None:
            if before.state is not VolumeState.ONLINE:
                raise errors.InvalidState(kind="volume", ref=before.name, state=before.state, action="attach")
            _fence(before, new)
            attachment = Attachment(
                id=attachment_id,
                node=new.key,
                created=now,
                transport=new.transport,
                mode=new.mode,
                host_group_id=new.host_group_id,
                initiators=new.initiators,
                lun=await _number(core, new) if new.transport is Transport.ISCSI else None,
            )
            after = msgspec.structs.replace(before, attachments=(*before.attachments, attachment))
        return Plan(
            operation="volume.update", description=description, pool_id=before.pool_id, before=before, after=after
        )

    # Two volumes that are attached to one node at once must not get one number.
    return await core.start({volume_id, uuid5(NAMESPACE_URL, f"node:{new.key}")}, plan)


async def detach(core: Core, volume_id: UUID, node: str, *, description: str, force: bool = False) -> Started:
    """Start ending a node's attachment. NotFound when it has none; InUse while it is connected, unless by force."""

    async def plan() -> Plan:
        before = await settled(core, volume_id, broken_too=True)
        kept = tuple(attachment for attachment in before.attachments if attachment.node != node)
        if len(kept) == len(before.attachments):
            raise errors.NotFound(kind="attachment", ref=node)
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
    if new.lun is not None and not LUN_MIN <= new.lun <= LUN_MAX:
        raise errors.InvalidArgument(field="lun", value=new.lun, reason=f"must be {LUN_MIN} to {LUN_MAX}")
    names = tuple(dict.fromkeys(check_initiator("initiators", name) for name in new.initiators))
    return msgspec.structs.replace(new, initiators=names)


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


def _fence(volume: Volume, new: NewAttachment) -> None:
    if volume.multi_attach or new.shared:
        return
    for attachment in volume.attachments:
        if AttachMode.READ_WRITE in {attachment.mode, new.mode}:
            raise errors.InUse(kind="volume", ref=volume.name, by="attachments", action="attach")
    for mount in volume.mounts:
        if mount.node != new.key and (new.mode is AttachMode.READ_WRITE or not mount.read_only):
            raise errors.InUse(kind="volume", ref=volume.name, by="mounts", action="attach")


async def _number(core: Core, new: NewAttachment) -> int:
    """Give the number asked for, or the lowest free one; AlreadyExists when it is taken, LimitExceeded when all are."""
    query = Query(where=Compare("attachment.node", Op.EQ, new.key), order=(Order("id"),))
    taken = {
        attachment.lun
        async for volume in walk(core.catalog, Volume, query)
        for attachment in volume.attachments
        if attachment.node == new.key
    }
    if new.lun is not None:
        if new.lun in taken:
            raise errors.AlreadyExists(kind="attachment", name=str(new.lun), field="lun")
        return new.lun
    free = next((number for number in range(LUN_MIN, LUN_MAX + 1) if number not in taken), None)
    if free is None:
        raise errors.LimitExceeded(limit="luns", value=LUN_MAX + 1, minimum=0, maximum=LUN_MAX)
    return free
