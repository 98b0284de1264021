"""The class that Manila loads: its methods say what Manila means in the words of the flows, and run them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from manila import exception
from manila.common import constants
from manila.share import driver, share_types
from manila.share import utils as share_utils
from oslo_log import log
from oslo_utils import timeutils

from gateway import __version__
from gateway.client import Client, ClientError, Flow, native
from gateway.frontends.manila_driver import ensuring, managing, shares, snapshots, stats
from gateway.frontends.manila_driver.errors import telling, told
from gateway.frontends.manila_driver.locations import mount_options, versions
from gateway.frontends.manila_driver.naming import GIB, Share, Snapshot, gib
from gateway.frontends.manila_driver.refusals import Refusal, WouldLoseData
from gateway.frontends.manila_driver.site import Site, find_site
from gateway.frontends.openstack.connection import OptionError, connect, logging_in
from gateway.frontends.openstack.options import MANILA

LOG = log.getLogger(__name__)

T = TypeVar("T")
Fields = Mapping[str, Any]
"""A row of Manila's database, as a dictionary or as an object that is read like one."""

_VOLUME_ID = "volume_id"
_THIN = "thin_provisioning"
_MOUNT_OPTIONS = "__mount_options"
"""Metadata of a share that says how it is mounted, as other drivers of Manila have it."""


