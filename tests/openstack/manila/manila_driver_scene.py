"""The driver as Manila's share manager makes it, without the manager."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manila.share import configuration, drivers_private_data
from manila.share import driver as upstream
from oslo_config import cfg

from gateway.frontends.manila_driver import GatewayShareDriver
from gateway.testing.live import ACCOUNT, PASSWORD


class Kept(drivers_private_data.StorageDriver):
    """What the driver keeps, in a dictionary instead of the database."""

    def __init__(self) -> None:
        super().__init__(context=None, backend_host="manila@gw")
        self.values: dict[str, dict[str, Any]] = {}

    def get(self, entity_id: str, key: str | None, default: Any) -> Any:
        found = self.values.get(entity_id, {})
        return (found or default) if key is None else found.get(key, default)

    def update(self, entity_id: str, details: Mapping[str, Any], delete_existing: bool) -> None:
        before = {} if delete_existing else self.values.get(entity_id, {})
        self.values[entity_id] = {**before, **details}

    def delete(self, entity_id: str, key: str | None) -> None:
        if key is None:
            self.values.pop(entity_id, None)
        else:
            self.values.get(entity_id, {}).pop(key, None)


def driver_for(url: str, group: str = "gw", **options: Any) -> GatewayShareDriver:
    """Give a driver that has a stanza of its own and has asked nothing yet; `group` says which."""
    config = configuration.Configuration(upstream.share_opts, config_group=group)
    storage = drivers_private_data.DriverPrivateData(storage=Kept(), config_group=group)
    values = {
        "driver_handles_share_servers": False,
        "share_backend_name": group,
    }
    for name, value in values.items():
        cfg.CONF.set_override(name, value, group=group)
    made = GatewayShareDriver(configuration=config, private_storage=storage)
    account = {"gateway_url": url, "gateway_user": ACCOUNT, "gateway_password": PASSWORD, **options}
    for name, value in account.items():
        cfg.CONF.set_override(name, value, group=group)
    return made


def ready(url: str, group: str = "gw", **options: Any) -> GatewayShareDriver:
    """Give a driver that the manager would call initialized."""
    made = driver_for(url, group, **options)
    made.do_setup(None)
    made.check_for_setup_error()
    made.get_share_stats(refresh=True)
    return made
