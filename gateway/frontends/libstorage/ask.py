"""A request as its handlers get it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.core.context import Core
from gateway.core.door import Trace
from gateway.frontends.libstorage.bodies import B, read_body
from gateway.frontends.libstorage.errors import missing_instance
from gateway.frontends.libstorage.headers import InstanceId, LocalDevices, choose_devices, choose_instance
from gateway.frontends.libstorage.query import Query
from gateway.frontends.libstorage.site import Service, Site
from gateway.frontends.memory import Answers


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A request. `core` acts for the caller; `service` is the one that the path names, None for all of them.

    `keys`: what the path has in place of braces, by name. `peer`: the client's
    address, empty on a UNIX socket. `base`: scheme and host as the client sees
    them. `open_services`: those that the caller may use. `answers`: what the
    door keeps of answers while the catalog has this `version`, nothing by default.
    """

    core: Core
    site: Site
    service: Service | None
    query: Query
    keys: Mapping[str, str] = {}
    body: bytes = b""
    instances: tuple[InstanceId, ...] = ()
    devices: tuple[LocalDevices, ...] = ()
    peer: str = ""
    trace: Trace = msgspec.field(default_factory=Trace)
    base: str = ""
    open_services: frozenset[str] = frozenset()
    version: int = -1
    answers: Answers[bytes] = msgspec.field(default_factory=lambda: Answers(0))

    def wanted(self, kind: type[B]) -> B:
        """Give the body, held to its schema; LsError."""
        return read_body(self.body, kind, query=self.query, opts_count=self.site.options.parse_request_opts)

    def instance(self, service: Service) -> InstanceId | None:
        """Give the client's instance as a service knows it, with its id; None when the client told none that fits.

        Where the client told only what it knows of itself the id follows from that.
        """
        found = choose_instance(self.instances, service=service.name, driver=service.driver.name)
        if found is None or found.id:
            return found
        identify = service.driver.identify
        known = "" if identify is None or found.metadata is msgspec.UNSET else identify(found.metadata, self.peer)
        return msgspec.structs.replace(found, id=known) if known else None

    def require_instance(self, service: Service) -> InstanceId:
        """Give the same; 400 when there is none."""
        found = self.instance(service)
        if found is None:
            raise missing_instance(service.name)
        return found

    def local_devices(self, service: Service) -> Mapping[str, str] | None:
        """Give what the client has, as the executor of the service's driver sees it; None when it did not say."""
        return choose_devices(self.devices, driver=service.driver.name)
