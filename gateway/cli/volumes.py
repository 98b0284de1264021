"""`gateway volume ...` and `gateway clone ...`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from gateway.cli.session import Session, Size, connected, human
from gateway.client import Volume, hosts, native, volumes

_COLUMNS: Sequence[tuple[str, Callable[[Volume], object]]] = (
    ("NAME", lambda volume: volume.name),
    ("TENANT", lambda volume: volume.svm.name),
    ("POOL", lambda volume: ",".join(pool.name for pool in volume.aggregates)),
    ("SIZE", lambda volume: human(volume.size)),
    ("USED", lambda volume: human(volume.space.used)),
    ("STATE", lambda volume: volume.state),
    ("PATH", lambda volume: volume.nas.path or "-"),
)
_CLONE_COLUMNS: Sequence[tuple[str, Callable[[Volume], object]]] = (
    *_COLUMNS,
    ("PARENT", lambda volume: volume.clone.parent_volume.name or "-"),
    ("SNAPSHOT", lambda volume: volume.clone.parent_snapshot.name or "-"),
)

_OBJECT_COLUMNS: Sequence[tuple[str, Callable[[native.Object], object]]] = (
    ("KEY", lambda each: each.key),
    ("SIZE", lambda each: human(each.size)),
    ("MODIFIED", lambda each: each.modified or "-"),
    ("ETAG", lambda each: each.etag or "-"),
)

_tenant = click.option("--tenant", envvar="GATEWAY_TENANT", help="Tenant (SVM); needed when there are several.")
_name = click.argument("name")
_path = click.option("--path", help="Mount it at this junction path.")
_policy = click.option("--export-policy", help="Export policy that decides who may reach it.")
_comment = click.option("--comment", default="", help="Any text.")


@click.group()
def volume() -> None:
    """Volumes."""


@click.group()
def clone() -> None:
    """Writable copies of volumes and snapshots."""


@volume.command("list")
@_tenant
@connected
def list_volumes(session: Session, *, tenant: str | None) -> None:
    """List volumes."""
    session.print_all(session.each(volumes.every(tenant=tenant)), _COLUMNS)


@clone.command("list")
@_tenant
@connected
def list_clones(session: Session, *, tenant: str | None) -> None:
    """List the volumes that are clones."""
    session.print_all(session.each(volumes.every(tenant=tenant, clones_only=True)), _CLONE_COLUMNS)


@click.command("show")
@_name
@_tenant
@connected
def show(session: Session, *, name: str, tenant: str | None) -> None:
    """Show one."""
    session.print_one(session.run(volumes.show(name, tenant=tenant)))


@click.command("delete")
@_name
@_tenant
@connected
def delete(session: Session, *, name: str, tenant: str | None) -> None:
    """Delete one, with its snapshots."""
    found = session.run(volumes.show(name, tenant=tenant))
    session.run(volumes.delete(found.uuid, progress=session.progress))


@volume.command("create")
@_name
@click.option("--size", type=Size(), required=True, help="Bytes, or such as 10G.")
@click.option("--pool", help="Pool; needed when there are several.")
@click.option("--block", is_flag=True, help="Make it of blocks, for iSCSI and the like, instead of files.")
@_tenant
@_path
@_policy
@_comment
@connected
def create_volume(
    session: Session,
    *,
    name: str,
    size: int,
    pool: str | None,
    block: bool,
    tenant: str | None,
    path: str | None,
    export_policy: str | None,
    comment: str,
) -> None:
    """Make a volume."""
    if block:
        if path or export_policy:
            raise click.UsageError("a volume of blocks has no --path and no --export-policy")
        tenant, pool = session.only_tenant(tenant), session.only_pool(pool)
        blocks = volumes.create_block(
            name, tenant=tenant, pool=pool, size=size, comment=comment, progress=session.progress
        )
        session.print_one(session.run(blocks))
        return
    made = volumes.create(
        name,
        tenant=session.only_tenant(tenant),
        pool=session.only_pool(pool),
        size=size,
        comment=comment,
        path=path,
        export_policy=export_policy,
        progress=session.progress,
    )
    session.print_one(session.run(made))


@clone.command("create")
@_name
@click.option("--from", "parent", required=True, help="Volume to copy.")
@click.option("--snapshot", help="Copy the volume as this snapshot has it, not as it is now.")
@_tenant
@_path
@_policy
@_comment
@connected
def create_clone(
    session: Session,
    *,
    name: str,
    parent: str,
    snapshot: str | None,
    tenant: str | None,
    path: str | None,
    export_policy: str | None,
    comment: str,
) -> None:
    """Make a clone."""
    made = volumes.clone(
        name,
        tenant=session.only_tenant(tenant),
        parent=parent,
        snapshot=snapshot,
        comment=comment,
        path=path,
        export_policy=export_policy,
        progress=session.progress,
    )
    session.print_one(session.run(made))


@volume.command()
@_name
@_tenant
@connected
def access(session: Session, *, name: str, tenant: str | None) -> None:
    """Show every way to a volume's bytes."""
    _print_handles(session, session.run(volumes.show(name, tenant=tenant)).uuid)


