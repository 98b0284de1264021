"""The gateway's own resources, in the core's words: what drivers that live in other programs are made of.

As everywhere in `gateway.client` these are descriptions, which a `Client` carries out::

    with Client("https://127.0.0.1:8443", user="admin", password=...) as client:
        new = native.NewVolume(name="disk", tenant="svm1", pool="fast", size=1 << 30, kind="block")
        made = client.run(native.ensure_volume(new, same={"cinder.volume": "..."}))
        where = client.run(native.attach(made.id, native.NewAttachment(node="rack1", ways=("local", "iscsi"))))

Changes wait for their end. The `code` of a `ClientError` is the name of a class
of `gateway.core.errors`, its `fields` are the error's; a code that is empty
with status 0 means that nobody knows what became of the request.
"""

from __future__ import annotations

from gateway.client.native.changing import (
    attach,
    change_snapshot,
    change_volume,
    clone_volume,
    create_snapshot,
    create_snapshot_group,
    create_volume,
    delete_export_policy,
    delete_snapshot,
    delete_volume,
    detach,
    move_volume,
    restore_volume,
    set_export_policy,
)
from gateway.client.native.ensuring import ensure_clone, ensure_snapshot, ensure_snapshot_group, ensure_volume
from gateway.client.native.reading import (
    export_policy,
    handles,
    pools,
    snapshot,
    snapshot_handles,
    snapshot_named,
    snapshots,
    tenants,
    volume,
    volume_named,
    volumes,
)
from gateway.client.native.records import (
    Abilities,
    Attached,
    Attachment,
    ExportPolicy,
    Job,
    JobError,
    Login,
    NewAttachment,
    NewClone,
    NewMember,
    NewVolume,
    Origin,
    Pool,
    Rule,
    Snapshot,
    Tenant,
    Volume,
)
from gateway.client.native.steps import finished, is_absent, is_lost, is_unknown, job
from gateway.client.records import Handle

__all__ = [
    "Abilities",
    "Attached",
    "Attachment",
    "ExportPolicy",
    "Handle",
    "Job",
    "JobError",
    "Login",
    "NewAttachment",
    "NewClone",
    "NewMember",
    "NewVolume",
    "Origin",
    "Pool",
    "Rule",
    "Snapshot",
    "Tenant",
    "Volume",
    "attach",
    "change_snapshot",
    "change_volume",
    "clone_volume",
    "create_snapshot",
    "create_snapshot_group",
    "create_volume",
    "delete_export_policy",
    "delete_snapshot",
    "delete_volume",
    "detach",
    "ensure_clone",
    "ensure_snapshot",
    "ensure_snapshot_group",
    "ensure_volume",
    "export_policy",
    "finished",
    "handles",
    "is_absent",
    "is_lost",
    "is_unknown",
    "job",
    "move_volume",
    "pools",
    "restore_volume",
    "set_export_policy",
    "snapshot",
    "snapshot_handles",
    "snapshot_named",
    "snapshots",
    "tenants",
    "volume",
    "volume_named",
    "volumes",
]
