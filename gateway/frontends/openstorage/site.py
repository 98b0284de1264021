"""What the door knows of its surroundings: the cluster, this node, the tenant whose volumes it shows."""

from __future__ import annotations

from socket import gethostname
from uuid import UUID

import msgspec

from gateway.core import errors
from gateway.core.context import Core
from gateway.core.manifest import CLUSTER_ID
from gateway.core.model import Tenant
from gateway.frontends.openstorage.settings import OpenstorageOptions


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """One per door. `tenant_name` is looked up at every call: the tenant may be renamed or made anew.

    `address`: where the door can be reached. `secured`: callers prove who they are. `nfs`: shared volumes can be
    published. `node_id`: by which clients know this host, the same that mounts have.
    """

    cluster_id: str
    name: str
    tenant_name: str
    options: OpenstorageOptions
    address: str = ""
    secured: bool = False
    nfs: bool = False
    node_id: str = ""

    @classmethod
    async def of(
        cls,
        core: Core,
        options: OpenstorageOptions,
        *,
        name: str,
        tenant: str,
        address: str = "",
        secured: bool = False,
        nfs: bool = False,
    ) -> Site:
        """Learn the cluster's identity. `tenant`: whose volumes are shown when the options name none."""
        cluster_id = await core.catalog.setting(CLUSTER_ID)
        if cluster_id is None:
            raise errors.Internal(incident="the catalog has no cluster id")
        return cls(
            cluster_id=cluster_id,
            name=name,
            tenant_name=options.tenant or tenant,
            options=options,
            address=address,
            secured=secured,
            nfs=nfs,
            node_id=gethostname() if core.publisher.mounting is None else core.publisher.mounting.node,
        )

    async def tenant_id(self, core: Core) -> UUID:
        """Give the tenant's id; Unavailable while there is no such tenant."""
        tenant = await core.known.named(Tenant, self.tenant_name)
        if tenant is None:
            raise errors.Unavailable(what=f"tenant {self.tenant_name}", reason="it does not exist")
        return tenant.id