@volume.command("objects")
@_name
@click.option("--snapshot", help="Those that this snapshot has.")
@click.option("--prefix", help="Those whose keys begin with it.")
@_tenant
@connected
def list_objects(session: Session, *, name: str, snapshot: str | None, prefix: str | None, tenant: str | None) -> None:
    """List the objects of a volume."""
    found = session.run(volumes.show(name, tenant=tenant))
    of = _snapshot_id(session, found.uuid, snapshot)
    session.print_all(session.each(native.objects(found.uuid, snapshot=of, prefix=prefix)), _OBJECT_COLUMNS)


@volume.command("url")
@_name
@click.argument("key")
@click.option("--put", "action", flag_value="put", help="To write the object.")
@click.option("--delete", "action", flag_value="delete", help="To remove it.")
@click.option("--get", "action", flag_value="get", default=True, help="To read it; so it is when nothing is said.")
@click.option("--snapshot", help="Read it as this snapshot has it.")
@click.option("--expires", type=click.IntRange(1, 604_800), default=900, show_default=True, help="In so many seconds.")
@click.option("--size", type=Size(), help="What is written has to be exactly that long.")
@click.option("--content-type", default="", help="What is written is called that.")
@_tenant
@connected
def url(
    session: Session,
    *,
    name: str,
    key: str,
    action: str,
    snapshot: str | None,
    expires: int,
    size: int | None,
    content_type: str,
    tenant: str | None,
) -> None:
    """Give a URL by which whoever has it reads one object of a volume, or writes or removes it.

    Headers that have to be sent along are told on the standard error.
    """
    found = session.run(volumes.show(name, tenant=tenant))
    wanted = native.Signing(
        action=action,
        key=key,
        snapshot=_snapshot_id(session, found.uuid, snapshot),
        expires_s=expires,
        size=size,
        content_type=content_type,
    )
    signed = session.run(native.sign(found.uuid, wanted))
    if session.as_json:
        session.print_one(signed)
        return
    click.echo(signed.url)
    for header, value in signed.headers.items():
        click.echo(f"{header}: {value}", err=True)


def _snapshot_id(session: Session, volume_id: str, name: str | None) -> str | None:
    """Give the id of a volume's snapshot by name; None for none."""
    if name is None:
        return None
    found = session.run(native.snapshot_named(volume_id, name))
    if found is None:
        raise click.ClickException(f"there is no snapshot {name!r}")
    return found.id


@volume.command()
@_name
@click.option("--read-only", is_flag=True, help="A token that does not let write.")
@_tenant
@connected
def token(session: Session, *, name: str, read_only: bool, tenant: str | None) -> None:
    """Show a token, the password to a volume that is published as a git remote; any user name will do."""
    uuid = session.run(volumes.show(name, tenant=tenant)).uuid
    click.echo(session.run(volumes.token(uuid, write=not read_only)))


def _print_handles(session: Session, uuid: str) -> None:
    session.print_all(
        session.run(volumes.access(uuid)),
        (
            ("KIND", lambda handle: handle.kind),
            ("ADDRESS", lambda handle: handle.address or "-"),
            ("PORT", lambda handle: handle.port or "-"),
            ("PLACE", lambda handle: handle.place or "-"),
            ("VERSION", lambda handle: handle.version or "-"),
            ("LOGIN", lambda handle: "CHAP" if handle.chap else "-"),
            ("ACCESS", lambda handle: "read only" if handle.read_only else "read and write"),
        ),
    )


