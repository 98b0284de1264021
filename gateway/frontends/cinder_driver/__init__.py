"""The driver that OpenStack Cinder loads, `volume_driver = gateway.frontends.cinder_driver.GatewayVolumeDriver`.

One Cinder volume is one block volume of the gateway: its name is the one that
Cinder's template gives, its labels hold Cinder's id, Cinder keeps its id as
`provider_id`. Only `driver` imports Cinder. The other modules say what is
asked of the gateway and what its answers mean to Cinder.
"""

from __future__ import annotations

from typing import Any

__all__ = ["GatewayVolumeDriver"]


def __getattr__(name: str) -> Any:
    """Give the driver's class, which needs Cinder, when somebody asks for it."""
    if name == "GatewayVolumeDriver":
        from gateway.frontends.cinder_driver.driver import GatewayVolumeDriver  # noqa: PLC0415

        return GatewayVolumeDriver
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