class GatewayShareDriver(driver.ShareDriver):
    """Shares are filesystem volumes of a gateway, which publishes them over NFS. Share servers are the gateway's.

    Every call may be repeated: what it makes is known by the instance's id.
    """

    VERSION = __version__

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(False, *args, config_opts=[list(MANILA)], **kwargs)
        self.ipv6_implemented = True
        self.private_storage = kwargs["private_storage"]
        self._site: Site | None = None
        self._client: Client | None = None

    def do_setup(self, context: Any) -> None:
        """Read the configuration and make the client; nothing is asked yet."""
        if self._client is not None:
            self._client.close()
        try:
            self._client = connect(self.configuration)
        except OptionError as error:
            raise exception.BadConfigurationException(reason=str(error)) from None

    def check_for_setup_error(self) -> None:
        """See that the gateway answers, and that it has the tenant and the pools that are configured."""
        chosen = tuple(self.configuration.safe_get("gateway_pools") or ())
        try:
            with telling(exception.BadConfigurationException), logging_in(self.configuration):
                self._site = self._run(find_site(self.configuration.safe_get("gateway_tenant") or "", chosen))
        except OptionError as error:
            raise exception.BadConfigurationException(reason=str(error)) from None

    def _update_share_stats(self, data: dict[str, Any] | None = None) -> None:
        site = self._found()
        try:
            pools = stats.serving(self._run(native.pools()), site.pools)
        except ClientError as error:
            # Nothing can be placed there now; what it was able to take before is no use to the scheduler.
            LOG.warning("The gateway cannot be asked for its pools: %s", error)
            pools = []
        told_of = {
            "vendor_name": "volume-gateway",
            "driver_version": self.VERSION,
            "storage_protocol": "NFS",
            "mount_point_name_support": True,
            "share_group_stats": {"consistent_snapshot_support": "pool" if stats.consistent(pools) else None},
            "pools": stats.described(pools, self._reserve()),
        }
        super()._update_share_stats({**told_of, **(data or {})})

    def _reserve(self) -> stats.Reserve:
        options = self.configuration
        shares_of = options.safe_get("reserved_share_percentage") or 0
        return stats.Reserve(
            shares=shares_of,
            from_snapshots=options.safe_get("reserved_share_from_snapshot_percentage") or shares_of,
            extending=options.safe_get("reserved_share_extend_percentage") or shares_of,
            over_subscription=options.safe_get("max_over_subscription_ratio"),
        )

    def get_configured_ip_versions(self) -> list[int]:
        """Give the versions of IP over which shares are served."""
        return versions(self._found().addresses)

    def get_backend_info(self, context: Any) -> dict[str, Any]:
        """Give what export locations depend on: when it changes, all shares are looked at."""
        site = self._found()
        return {
            "driver_version": self.VERSION,
            "url": self.configuration.safe_get("gateway_url"),
            "tenant": site.tenant,
            "addresses": site.addresses,
        }

    def ensure_shares(self, context: Any, shares: Sequence[Fields]) -> dict[str, dict[str, Any]]:
        """See that shares are published and give where; those that are not there are in error."""
        tenant = self._tenant
        with telling():
            found = self._run(ensuring.conditions(tenant, [self._share(share) for share in shares]))
        return {key: _update_of(condition) for key, condition in found.items()}

    def get_pool(self, share: Fields) -> str | None:
        """Give the pool that a share is in, None when it is not there."""
        with telling():
            volume = self._run(shares.find(self._share(share)))
        return volume.pool if volume is not None else None

    def get_share_status(self, share: Fields, share_server: Any = None) -> dict[str, Any]:
        """Give how the making of a share goes on."""
        with telling():
            volume = self._run(shares.require(self._share(share)))
            if volume.state == "creating":
                return {"status": constants.STATUS_CREATING_FROM_SNAPSHOT}
            if volume.state != "online":
                return {"status": constants.STATUS_ERROR}
            places = self._run(shares.published(volume))
        return {"status": constants.STATUS_AVAILABLE, "export_locations": places, "progress": "100%"}

    def update_share_usage_size(self, context: Any, shares: Sequence[Fields]) -> list[dict[str, Any]]:
        """Give how many GiB each share holds."""
        tenant = self._tenant
        with telling():
            sizes = self._run(ensuring.used(tenant, [share["id"] for share in shares]))
        now = timeutils.utcnow()
        return [{"id": key, "used_size": size, "gathered_at": now} for key, size in sizes.items()]

    def create_share(self, context: Any, share: Fields, share_server: Any = None) -> list[dict[str, Any]]:
        """Make a share that nobody may reach yet, and give its export locations."""
        with telling():
            _require_nfs(share)
            pool, thick = _pool(share), _thick(share)
            flow = shares.create(self._share(share), pool=pool, size=share["size"] * GIB, thick=bool(thick))
            return self._made(share, flow)

    def create_share_from_snapshot(
        self, context: Any, share: Fields, snapshot: Fields, share_server: Any = None, parent_share: Any = None
    ) -> dict[str, Any]:
        """Make a share with the content of a snapshot, as large as asked for, and give its export locations."""
        with telling():
            _require_nfs(share)
            if _thick(share):
                raise Refusal("a share that is made of a snapshot has no reserved space, as its type asks for")
            source = self._run(snapshots.require(self._share_of(snapshot), _snapshot(snapshot)))
            flow = shares.create_from(self._share(share), source, pool=_pool(share), size=share["size"] * GIB)
            return {"status": constants.STATUS_AVAILABLE, "export_locations": self._made(share, flow)}

    def get_optional_share_creation_data(self, share: Fields, share_server: Any = None) -> dict[str, Any]:
        """Give the options that clients have to mount a share with, where the usual ones do not do."""
        try:
            volume = self._run(shares.require(self._share(share["instance"])))
            options = mount_options(self._run(native.handles(volume.id)))
        except ClientError as error:
            # The share is there, whatever becomes of this.
            LOG.warning("Share %s may have options to mount it with: %s", share["id"], error)
            return {}
        return {"metadata": {_MOUNT_OPTIONS: options}} if options else {}

    def delete_share(self, context: Any, share: Fields, share_server: Any = None) -> None:
        """Delete a share and its export policy. One that is not there is no error."""
        with telling():
            self._run(shares.delete(self._share(share)))
        self.private_storage.delete(share["id"])

    def extend_share(self, share: Fields, new_size: int, share_server: Any = None) -> None:
        """Make a share larger."""
        with telling():
            self._run(shares.extend(self._share(share), int(new_size) * GIB))

    def shrink_share(self, share: Fields, new_size: int, share_server: Any = None) -> None:
        """Make a share smaller, if it holds no more than that. NotImplementedError where the pool cannot."""
        try:
            self._run(shares.shrink(self._share(share), int(new_size) * GIB))
        except WouldLoseData:
            raise exception.ShareShrinkingPossibleDataLoss(share_id=share["id"]) from None
        except ClientError as error:
            if error.code == "Unsupported":
                raise NotImplementedError from error
            raise told(error) from error

    def update_access(
        self,
        context: Any,
        share: Fields,
        access_rules: Sequence[Fields],
        add_rules: Sequence[Fields],
        delete_rules: Sequence[Fields],
        update_rules: Sequence[Fields],
        share_server: Any = None,
    ) -> dict[str, dict[str, str]]:
        """Let exactly those reach a share whom `access_rules` name; give those rules that cannot be as errors."""
        added = {rule["access_id"] for rule in add_rules or ()}
        with telling():
            refused = self._run(shares.set_access(self._share(share), access_rules, added))
        for key, reason in refused.items():
            LOG.warning("Access rule %s of share %s cannot be: %s", key, share["id"], reason)
        return {key: {"state": constants.ACCESS_STATE_ERROR} for key in refused}

    def create_snapshot(self, context: Any, snapshot: Fields, share_server: Any = None) -> dict[str, Any]:
        """Take a snapshot; its id at the gateway is its provider location."""
        with telling():
            taken = self._run(snapshots.take(self._share_of(snapshot), _snapshot(snapshot)))
        return {"provider_location": taken.id}

    def delete_snapshot(self, context: Any, snapshot: Fields, share_server: Any = None) -> None:
        """Delete a snapshot. One that is not there is no error."""
        with telling():
            self._run(snapshots.delete(self._share_of(snapshot), _snapshot(snapshot)))

    def revert_to_snapshot(
        self,
        context: Any,
        snapshot: Fields,
        share_access_rules: Sequence[Fields],
        snapshot_access_rules: Sequence[Fields],
        share_server: Any = None,
    ) -> int:
        """Bring the content of a snapshot back, and give the size of the share in GiB, which stays."""
        share = self._share_of(snapshot)
        with telling():
            source = self._run(snapshots.require(share, _snapshot(snapshot)))
            return gib(self._run(shares.restore(share, source)).size)

    def create_share_group_snapshot(
        self, context: Any, snap_dict: Fields, share_server: Any = None
    ) -> tuple[dict[str, Any] | None, list[dict[str, Any]] | None]:
        """Take snapshots of the shares of a group: at one instant where their pool can, else one after the other."""
        members = snap_dict["share_group_snapshot_members"]
        with telling():
            wanted = [(self._share_of(member), _snapshot(member)) for member in members]
            taken = self._run(snapshots.take_together(wanted)) if wanted else None
        if taken is None:
            answer: tuple[Any, Any] = super().create_share_group_snapshot(context, snap_dict, share_server=share_server)
            return answer
        pairs = zip(members, taken, strict=True)
        return None, [{"id": member["id"], "provider_location": snapshot.id} for member, snapshot in pairs]

    def manage_existing(self, share: Fields, driver_options: Fields | None) -> dict[str, Any]:
        """Take the volume at the share's export location into Manila's care."""
        location = share["export_locations"][0]["path"]
        with telling(exception.ManageInvalidShare):
            _require_nfs(share)
            wanted = managing.Wanted(pool=_pool(share), thick=_thick(share))
            made = self._run(managing.adopt(self._share(share), location, wanted, driver_options or {}))
        self._remember(share, made.volume)
        return {"size": gib(made.volume.size), "export_locations": made.locations}

    def unmanage(self, share: Fields) -> None:
        """Let go of a share; its volume stays as it is."""
        with telling(exception.UnmanageInvalidShare):
            self._run(managing.release(self._share(share)))
        self.private_storage.delete(share["id"])

    def manage_existing_snapshot(self, snapshot: Fields, driver_options: Fields | None) -> dict[str, Any]:
        """Take the snapshot that the provider location names, by id or name, into Manila's care."""
        share = self._share_of(snapshot)
        with telling(exception.ManageInvalidShareSnapshot):
            taken = self._run(managing.adopt_snapshot(share, _snapshot(snapshot), driver_options or {}))
            volume = self._run(shares.require(share))
        return {"size": gib(volume.size), "provider_location": taken.id}

    def unmanage_snapshot(self, snapshot: Fields) -> None:
        """Let go of a snapshot; it stays as it is."""
        with telling(exception.UnmanageInvalidShareSnapshot):
            self._run(managing.release_snapshot(self._share_of(snapshot), _snapshot(snapshot)))

    def _run(self, flow: Flow[T]) -> T:
        if self._client is None:
            raise exception.DriverNotInitialized(driver=type(self).__name__)
        return self._client.run(flow)

    @property
    def _tenant(self) -> str:
        return self._found().tenant

    def _found(self) -> Site:
        if self._site is None:
            raise exception.DriverNotInitialized(driver=type(self).__name__)
        return self._site

    def _share(self, share: Fields) -> Share:
        return Share(
            id=share["id"],
            share_id=share["share_id"],
            name=share["name"],
            tenant=self._tenant,
            mount_point=share.get("mount_point_name") or "",
            volume_id=self.private_storage.get(share["id"], _VOLUME_ID),
        )

    def _share_of(self, snapshot: Fields) -> Share:
        instance = snapshot["share_instance_id"]
        return Share(
            id=instance,
            share_id=snapshot["share_id"],
            name=snapshot["share_name"],
            tenant=self._tenant,
            volume_id=self.private_storage.get(instance, _VOLUME_ID),
        )

    def _made(self, share: Fields, flow: Flow[shares.Made]) -> list[dict[str, Any]]:
        made = self._run(flow)
        self._remember(share, made.volume)
        return made.locations

    def _remember(self, share: Fields, volume: native.Volume) -> None:
        self.private_storage.update(share["id"], {_VOLUME_ID: volume.id})


