"""NetApp's own driver of Manila, as the share manager makes it, before a gateway's ONTAP REST door."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from manila import context, coordination
from manila.common import config as _options  # noqa: F401 - registers what the driver reads of [DEFAULT]
from manila.db.sqlalchemy import api, models
from manila.share import configuration, drivers_private_data, share_types
from manila.share import driver as upstream
from manila.share.drivers.netapp import options as netapp
from manila.share.drivers.netapp.common import NetAppDriver
from manila_driver_scene import Kept
from manila_scene import TENANT, Bed, share_row, snapshot_row
from oslo_config import cfg

from gateway.testing.live import ACCOUNT, PASSWORD

GROUP = "netapp"
ADMIN = context.get_admin_context()
_OPTIONS = (
    netapp.netapp_proxy_opts,
    netapp.netapp_connection_opts,
    netapp.netapp_basicauth_opts,
    netapp.netapp_transport_opts,
    netapp.netapp_cluster_opts,
    netapp.netapp_provisioning_opts,
)
"""What the driver registers itself, too late to be set before it is made."""
TYPES: Mapping[str, Mapping[str, str]] = {
    # What the driver asks for otherwise is refused: a promise of space, which pools of btrfs cannot give, and when
    # it manages a share, snapshots that can be looked into through the share.
    "thin": {"netapp:thin_provisioned": "True", "netapp:hide_snapdir": "True"},
    "thick": {"netapp:hide_snapdir": "True"},
}


@contextmanager
def database(folder: Path) -> Iterator[Mapping[str, str]]:
    """Give Manila a database, for the types of shares, which the driver looks up by itself: their ids by name."""
    cfg.CONF.set_override("connection", f"sqlite:///{folder}/manila.sqlite", group="database")
    models.BASE.metadata.create_all(api.get_engine())
    made = {
        name: share_types.create(ADMIN, name, {"driver_handles_share_servers": "False", **specs})["id"]
        for name, specs in TYPES.items()
    }
    try:
        yield made
    finally:
        api.get_engine().dispose()
        cfg.CONF.clear_override("connection", group="database")


def stanza(url: str) -> Mapping[str, object]:
    """Give what the driver's configuration says."""
    place = urlsplit(url)
    return {
        "driver_handles_share_servers": False,
        "share_backend_name": GROUP,
        "netapp_storage_family": "ontap_cluster",
        "netapp_server_hostname": place.hostname,
        "netapp_server_port": place.port,
        "netapp_transport_type": place.scheme,
        "netapp_ssl_cert_verify": False,
        "netapp_login": ACCOUNT,
        "netapp_password": PASSWORD,
        "netapp_vserver": TENANT,
        "netapp_use_legacy_client": False,
        "netapp_zapi_fallback_enabled": False,
    }


@contextmanager
def started(url: str, folder: Path) -> Iterator[Any]:
    """Give a driver that the manager would call initialized."""
    config = configuration.Configuration(upstream.share_opts, config_group=GROUP)
    storage = drivers_private_data.DriverPrivateData(storage=Kept(), config_group=GROUP)
    for known in _OPTIONS:
        config.append_config_values(known)
    values = stanza(url)
    for name, value in values.items():
        cfg.CONF.set_override(name, value, group=GROUP)
    cfg.CONF.set_override("backend_url", f"file://{folder}", group="coordination")
    coordination.LOCK_COORDINATOR.start()
    try:
        driver = NetAppDriver(configuration=config, private_storage=storage)
        driver.do_setup(ADMIN)
        driver.check_for_setup_error()
        driver.get_share_stats(refresh=True)
        yield driver
    finally:
        coordination.LOCK_COORDINATOR.stop()
        for name in values:
            cfg.CONF.clear_override(name, group=GROUP)


class Manager:
    """What the share manager does with the driver, one call each."""

    def __init__(self, driver: Any, bed: Bed, types: Mapping[str, str]) -> None:
        self.driver = driver
        self.bed = bed
        self._types = types

    @property
    def client(self) -> Any:
        """Give the driver's own client, for the SVM."""
        return self.driver.library._get_vserver()[1]

    def row(self, pool: str = "fast", kind: str = "thin", **fields: Any) -> dict[str, Any]:
        """Give a share as the manager hands it over."""
        made = {
            **share_row(pool),
            "host": f"manila@{GROUP}#{pool}",
            "share_type_id": self._types[kind],
            "project_id": "project",
            "user_id": "user",
            "metadata": {},
            "created_at": "2026-01-01",
            **dict.fromkeys(("share_group_id", "mount_point_name", "snapshot_id", "encryption_key_ref")),
            "source_share_group_snapshot_member_id": None,
        }
        return {**made, **fields}

    def share(self, *rules: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """Make a share, with access rules."""
        made = self.row(**fields)
        made["export_locations"] = self.driver.create_share(ADMIN, made, share_server=None)
        self.allow(made, *rules)
        return made

    def allow(self, share: dict[str, Any], *rules: dict[str, Any]) -> None:
        self.driver.update_access(
            ADMIN, share, list(rules), add_rules=[], delete_rules=[], update_rules=[], share_server=None
        )

    def snapshot(self, share: dict[str, Any]) -> dict[str, Any]:
        """Take a snapshot of a share."""
        made = {**snapshot_row(share), "share_id": share["id"], "share": share, "share_instance": share}
        return {**made, **self.driver.create_snapshot(ADMIN, made, share_server=None)}

    def copy(self, snapshot: dict[str, Any], *rules: dict[str, Any]) -> dict[str, Any]:
        """Make a share from a snapshot."""
        made = self.row(snapshot_id=snapshot["id"])
        found = self.driver.create_share_from_snapshot(
            ADMIN, made, snapshot, share_server=None, parent_share=snapshot["share"]
        )
        self.allow(made, *rules)
        return {**made, "export_locations": found}

    def delete(self, *shares: dict[str, Any]) -> None:
        for share in shares:
            self.driver.delete_share(ADMIN, share, share_server=None)


def volume_of(share: Mapping[str, Any]) -> str:
    """Give the name of a share's volume."""
    return "share_" + str(share["id"]).replace("-", "_")
