"""A share driver for OpenStack Manila: its shares are filesystem volumes of a gateway, published over NFS.

Manila loads `gateway.frontends.manila_driver.GatewayShareDriver` into its
share service, with `driver_handles_share_servers = False`. What a call does at
the gateway is said by the modules beside it, as flows of `gateway.client` that
know nothing of Manila; `driver` and `errors` are all that imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.frontends.manila_driver.driver import GatewayShareDriver

__all__ = ["GatewayShareDriver"]


def __getattr__(name: str) -> Any:
    """Give the driver when it is asked for: only then does Manila have to be installed."""
    if name == "GatewayShareDriver":
        from gateway.frontends.manila_driver.driver import GatewayShareDriver  # noqa: PLC0415

        return GatewayShareDriver
    raise AttributeError(name)
