"""`gateway mirror ...`: volumes that follow others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from gateway.cli.session import Session, Size, connected, human
from gateway.client import native, volumes
from gateway.client.native import Replication, Transfer

_COLUMNS: Sequence[tuple[str, Callable[[Replication], object]]] = (
    ("DESTINATION", lambda one: one.volume_name),
    ("TENANT", lambda one: one.tenant),
    ("POOL", lambda one: one.pool),
    ("SOURCE", lambda one: f"{one.source.tenant}:{one.source.name}"),
    ("POLICY", lambda one: one.policy),
    ("STATE", lambda one: one.state),
    ("AS OF", lambda one: one.base_created or "-"),
    ("HEALTHY", lambda one: "yes" if one.healthy else "no"),
)
_TRANSFER_COLUMNS: Sequence[tuple[str, Callable[[Transfer], object]]] = (
    ("BEGUN", lambda one: one.created or "-"),
    ("KIND", lambda one: one.kind),
    ("STATE", lambda one: one.state),
    ("BY", lambda one: one.method),
    ("MOVED", lambda one: human(one.bytes_transferred)),
    ("ERROR", lambda one: "-" if one.error is None else one.error.message),
)

_OBJECTS = "objects"

_tenant = click.option("--tenant", envvar="GATEWAY_TENANT", help="Tenant (SVM); needed when there are several.")
_name = click.argument("destination")
_throttle = click.option("--throttle", type=Size(), help="At most so many bytes per second, such as 10M.")


@click.group()
def mirror() -> None:
    """Volumes that follow others."""


@mirror.command("list")
@click.option("--tenant", envvar="GATEWAY_TENANT", help="Only those into volumes of this tenant (SVM).")
@connected
def list_mirrors(session: Session, *, tenant: str | None) -> None:
    """List replications."""
    session.print_all(session.each(native.replications(tenant=tenant)), _COLUMNS)


@mirror.command()
@_name
@_tenant
@connected
def show(session: Session, *, destination: str, tenant: str | None) -> None:
    """Show the replication into a volume."""
    session.print_one(_found(session, destination, tenant))


@mirror.command()
@_name
@_tenant
@connected
def transfers(session: Session, *, destination: str, tenant: str | None) -> None:
    """List the last transfers into a volume."""
    found = _found(session, destination, tenant)
    session.print_all(session.each(native.transfers(found.id)), _TRANSFER_COLUMNS)


@mirror.command()
@connected
def policies(session: Session) -> None:
    """List the policies of replications."""
    session.print_all(
        session.run(native.replication_policies()),
        (
            ("NAME", lambda one: one.name),
            ("TENANT", lambda one: one.tenant or "-"),
            ("SENDS", lambda one: one.choice),
            ("KEEPS", lambda one: ",".join(f"{label}:{count}" for label, count in one.keep.items()) or "-"),
            ("SCHEDULE", lambda one: one.schedule or "-"),
            ("COMMENT", lambda one: one.comment or "-"),
        ),
    )


@mirror.command()
@click.argument("source")
@_name
@click.option("--pool", help="Make the volume DESTINATION first, in this pool.")
@click.option("--source-tenant", help="Tenant of the source, if it is another one.")
@click.option("--policy", default="Asynchronous", show_default=True, help="What is sent, when, and what stays.")
@click.option("--schedule", help="Name of the schedule on which transfers begin; else the policy's.")
@click.option("--later", is_flag=True, help="Transfer nothing yet.")
@_throttle
@_tenant
@connected
def create(
    session: Session,
    *,
    source: str,
    destination: str,
    pool: str | None,
    source_tenant: str | None,
    policy: str,
    schedule: str | None,
    later: bool,
    throttle: int | None,
    tenant: str | None,
) -> None:
    """Let the volume DESTINATION, which is lost as it is, follow the volume SOURCE."""
    followed = session.run(volumes.show(source, tenant=source_tenant or tenant))
    if pool is not None:
        _make_like(session, session.run(native.volume(followed.uuid)), destination, pool=pool, tenant=tenant)
    found = session.run(volumes.show(destination, tenant=tenant))
    new = native.NewReplication(
        source=followed.uuid, volume=found.uuid, policy=policy, schedule=schedule, throttle=throttle
    )
    made = session.run(native.create_replication(new))
    if not later:
        session.run(native.transfer(made.id))
    session.print_one(session.run(native.replication(made.id)))


@mirror.command()
@_name
@click.option("--snapshot", help="Id of the source's snapshot to send; else as the policy says.")
@_throttle
@_tenant
@connected
def update(
    session: Session, *, destination: str, snapshot: str | None, throttle: int | None, tenant: str | None
) -> None:
    """Transfer what is new."""
    found = _found(session, destination, tenant)
    session.print_one(session.run(native.transfer(found.id, snapshot=snapshot, throttle=throttle)))


@mirror.command()
@_name
@click.option("--policy", help="What is sent, when, and what stays.")
@click.option("--schedule", help="Name of the schedule on which transfers begin; empty for none.")
@_throttle
@_tenant
@connected
def change(session: Session, *, destination: str, tenant: str | None, **given: Any) -> None:
    """Give a replication another policy, schedule or throttle."""
    values: Mapping[str, Any] = {name: value for name, value in given.items() if value is not None}
    found = _found(session, destination, tenant)
    session.print_one(session.run(native.change_replication(found.id, values)))


@mirror.command()
@_name
@_tenant
@connected
def pause(session: Session, *, destination: str, tenant: str | None) -> None:
    """Let no further transfer begin."""
    found = _found(session, destination, tenant)
    session.print_one(session.run(native.change_replication(found.id, {"paused": True})))


@mirror.command()
@_name
@_tenant
@connected
def resume(session: Session, *, destination: str, tenant: str | None) -> None:
    """Let transfers begin again."""
    found = _found(session, destination, tenant)
    session.print_one(session.run(native.change_replication(found.id, {"paused": False})))


@mirror.command()
@_name
@_tenant
@connected
def abort(session: Session, *, destination: str, tenant: str | None) -> None:
    """End the transfer that is under way."""
    found = _found(session, destination, tenant)
    if found.transfer is None or found.transfer.ended is not None:
        raise click.ClickException("no transfer is under way")
    session.print_one(session.run(native.abort_transfer(found.id, found.transfer.id)))


@mirror.command("break")
@_name
@_tenant
@connected
def break_(session: Session, *, destination: str, tenant: str | None) -> None:
    """Make a volume that follows one that is written to."""
    found = _found(session, destination, tenant)
    session.print_one(session.run(native.break_replication(found.id)))


@mirror.command()
@_name
@_throttle
@_tenant
@connected
def resync(session: Session, *, destination: str, throttle: int | None, tenant: str | None) -> None:
    """Let a volume follow again. What was written to it since it was broken off is lost."""
    found = _found(session, destination, tenant)
    session.print_one(session.run(native.resync(found.id, throttle=throttle)))


@mirror.command()
@_name
@_throttle
@_tenant
@connected
def reverse(session: Session, *, destination: str, throttle: int | None, tenant: str | None) -> None:
    """Let the source follow a volume that was broken off. What was written to the source since then is lost."""
    found = _found(session, destination, tenant)
    session.run(native.reverse(found.id, throttle=throttle))
    session.print_one(session.run(native.replication(found.id)))


@mirror.command()
@_name
@click.option("--keep-source", is_flag=True, help="Leave the source the snapshots that transfers took of it.")
@_tenant
@connected
def delete(session: Session, *, destination: str, keep_source: bool, tenant: str | None) -> None:
    """End a replication; both volumes stay."""
    found = _found(session, destination, tenant)
    session.run(native.delete_replication(found.id, keep_source=keep_source))


def _make_like(session: Session, source: native.Volume, name: str, *, pool: str, tenant: str | None) -> None:
    """Make a volume that can follow the source: of its kind or, in a pool that has no others, of objects."""
    kinds = next((one.kinds for one in session.run(native.pools()) if one.name == pool), {})
    kind = source.kind if source.kind in kinds or _OBJECTS not in kinds else _OBJECTS
    new = native.NewVolume(name=name, tenant=tenant or source.tenant, pool=pool, size=source.size, kind=kind)
    session.run(native.create_volume(new))


def _found(session: Session, destination: str, tenant: str | None) -> Replication:
    """Give the replication into the volume of that name."""
    volume = session.run(volumes.show(destination, tenant=tenant))
    for one in session.each(native.replications(volume=volume.uuid)):
        return one
    raise click.ClickException(f"the volume {destination!r} follows no other one")
