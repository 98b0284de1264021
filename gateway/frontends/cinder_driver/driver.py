"""The class that Cinder loads. Its methods turn Cinder's objects into records, and errors into its exceptions."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from cinder import exception, interface
from cinder.volume import configuration as volume_configuration
from cinder.volume import driver, volume_utils
from oslo_config import cfg
from oslo_log import log as logging

from gateway import __version__
from gateway.client import ClientError
from gateway.frontends.cinder_driver import (
    connections,
    groups,
    managing,
    placing,
    snapshots,
    specs,
    stats,
    volumes,
)
from gateway.frontends.cinder_driver.errors import ANSWER_LOST, NOT_IMPLEMENTED, Doing, Refusal, refusal
from gateway.frontends.cinder_driver.records import (
    GIB,
    pool_of,
    snapshot_of,
    snapshots_of,
    specs_of,
    typed_volume_of,
    volume_of,
)
from gateway.frontends.cinder_driver.site import Settings, Site, open_site
from gateway.frontends.openstack.connection import OptionError, connect, logging_in
from gateway.frontends.openstack.options import CINDER

CONF = cfg.CONF
CONF.register_opts(CINDER, group=volume_configuration.SHARED_CONF_GROUP)

LOG = logging.getLogger(__name__)

_NEVER_MANAGED = "error_managing_deleting"
"""The status in which Cinder deletes a volume that it could not take under its care, as if it had made it."""

Update = dict[str, Any] | None
"""What Cinder writes into its record of an object."""


class AnswerLost(exception.VolumeBackendAPIException, exception.MetadataUpdateFailure):
    """Nobody knows whether a volume was made.

    By its second base Cinder takes it for made: it leaves the volume where it
    is, in error, and its deletion to the driver. Of any other it would forget
    where it may be, and make it elsewhere.
    """


@interface.volumedriver
class GatewayVolumeDriver(driver.VolumeDriver):
    """Block volumes of a gateway. It keeps nothing itself: what is there is known by the gateway, by Cinder's ids."""

    VERSION = __version__

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.configuration.append_config_values(list(CINDER))
        self._site: Site | None = None

    @staticmethod
    def get_driver_options() -> list[cfg.Opt]:
        """Give the options of a backend's stanza."""
        return list(CINDER)

    # --- start, and what the scheduler is told ---

    def do_setup(self, context: Any) -> None:
        """Connect to the gateway and look whether what is configured is there."""
        if self.configuration.safe_get("replication_device"):
            text = "replication_device: the gateway does not replicate volumes of Cinder"
            raise exception.InvalidConfigurationValue(text)
        if self._site is not None:
            self._site.client.close()
            self._site = None
        try:
            client = connect(self.configuration)
            with _words(Doing.READ, self._backend_name), logging_in(self.configuration):
                self._site = open_site(client, self._settings())
                self._stats = stats.stats(self._site, self._stats_words())
        except OptionError as error:
            raise exception.InvalidConfigurationValue(str(error)) from None

    def check_for_setup_error(self) -> None:
        """Warn of pools whose volumes no host could reach."""
        for pool in self._stats["pools"]:
            if not pool["multiattach"]:
                LOG.warning("No host can be led to volumes of the pool %s by gateway_ways.", pool["pool_name"])

    def _update_volume_stats(self) -> None:
        """Ask the gateway, once. While it does not answer, what was last told is told, as being down."""
        try:
            self._stats = stats.stats(self._opened, self._stats_words())
        except ClientError as error:
            LOG.warning("The gateway of %s cannot say what it has: %s", self._backend_name, error)
            self._stats = stats.down(self._stats)

    def _init_vendor_properties(self) -> tuple[dict[str, Any], str]:
        """Give what volume types may ask of a pool."""
        properties: dict[str, Any] = {}
        for key, (title, description, kind) in specs.PROPERTIES.items():
            self._set_property(properties, f"{specs.PREFIX}:{key}", title, description, kind)
        return properties, specs.PREFIX

    def get_pool(self, volume: Any) -> str:
        """Give the pool in which a volume is."""
        with self._asked(Doing.READ, volume.id) as site:
            return site.volume(volume_of(volume)).pool

    def update_provider_info(self, volumes: Any, snapshots: Any) -> tuple[Any, Any]:
        """Give the gateway's ids of volumes and snapshots of which Cinder does not know it."""
        try:
            return (
                managing.provider_ids(self._opened, map(volume_of, volumes)),
                managing.snapshot_provider_ids(self._opened, map(snapshot_of, snapshots)),
            )
        except ClientError as error:
            # They are found by their names.
            LOG.warning("The gateway of %s cannot say which ids volumes have there: %s", self._backend_name, error)
            return None, None

    # --- volumes ---

    def create_volume(self, volume: Any) -> Update:
        """Make a volume."""
        with self._asked(Doing.MAKE, volume.id) as site:
            self._check_group(volume)
            return _known(volumes.create(site, typed_volume_of(volume)))

    def create_volume_from_snapshot(self, volume: Any, snapshot: Any) -> Update:
        """Make a volume of a snapshot, without copying; larger if it is to be."""
        with self._asked(Doing.CLONE, volume.id) as site:
            self._check_group(volume)
            return _known(volumes.from_snapshot(site, typed_volume_of(volume), snapshot_of(snapshot)))

    def create_cloned_volume(self, volume: Any, src_vref: Any) -> Update:
        """Make a volume of another one as it is now, without copying; larger if it is to be."""
        with self._asked(Doing.CLONE, volume.id) as site:
            self._check_group(volume)
            return _known(volumes.cloned(site, typed_volume_of(volume), volume_of(src_vref)))

    def delete_volume(self, volume: Any) -> None:
        """Delete a volume. One that Cinder failed to manage was there before, and stays."""
        if volume.status == _NEVER_MANAGED:
            self.unmanage(volume)
            return
        with self._asked(Doing.DELETE_VOLUME, volume.name) as site:
            volumes.delete(site, volume_of(volume))

    def extend_volume(self, volume: Any, new_size: int) -> None:
        """Let a volume grow, also while hosts use it."""
        with self._asked(Doing.EXTEND, volume.id) as site:
            volumes.extend(site, volume_of(volume), new_size * GIB)

    def accept_transfer(self, context: Any, volume: Any, new_user: str, new_project: str) -> Update:
        """Note the project to which a volume now belongs."""
        with self._asked(Doing.READ, volume.id) as site:
            volumes.transferred(site, volume_of(volume), new_project)
        return None

    # --- snapshots ---

    def create_snapshot(self, snapshot: Any) -> Update:
        """Take a snapshot."""
        with self._asked(Doing.SNAPSHOT, snapshot.volume_id) as site:
            return _known(snapshots.create(site, snapshot_of(snapshot)))

    def delete_snapshot(self, snapshot: Any) -> None:
        """Delete a snapshot; `SnapshotIsBusy` while volumes that were made of it are there."""
        with self._asked(Doing.DELETE_SNAPSHOT, snapshot.name) as site:
            snapshots.delete(site, snapshot_of(snapshot))

    def revert_to_snapshot(self, context: Any, volume: Any, snapshot: Any) -> None:
        """Bring a snapshot's content back in place."""
        with self._asked(Doing.REVERT, snapshot.id) as site:
            snapshots.revert(site, volume_of(volume), snapshot_of(snapshot))

    def snapshot_revert_use_temp_snapshot(self) -> bool:
        """Tell Cinder not to take one first: reverting happens as a whole or not, and a newer one may forbid it."""
        return False

    # --- ways to volumes ---

    def validate_connector(self, connector: Mapping[str, Any]) -> None:
        """Raise `InvalidConnectorException` when a host does not say enough of itself."""
        with self._asked(Doing.ATTACH, "") as site:
            connections.check(site, connector)

    def ensure_export(self, context: Any, volume: Any) -> None:
        """Do nothing: the gateway keeps what it serves."""

    def create_export(self, context: Any, volume: Any, connector: Any) -> Update:
        """Do nothing: `initialize_connection` does it, for a host."""
        return None

    def remove_export(self, context: Any, volume: Any) -> None:
        """Do nothing: `terminate_connection` does it, for a host."""

    def initialize_connection(self, volume: Any, connector: Mapping[str, Any], **_kwargs: Any) -> dict[str, Any]:
        """Let a host reach a volume and tell how."""
        with self._asked(Doing.ATTACH, volume.id) as site:
            return connections.attach(site, volume_of(volume), connector, _connectors(volume))

    def terminate_connection(self, volume: Any, connector: Mapping[str, Any] | None, **_kwargs: Any) -> bool:
        """End a host's right to a volume. True when another attachment there still needs it."""
        with self._asked(Doing.ATTACH, volume.id) as site:
            if connections.shared(connector, _connectors(volume)):
                return True
            connections.detach(site, volume_of(volume), connector)
            return False

    def initialize_connection_snapshot(self, snapshot: Any, connector: Any, **_kwargs: Any) -> dict[str, Any]:
        """Refuse: a snapshot is read as a volume that is made of it."""
        raise exception.VolumeDriverException(message="a snapshot is not attached; make a volume of it")

    def backup_use_temp_snapshot(self) -> bool:
        """Tell Cinder to back up a clone, which costs as little as a snapshot and can be attached."""
        if super().backup_use_temp_snapshot():
            LOG.warning("backup_use_temp_snapshot has no effect: backups are made of clones.")
        return False

    # --- what is there already ---

    def manage_existing_get_size(self, volume: Any, existing_ref: managing.Reference) -> int:
        """Give the size in GiB of a volume at the gateway."""
        with self._asked(Doing.MANAGE, str(existing_ref)) as site:
            return managing.size(site, volume_of(volume), existing_ref)

    def manage_existing(self, volume: Any, existing_ref: managing.Reference) -> Update:
        """Take a volume at the gateway under Cinder's care."""
        with self._asked(Doing.MANAGE, str(existing_ref)) as site:
            return _known(managing.manage(site, typed_volume_of(volume), existing_ref))

    def unmanage(self, volume: Any) -> None:
        """Give a volume back."""
        with self._asked(Doing.READ, volume.id) as site:
            managing.unmanage(site, volume_of(volume))

    def get_manageable_volumes(
        self,
        cinder_volumes: Any,
        marker: Any,
        limit: int,
        offset: int,
        sort_keys: Sequence[str],
        sort_dirs: Sequence[str],
    ) -> Any:
        """Give a page of the gateway's volumes."""
        with self._asked(Doing.READ, self._backend_name) as site:
            found = managing.entries(site, map(volume_of, cinder_volumes))
        return volume_utils.paginate_entries_list(found, marker, limit, offset, sort_keys, sort_dirs)

    def manage_existing_snapshot_get_size(self, snapshot: Any, existing_ref: managing.Reference) -> int:
        """Give the size in GiB of a snapshot at the gateway."""
        with self._asked(Doing.MANAGE, str(existing_ref)) as site:
            return managing.snapshot_size(site, snapshot_of(snapshot), existing_ref)

    def manage_existing_snapshot(self, snapshot: Any, existing_ref: managing.Reference) -> Update:
        """Take a snapshot at the gateway under Cinder's care."""
        with self._asked(Doing.MANAGE, str(existing_ref)) as site:
            return _known(managing.manage_snapshot(site, snapshot_of(snapshot), existing_ref))

    def unmanage_snapshot(self, snapshot: Any) -> None:
        """Give a snapshot back."""
        with self._asked(Doing.READ, snapshot.id) as site:
            managing.unmanage_snapshot(site, snapshot_of(snapshot))

    def get_manageable_snapshots(
        self,
        cinder_snapshots: Any,
        marker: Any,
        limit: int,
        offset: int,
        sort_keys: Sequence[str],
        sort_dirs: Sequence[str],
    ) -> Any:
        """Give a page of the gateway's snapshots."""
        with self._asked(Doing.READ, self._backend_name) as site:
            found = managing.snapshot_entries(site, map(snapshot_of, cinder_snapshots))
        return volume_utils.paginate_entries_list(found, marker, limit, offset, sort_keys, sort_dirs)

    # --- other types, other places ---

    def retype(self, context: Any, volume: Any, new_type: Any, diff: Any, host: placing.Host) -> tuple[bool, Update]:
        """Make a volume what another type wants. False where Cinder has to copy it for that."""
        with self._asked(Doing.MOVE, volume.id) as site:
            return placing.retyped(site, volume_of(volume), specs_of(new_type), diff, host), None

    def migrate_volume(self, context: Any, volume: Any, host: placing.Host) -> tuple[bool, Update]:
        """Take a volume to another pool of this gateway. False where Cinder has to copy it for that."""
        with self._asked(Doing.MOVE, volume.id) as site:
            return placing.moved(site, volume_of(volume), host), None

    def update_migrated_volume(
        self, ctxt: Any, volume: Any, new_volume: Any, original_volume_status: str
    ) -> dict[str, Any]:
        """Let the copy that Cinder made of a volume be called what the volume is called.

        `provider_id` is not told: Cinder exchanges those of the two volumes itself, afterwards.
        """
        with self._asked(Doing.MOVE, volume.id) as site:
            # Its name follows `_name_id`, which an earlier copy may have left; without one it is made of the id.
            wanted = msgspec.structs.replace(volume_of(volume), name=CONF.volume_name_template % volume.id)
            done = placing.renamed(site, wanted, volume_of(new_volume))
        return {"_name_id": None if done else new_volume.name_id, "provider_location": None}

    # --- groups ---

    def create_group(self, context: Any, group: Any) -> Update:
        """Look whether snapshots of a group's volumes can be one instant, where the group's type wants that."""
        _require_consistent(group)
        with self._asked(Doing.GROUP, group.id) as site:
            groups.check_pool(site, pool_of(group.host))
        return {"status": "available"}

    def update_group(
        self, context: Any, group: Any, add_volumes: Any = None, remove_volumes: Any = None
    ) -> tuple[Update, Any, Any]:
        """Look whether volumes that come to a group are in its pool."""
        _require_consistent(group)
        with self._asked(Doing.GROUP, group.id):
            groups.check_members(pool_of(group.host), map(volume_of, add_volumes or ()))
        return None, None, None

    def delete_group(self, context: Any, group: Any, volumes: Any) -> tuple[Update, Any]:
        """Delete the volumes of a group."""
        with self._asked(Doing.GROUP, group.id) as site:
            updates = groups.delete_volumes(site, map(volume_of, volumes))
        return groups.status(updates), updates

    def create_group_snapshot(self, context: Any, group_snapshot: Any, snapshots: Any) -> tuple[Update, Any]:
        """Take snapshots of a group's volumes at one instant."""
        _require_consistent(group_snapshot)
        with self._asked(Doing.GROUP, group_snapshot.id) as site:
            updates = groups.snapshot(site, snapshots_of(snapshots))
        return {"status": "available"}, updates

    def delete_group_snapshot(self, context: Any, group_snapshot: Any, snapshots: Any) -> tuple[Update, Any]:
        """Delete the snapshots of a group."""
        with self._asked(Doing.GROUP, group_snapshot.id) as site:
            updates = groups.delete_snapshots(site, snapshots_of(snapshots))
        return groups.status(updates), updates

    def create_group_from_src(
        self,
        context: Any,
        group: Any,
        volumes: Any,
        group_snapshot: Any = None,
        snapshots: Any = None,
        source_group: Any = None,
        source_vols: Any = None,
    ) -> tuple[Update, Any]:
        """Make the volumes of a group of the snapshots of another one."""
        _require_consistent(group)
        if snapshots is None:
            text = "a group with consistent snapshots is made of a snapshot of a group; take one first"
            raise exception.VolumeDriverException(message=text)
        with self._asked(Doing.GROUP, group.id) as site:
            updates = groups.from_snapshots(site, [typed_volume_of(one) for one in volumes], snapshots_of(snapshots))
        return {"status": "available"}, updates

    # --- what all of them share ---

    @property
    def _backend_name(self) -> str:
        return self.configuration.safe_get("volume_backend_name") or self.configuration.config_group or "gateway"

    @property
    def _opened(self) -> Site:
        if self._site is None:
            raise exception.DriverNotInitialized
        return self._site

    @contextmanager
    def _asked(self, doing: Doing, ref: str) -> Iterator[Site]:
        """Give what a call works with; what goes wrong meanwhile is raised in Cinder's words."""
        with _words(doing, ref):
            yield self._opened

    def _settings(self) -> Settings:
        option = self.configuration.safe_get
        return Settings(
            tenant=option("gateway_tenant") or "",
            pools=tuple(option("gateway_pools") or ()),
            ways=tuple(option("gateway_ways") or ()),
            chap=bool(option("gateway_chap")),
            mount_base=os.path.join(CONF.state_path, "mnt"),  # noqa: PTH118 - goes to other programs as a text
        )

    def _stats_words(self) -> stats.Words:
        option = self.configuration.safe_get
        return stats.Words(
            backend_name=self._backend_name,
            reserved_percentage=option("reserved_percentage") or 0,
            max_over_subscription_ratio=volume_utils.get_max_over_subscription_ratio(
                option("max_over_subscription_ratio"), supports_auto=True
            ),
            filter_function=self.get_filter_function(),
            goodness_function=self.get_goodness_function(),
        )

    def _check_group(self, volume: Any) -> None:
        """Raise Refusal when a volume comes to be elsewhere than the snapshots of its group can be one instant."""
        if volume.group_id and volume_utils.is_group_a_cg_snapshot_type(volume.group):
            groups.check_members(pool_of(volume.group.host), [volume_of(volume)])


@contextmanager
def _words(doing: Doing, ref: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise _raised(refusal(error, doing, ref)) from error
    except Refusal as refused:
        raise _raised(refused) from None


def _raised(refused: Refusal) -> Exception:
    """Give the exception that a refusal names."""
    if refused.exception == NOT_IMPLEMENTED:
        return NotImplementedError(refused.keywords.get("message"))
    if refused.exception == ANSWER_LOST:
        return AnswerLost(**refused.keywords)
    raised: Exception = getattr(exception, refused.exception)(**refused.keywords)
    return raised


def _require_consistent(group: Any) -> None:
    """Leave a group to Cinder's own way unless its snapshots have to be one instant."""
    if not volume_utils.is_group_a_cg_snapshot_type(group):
        raise NotImplementedError


def _connectors(volume: Any) -> list[Any]:
    """Give what the hosts that have a volume said of themselves; None where none did."""
    return [one.connector for one in volume.volume_attachment or ()]


def _known(found: Any) -> dict[str, str]:
    """Give what Cinder keeps of something at the gateway."""
    return {"provider_id": found.id}
