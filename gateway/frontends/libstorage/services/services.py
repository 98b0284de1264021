"""`/services`."""

from __future__ import annotations

from gateway.frontends.libstorage.ask import Ask
from gateway.frontends.libstorage.lookup import service_of
from gateway.frontends.libstorage.model import DriverInfo, Instance, InstanceRef, ServiceInfo
from gateway.frontends.libstorage.site import Service


async def enumerate_(ask: Ask) -> dict[str, ServiceInfo]:
    """Give every service by name; with `?instance`, the client's instance as each knows it."""
    return {name: _info(ask, service) for name, service in ask.site.services.items()}


async def inspect(ask: Ask) -> ServiceInfo:
    """Give one."""
    return _info(ask, service_of(ask))


def _info(ask: Ask, service: Service) -> ServiceInfo:
    driver = service.driver
    return ServiceInfo(
        name=service.name,
        driver=DriverInfo(name=driver.name, type=driver.type, next_device=driver.next_device),
        instance=_instance(ask, service) if ask.query.flag("instance") else None,
    )


def _instance(ask: Ask, service: Service) -> Instance:
    """Give the instance with the id by which its attachments are known; what it told of itself is not repeated."""
    found = ask.require_instance(service)
    known = InstanceRef(id=found.id, driver=service.driver.name, service=found.service, fields=found.fields)
    return Instance(instance_id=known, name=service.driver.instance_name, provider_name="")
