"""How a host gets to a volume. The gateway chooses the way of those that the host and the configuration have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.client import native
from gateway.frontends.cinder_driver.errors import Refusal
from gateway.frontends.cinder_driver.records import CinderVolume
from gateway.frontends.cinder_driver.site import Site
from gateway.frontends.openstack.addresses import bracketed

_ISCSI, _NFS = "iscsi", "nfs"
_READ_ONLY = "ro"

Connector = Mapping[str, Any]
"""What a host says of itself, as os-brick collects it."""


def check(site: Site, connector: Connector) -> None:
    """Raise Refusal when a host does not say enough of itself for any of the ways."""
    if not connector.get("host"):
        raise Refusal("InvalidConnectorException", missing="host")
    if not _usable(site, connector):
        raise Refusal("InvalidConnectorException", missing="initiator")


def attach(
    site: Site, volume: CinderVolume, connector: Connector, attachments: Iterable[Connector | None] = ()
) -> dict[str, Any]:
    """Let a host reach a volume and tell how. The same host again is told the same, with the login as it is now.

    `attachments` are the connectors of those that Cinder knows: a guest that
    only reads takes nothing from another one of its host that writes.
    """
    check(site, connector)
    initiator = connector.get("initiator")
    new = native.NewAttachment(
        node=connector["host"],
        ways=_usable(site, connector),
        mode="rw" if any(map(_writes, (connector, *_of_host(connector, attachments)))) else _READ_ONLY,
        initiators=(initiator,) if initiator else (),
        addresses=tuple(_addresses(connector)),
        chap=site.settings.chap,
    )
    return info(site, site.run(native.attach(site.volume_id(volume), new)), volume)


def detach(site: Site, volume: CinderVolume, connector: Connector | None) -> None:
    """End a host's attachment, or those of every host. What is not there any more is no error."""
    host = (connector or {}).get("host")
    if host and volume.core_id:
        site.run(native.detach(volume.core_id, host))
        return
    found = site.found(volume)
    if found is None:
        return
    for node in [host] if host else [attachment.node for attachment in found.attachments]:
        site.run(native.detach(found.id, node))


def shared(connector: Connector | None, attachments: Iterable[Connector | None]) -> bool:
    """Tell whether other attachments of a volume need what its host has.

    `attachments` are the connectors of those that Cinder knows. The one that
    ends is among them, unless Cinder itself had attached the volume for a copy.
    """
    if connector is None or not connector.get("host"):
        return False
    there = _of_host(connector, attachments)
    if connector in there:
        there.remove(connector)
    return bool(there)


def _of_host(connector: Connector, attachments: Iterable[Connector | None]) -> list[Connector]:
    return [other for other in attachments if other is not None and other.get("host") == connector["host"]]


def _writes(connector: Connector) -> bool:
    return connector.get("mode") != _READ_ONLY


def info(site: Site, attached: native.Attached, volume: CinderVolume) -> dict[str, Any]:
    """Give Cinder's words for the way to a volume; Refusal for a way that hosts of OpenStack do not have."""
    handle = attached.handle
    if handle.kind == "local_path":
        return {"driver_volume_type": "local", "data": {"device_path": handle.path}}
    if handle.kind == _ISCSI:
        return {"driver_volume_type": _ISCSI, "data": _iscsi(attached, volume)}
    if handle.kind == _NFS and handle.file:
        return {"driver_volume_type": _NFS, "data": _nfs(handle), "mount_point_base": site.settings.mount_base}
    raise Refusal("VolumeDriverException", message=f"the gateway leads to the volume by {handle.kind}")


def _iscsi(attached: native.Attached, volume: CinderVolume) -> dict[str, Any]:
    handle, login = attached.handle, attached.login
    data: dict[str, Any] = {
        "target_discovered": False,
        "target_portal": f"{bracketed(handle.address)}:{handle.port}",
        "target_iqn": handle.target,
        "target_lun": handle.lun,
        "volume_id": volume.id,
    }
    if login is not None:
        data |= {"auth_method": "CHAP", "auth_username": login.user, "auth_password": login.password}
    return data


def _nfs(handle: native.Handle) -> dict[str, Any]:
    return {
        "export": f"{bracketed(handle.address)}:{handle.path}",
        "name": handle.file,
        "format": "raw",
        "options": f"-o port={handle.port},vers={handle.version}",
    }


def _usable(site: Site, connector: Connector) -> tuple[str, ...]:
    """Give the ways that are configured and that the host has what it takes for."""
    return tuple(way for way in site.settings.ways if way != _ISCSI or connector.get("initiator"))


def _addresses(connector: Connector) -> Iterable[str]:
    """Give a host's addresses, each once."""
    told = [connector.get("ip"), *(connector.get("host_ips") or ())]
    return dict.fromkeys(address for address in told if address)
