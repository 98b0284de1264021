"""`gateway snapshot ...`, `gateway host ...`, `gateway pool ...` and `gateway job ...`."""

from __future__ import annotations

import click

from gateway.cli.session import Session, connected, human
from gateway.client import hosts, jobs, pools, snapshots, volumes

_tenant = click.option("--tenant", envvar="GATEWAY_TENANT", help="Tenant (SVM); needed when there are several.")
_volume = click.argument("volume")
_name = click.argument("name")


@click.group()
def snapshot() -> None:
    """Snapshots of volumes."""


@click.group()
def host() -> None:
    """Groups of hosts that volumes of blocks are attached to."""


@click.group()
def pool() -> None:
    """Pools that volumes are made in."""


@click.group()
def job() -> None:
    """Changes that are under way, or ended not long ago."""


@snapshot.command("list")
@_volume
@_tenant
@connected
def list_snapshots(session: Session, *, volume: str, tenant: str | None) -> None:
    """List the snapshots of a volume."""
    found = session.run(volumes.show(volume, tenant=tenant))
    session.print_all(
        session.each(snapshots.every(found.uuid)),
        (
            ("NAME", lambda taken: taken.name),
            ("CREATED", lambda taken: taken.create_time),
            ("SIZE", lambda taken: human(taken.size)),
            ("COMMENT", lambda taken: taken.comment or "-"),
        ),
    )


@snapshot.command("show")
@_volume
@_name
@_tenant
@connected
def show_snapshot(session: Session, *, volume: str, name: str, tenant: str | None) -> None:
    """Show a snapshot."""
    found = session.run(volumes.show(volume, tenant=tenant))
    session.print_one(session.run(snapshots.show(found.uuid, name)))


@snapshot.command("create")
@_volume
@_name
@click.option("--comment", default="", help="Any text.")
@_tenant
@connected
def create_snapshot(session: Session, *, volume: str, name: str, comment: str, tenant: str | None) -> None:
    """Take a snapshot."""
    found = session.run(volumes.show(volume, tenant=tenant))
    taken = snapshots.create(found.uuid, name, comment=comment, progress=session.progress)
    session.print_one(session.run(taken))


@snapshot.command("delete")
@_volume
@_name
@_tenant
@connected
def delete_snapshot(session: Session, *, volume: str, name: str, tenant: str | None) -> None:
    """Delete a snapshot."""
    found = session.run(volumes.show(volume, tenant=tenant))
    taken = session.run(snapshots.show(found.uuid, name))
    session.run(snapshots.delete(found.uuid, taken.uuid, progress=session.progress))


@host.command("list")
@_tenant
@connected
def list_hosts(session: Session, *, tenant: str | None) -> None:
    """List groups of hosts."""
    session.print_all(
        session.each(hosts.every(tenant=tenant)),
        (
            ("NAME", lambda group: group.name),
            ("TENANT", lambda group: group.svm.name),
            ("INITIATORS", lambda group: ",".join(one.name for one in group.initiators) or "-"),
            ("VOLUMES", lambda group: len(group.lun_maps)),
        ),
    )


@host.command("show")
@_name
@_tenant
@connected
def show_host(session: Session, *, name: str, tenant: str | None) -> None:
    """Show a group of hosts."""
    session.print_one(session.run(hosts.show(name, tenant=tenant)))


@host.command("create")
@_name
@click.option("--initiator", "initiators", multiple=True, help="iSCSI name of a host; may be given several times.")
@_tenant
@connected
def create_host(session: Session, *, name: str, initiators: tuple[str, ...], tenant: str | None) -> None:
    """Make a group of hosts."""
    made = hosts.create(name, tenant=session.only_tenant(tenant), initiators=initiators)
    session.print_one(session.run(made))


@host.command("delete")
@_name
@_tenant
@connected
def delete_host(session: Session, *, name: str, tenant: str | None) -> None:
    """Delete a group of hosts that no volume is attached to."""
    session.run(hosts.delete(session.run(hosts.show(name, tenant=tenant)).uuid))


@pool.command("list")
@connected
def list_pools(session: Session) -> None:
    """List pools."""
    session.print_all(
        session.each(pools.every()),
        (
            ("NAME", lambda one: one.name),
            ("STATE", lambda one: one.state),
            ("SIZE", lambda one: human(one.space.block_storage.size)),
            ("USED", lambda one: human(one.space.block_storage.used)),
            ("AVAILABLE", lambda one: human(one.space.block_storage.available)),
        ),
    )


@pool.command("show")
@_name
@connected
def show_pool(session: Session, *, name: str) -> None:
    """Show a pool."""
    session.print_one(session.run(pools.show(name)))


@job.command("list")
@connected
def list_jobs(session: Session) -> None:
    """List jobs."""
    session.print_all(
        session.each(jobs.every()),
        (
            ("UUID", lambda one: one.uuid),
            ("STATE", lambda one: one.state),
            ("STARTED", lambda one: one.start_time or "-"),
            ("DESCRIPTION", lambda one: one.description),
        ),
    )


@job.command("show")
@click.argument("uuid", type=click.UUID)
@click.option("--wait", is_flag=True, help="Wait until it has ended; a job that failed is an error then.")
@connected
def show_job(session: Session, *, uuid: object, wait: bool) -> None:
    """Show a job."""
    found = jobs.finished(str(uuid), progress=session.progress) if wait else jobs.show(str(uuid))
    session.print_one(session.run(found))
