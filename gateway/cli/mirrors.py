"""`gateway mirror ...`: volumes that follow others."""

from __future__ import annotations

import click

from gateway.cli.session import Session, Size, connected, human
from gateway.client import Mirror, mirrors, volumes

_tenant = click.option("--tenant", envvar="GATEWAY_TENANT", help="Tenant (SVM); needed when there are several.")
_name = click.argument("name")
_no_wait = click.option("--no-wait", is_flag=True, help="Do not wait for the end of the transfer.")
_KIB = 1024


@click.group()
def mirror() -> None:
    """Volumes that follow others, by transfers of their snapshots. NAME is the volume that follows."""


@mirror.command("list")
@_tenant
@connected
def list_mirrors(session: Session, *, tenant: str | None) -> None:
    """List mirrors."""
    session.print_all(
        session.each(mirrors.every(tenant=tenant)),
        (
            ("DESTINATION", lambda one: one.destination.path),
            ("SOURCE", lambda one: one.source.path),
            ("STATE", lambda one: one.state),
            ("HEALTHY", lambda one: "yes" if one.healthy else "no"),
            ("LAG", lambda one: one.lag_time or "-"),
            ("TRANSFER", lambda one: one.transfer.state if one.transfer else "-"),
            ("SENT", lambda one: human(one.transfer.bytes_transferred) if one.transfer else "-"),
            ("POLICY", lambda one: one.policy.name),
        ),
    )


@mirror.command()
@_name
@_tenant
@connected
def show(session: Session, *, name: str, tenant: str | None) -> None:
    """Show a mirror."""
    session.print_one(session.run(mirrors.show(name, tenant=tenant)))


@mirror.command()
@_name
@click.option("--from", "source", required=True, help="Volume to follow.")
@click.option("--from-tenant", help="Its tenant, when it is another one.")
@click.option("--pool", help="Pool to make the volume in; else the gateway chooses one.")
@click.option("--policy", help="Which snapshots are sent and kept.")
@click.option("--schedule", help="When to transfer, by the name of a schedule.")
@click.option("--throttle", type=Size(), help="Bytes per second at most, such as 10M.")
@_tenant
@_no_wait
@connected
def create(
    session: Session,
    *,
    name: str,
    source: str,
    from_tenant: str | None,
    pool: str | None,
    policy: str | None,
    schedule: str | None,
    throttle: int | None,
    tenant: str | None,
    no_wait: bool,
) -> None:
    """Make a volume that follows another one, and fill it."""
    tenant = session.only_tenant(tenant)
    source_tenant = from_tenant or tenant
    if pool is not None:
        size = session.run(volumes.show(source, tenant=source_tenant)).size
        session.run(volumes.create_replica(name, tenant=tenant, pool=pool, size=size, progress=session.progress))
    made = mirrors.create(
        name,
        tenant=tenant,
        source=source,
        source_tenant=source_tenant,
        policy=policy,
        schedule=schedule,
        throttle=None if throttle is None else -(-throttle // _KIB),
        progress=session.progress,
    )
    _print(session, session.run(made), no_wait=no_wait)


@mirror.command()
@_name
@click.option("--snapshot", help="Send this snapshot of the source; else what the policy says.")
@_tenant
@_no_wait
@connected
def update(session: Session, *, name: str, snapshot: str | None, tenant: str | None, no_wait: bool) -> None:
    """Bring a mirror up to date."""
    found = session.run(mirrors.show(name, tenant=tenant))
    session.run(mirrors.update(found.uuid, snapshot=snapshot))
    _print(session, found, no_wait=no_wait)


@mirror.command()
@_name
@_tenant
@connected
def pause(session: Session, *, name: str, tenant: str | None) -> None:
    """Let no further transfer begin."""
    _bring(session, name, tenant, state="paused", no_wait=True)


@mirror.command()
@_name
@_tenant
@connected
def resume(session: Session, *, name: str, tenant: str | None) -> None:
    """Let transfers begin again."""
    _bring(session, name, tenant, state="snapmirrored", no_wait=True)


@mirror.command("break")
@_name
@_tenant
@connected
def break_(session: Session, *, name: str, tenant: str | None) -> None:
    """Make the volume one that is written to, as it was after the last transfer."""
    _bring(session, name, tenant, state="broken_off", no_wait=True)


@mirror.command()
@_name
@_tenant
@_no_wait
@click.confirmation_option(prompt="What was written to the volume since the last transfer goes. Go on?")
@connected
def resync(session: Session, *, name: str, tenant: str | None, no_wait: bool) -> None:
    """Make the volume of a broken mirror follow again."""
    _bring(session, name, tenant, state="snapmirrored", no_wait=no_wait)


@mirror.command()
@_name
@_tenant
@_no_wait
@click.confirmation_option(prompt="What was written to the source since the last transfer goes. Go on?")
@connected
def reverse(session: Session, *, name: str, tenant: str | None, no_wait: bool) -> None:
    """Let the source of a broken mirror follow its volume."""
    found = session.run(mirrors.show(name, tenant=tenant))
    _print(session, session.run(mirrors.reverse(found, progress=session.progress)), no_wait=no_wait)


@mirror.command()
@_name
@click.option("--keep-common", is_flag=True, help="Keep the newest snapshot that both volumes have.")
@_tenant
@connected
def delete(session: Session, *, name: str, keep_common: bool, tenant: str | None) -> None:
    """End a mirror; both volumes stay."""
    found = session.run(mirrors.show(name, tenant=tenant))
    session.run(mirrors.delete(found.uuid, keep_common=keep_common, progress=session.progress))


def _bring(session: Session, name: str, tenant: str | None, *, state: str, no_wait: bool) -> None:
    found = session.run(mirrors.show(name, tenant=tenant))
    changed = session.run(mirrors.patch(found.uuid, {"state": state}, progress=session.progress))
    _print(session, changed, no_wait=no_wait)


def _print(session: Session, found: Mirror, *, no_wait: bool) -> None:
    session.print_one(found if no_wait else session.run(mirrors.settled(found.uuid)))