@volume.command()
@_name
@click.argument("host")
@click.option("--lun", type=click.IntRange(1, 255), help="Logical unit number; else the lowest free one.")
@_tenant
@connected
def attach(session: Session, *, name: str, host: str, lun: int | None, tenant: str | None) -> None:
    """Attach a volume of blocks to a group of hosts; show every way to it."""
    found = session.run(volumes.show(name, tenant=tenant))
    session.run(hosts.attach(found.uuid, host, tenant=found.svm.name, number=lun, progress=session.progress))
    _print_handles(session, found.uuid)


@volume.command()
@_name
@click.argument("host")
@_tenant
@connected
def detach(session: Session, *, name: str, host: str, tenant: str | None) -> None:
    """Detach a volume of blocks from a group of hosts; those that are connected are cut off."""
    found = session.run(volumes.show(name, tenant=tenant))
    group = session.run(hosts.show(host, tenant=found.svm.name))
    session.run(hosts.detach(found.uuid, group.uuid, progress=session.progress))


@volume.command()
@_name
@click.argument("size", type=Size())
@_tenant
@connected
def resize(session: Session, *, name: str, size: int, tenant: str | None) -> None:
    """Give a volume another size."""
    _patch(session, name, tenant, {"size": size})


@volume.command()
@_name
@click.argument("new_name")
@_tenant
@connected
def rename(session: Session, *, name: str, new_name: str, tenant: str | None) -> None:
    """Give a volume another name."""
    _patch(session, name, tenant, {"name": new_name})


@volume.command()
@_name
@click.argument("path")
@_policy
@_tenant
@connected
def mount(session: Session, *, name: str, path: str, export_policy: str | None, tenant: str | None) -> None:
    """Mount a volume at a junction path, so that it is exported."""
    nas: dict[str, Any] = {"path": path}
    if export_policy is not None:
        nas["export_policy"] = {"name": export_policy}
    _patch(session, name, tenant, {"nas": nas})


@volume.command()
@_name
@_tenant
@connected
def unmount(session: Session, *, name: str, tenant: str | None) -> None:
    """Take a volume's junction path away."""
    _patch(session, name, tenant, {"nas": {"path": ""}})


@volume.command()
@_name
@_tenant
@connected
def online(session: Session, *, name: str, tenant: str | None) -> None:
    """Bring a volume online."""
    _patch(session, name, tenant, {"state": "online"})


@volume.command()
@_name
@_tenant
@connected
def offline(session: Session, *, name: str, tenant: str | None) -> None:
    """Take a volume offline."""
    _patch(session, name, tenant, {"state": "offline"})


@volume.command()
@_name
@click.argument("snapshot")
@_tenant
@connected
def restore(session: Session, *, name: str, snapshot: str, tenant: str | None) -> None:
    """Bring back the content that a snapshot has."""
    found = session.run(volumes.show(name, tenant=tenant))
    session.print_one(session.run(volumes.restore(found.uuid, snapshot, progress=session.progress)))


@volume.command()
@_name
@click.argument("pool")
@_tenant
@connected
def move(session: Session, *, name: str, pool: str, tenant: str | None) -> None:
    """Bring a volume to another pool of the same driver. Nobody may use it meanwhile."""
    found = session.run(volumes.show(name, tenant=tenant))
    session.run(native.move_volume(found.uuid, pool))
    session.print_one(session.run(volumes.show(name, tenant=found.svm.name)))


@clone.command()
@_name
@_tenant
@connected
def split(session: Session, *, name: str, tenant: str | None) -> None:
    """Make a clone independent of its parent."""
    found = session.run(volumes.show(name, tenant=tenant))
    session.print_one(session.run(volumes.split(found.uuid, progress=session.progress)))


for _group in (volume, clone):
    _group.add_command(show)
    _group.add_command(delete)


def _patch(session: Session, name: str, tenant: str | None, values: Mapping[str, Any]) -> None:
    found = session.run(volumes.show(name, tenant=tenant))
    session.print_one(session.run(volumes.patch(found.uuid, values, progress=session.progress)))
