"""NetApp's own driver of Cinder, as cinder-volume makes it, before a gateway's ONTAP REST door."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cinder import context
from cinder.volume import driver as base
from cinder.volume.configuration import Configuration
from cinder.volume.drivers.netapp.common import NetAppDriver
from cinder_scene import TENANT
from oslo_concurrency import processutils
from oslo_config import cfg

from gateway.testing.live import ACCOUNT, PASSWORD

CONF = cfg.CONF
ADMIN = context.get_admin_context()
GROUP = "netapp"


def stanza(url: str, protocol: str) -> Mapping[str, object]:
    """Give what the driver's configuration says."""
    place = urlsplit(url)
    return {
        "netapp_storage_family": "ontap_cluster",
        "netapp_storage_protocol": protocol,
        "netapp_server_hostname": place.hostname,
        "netapp_server_port": place.port,
        "netapp_transport_type": place.scheme,
        "netapp_ssl_cert_verify": False,
        "netapp_login": ACCOUNT,
        "netapp_password": PASSWORD,
        "netapp_vserver": TENANT,
        "netapp_use_legacy_client": False,
        "netapp_allow_zapi_fallback": False,
    }


@contextmanager
def made(
    url: str, protocol: str, folder: Path, *, execute: Callable[..., Any] = processutils.execute, **options: Any
) -> Iterator[Any]:
    """Give a driver that has not been set up, and runs programs by `execute`.

    It looks for its stanza in files, not only in what is set.
    """
    values = {**stanza(url, protocol), "volume_backend_name": GROUP, **options}
    lines = [f"{name} = {value}" for name, value in values.items()]
    file = folder / f"cinder-{protocol}.conf"
    file.write_text("\n".join(["[DEFAULT]", f"state_path = {folder}", f"[{GROUP}]", *lines, ""]))
    _read(file)
    try:
        configuration = Configuration(base.volume_opts, config_group=GROUP)
        driver = NetAppDriver(configuration=configuration, host=f"host@{GROUP}", is_vol_db_empty=True, execute=execute)
        driver._execute = execute
        yield driver
    finally:
        _read()


def _read(*files: Path) -> None:
    """Have other files of configuration. What is set besides is forgotten, but for the database of the session."""
    connection = CONF.database.connection
    CONF([], project="cinder", default_config_files=[str(file) for file in files])
    CONF.set_override("connection", connection, group="database")
