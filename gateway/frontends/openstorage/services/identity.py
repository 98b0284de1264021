"""Who this is, and which services are really here."""

from __future__ import annotations

from importlib.metadata import version as installed

from gateway.core.model import Pool
from gateway.core.query import Query
from gateway.frontends.openstorage.call import Call
from gateway.frontends.openstorage.pb import identity_pb2 as pb
from gateway.frontends.openstorage.schema import SDK_VERSION

_Type = pb.SdkServiceCapability.OpenStorageService
ANNOUNCED = (
    _Type.CLUSTER,
    _Type.NODE,
    _Type.VOLUME,
    _Type.MOUNT_ATTACH,
    _Type.SCHEDULE_POLICY,
    _Type.STORAGE_POLICY,
    _Type.ROLE,
    _Type.CREDENTIALS,
    _Type.CLOUD_BACKUP,
)
"""What clients may use: they skip what is not announced."""

DRIVER = "volume-gateway"


async def capabilities(_call: Call, _request: pb.SdkIdentityCapabilitiesRequest) -> pb.SdkIdentityCapabilitiesResponse:
    """Give the services that are served."""
    return pb.SdkIdentityCapabilitiesResponse(
        capabilities=[pb.SdkServiceCapability(service=_Type(type=service)) for service in ANNOUNCED]
    )


async def version(call: Call, _request: pb.SdkIdentityVersionRequest) -> pb.SdkIdentityVersionResponse:
    """Give the version of the SDK and of the gateway, and the drivers of the pools behind it."""
    major, minor, patch = SDK_VERSION
    pools = (await call.core.catalog.page(Pool, Query())).records
    return pb.SdkIdentityVersionResponse(
        sdk_version=pb.SdkVersion(major=major, minor=minor, patch=patch, version=f"{major}.{minor}.{patch}"),
        version=pb.StorageVersion(
            driver=DRIVER, version=installed(DRIVER), details={f"pool.{pool.name}": pool.driver for pool in pools}
        ),
    )