def _snapshot(snapshot: Fields) -> Snapshot:
    return Snapshot(
        id=snapshot["id"],
        snapshot_id=snapshot.get("snapshot_id") or snapshot["share_group_snapshot_id"],
        name=snapshot["name"],
        location=snapshot.get("provider_location") or "",
    )


def _pool(share: Fields) -> str:
    pool: str | None = share_utils.extract_host(share["host"], level="pool")
    if not pool:
        raise Refusal(f"{share['host']!r} names no pool")
    return pool


def _thick(share: Fields) -> bool | None:
    """Tell whether the share type asks for reserved space; None when it does not say."""
    if not share.get("share_type_id"):
        return None
    return asked_thick(share_types.get_extra_specs_from_share(share))


def asked_thick(specs: Mapping[str, str]) -> bool | None:
    """Tell whether extra specs ask for reserved space; None when they do not say."""
    asked = specs.get(_THIN, specs.get(f"capabilities:{_THIN}"))
    return None if asked is None else not share_types.parse_boolean_extra_spec(_THIN, asked)


def _require_nfs(share: Fields) -> None:
    if share["share_proto"].upper() != "NFS":
        raise Refusal(f"shares are served over NFS, not {share['share_proto']}")


def _update_of(condition: ensuring.Condition) -> dict[str, Any]:
    """Give what the manager writes down of a share's condition; nothing where nobody knows it."""
    if condition.healthy is None:
        return {}
    if not condition.healthy:
        return {"status": constants.STATUS_ERROR}
    return {
        "status": constants.STATUS_AVAILABLE,
        "export_locations": condition.locations,
        "reapply_access_rules": condition.renewed,
    }
