"""Mounts and who needs them. A volume is mounted once for all of its containers, and until the last of them ends.

Who needs a mount is part of the volume's record, so it outlives the gateway.
It does not outlive the host: containers of an earlier boot are no more.
"""

from __future__ import annotations

from contextlib import suppress

from gateway.core import errors, mounts
from gateway.core.catalog import walk
from gateway.core.context import Core
from gateway.core.model import Mount, Volume, VolumeKind
from gateway.core.mounts import NewMount
from gateway.core.observer import Observer
from gateway.core.query import Compare, Op, Order, Query
from gateway.frontends.docker import lookup
from gateway.frontends.docker.placing import ON_BLOCKS
from gateway.frontends.docker.site import Site, is_user
from gateway.frontends.docker.wanted import READ_ONLY, Kept

_PAGE = 500


async def mount(core: Core, site: Site, name: str, caller: str) -> str:
    """Mount a volume for a caller and give where it is; the same caller again counts once."""
    volume = await lookup.shown(core, site, name)
    kept = Kept.of(volume.annotations)
    options = dict(kept.mount_options)
    new = NewMount(
        path=site.path(volume.name),
        read_only=options.pop(READ_ONLY, None) is not None,
        options=options,
        format=kept.format if volume.kind is VolumeKind.BLOCK and kept.format in ON_BLOCKS else "",
        user=site.user(caller),
    )
    await (await mounts.mount(core, volume.id, new, description=f"Docker: mount {volume.name}")).result()
    return new.path


async def unmount(core: Core, site: Site, name: str, caller: str) -> None:
    """Note that a caller needs a volume no more, and end its mount with the last one.

    One that does not need it, or is not mounted, is unmounted already. NotFound
    for a volume that is neither there nor mounted under the name.
    """
    path = site.path(name)
    # By the place, because a volume may have another name by now.
    volume = await core.find(Volume, mount__path=f"{site.node}:{path}")
    if volume is None:
        volume = await lookup.shown(core, site, name)
    with suppress(errors.NotFound):
        started = await mounts.unmount(
            core, volume.id, path, user=site.user(caller), description=f"Docker: unmount {name}"
        )
        await started.result()


async def path(core: Core, site: Site, name: str) -> str:
    """Give where a volume is mounted; InvalidState when it is not."""
    volume = await lookup.shown(core, site, name)
    found = site.mount_of(volume)
    if found is None:
        raise errors.InvalidState(kind="volume", ref=volume.name, state="not mounted", action="give the path of")
    return found.path


async def forget(core: Core, volume: Volume, mounted: Mount) -> None:
    """End what this door's callers needed of a mount that no container has.

    A daemon that was killed takes nothing back when it is there again. Who
    came after `mounted` was looked at stays.
    """
    ours = frozenset(filter(is_user, mounted.users))
    with suppress(errors.NotFound):
        started = await mounts.drop_users(
            core, volume.id, mounted.path, ours.__contains__, description=f"Docker: unmount {volume.name}"
        )
        await started.result()


async def settle(core: Core, site: Site, observer: Observer) -> None:
    """End what containers of an earlier boot of this host needed. What cannot be ended now is left for another time."""
    query = Query(where=Compare("mount_count", Op.GT, 0), order=(Order("id"),), limit=_PAGE)
    gone = site.gone()
    found = [
        (volume, mounted)
        async for volume in walk(core.catalog, Volume, query)
        for mounted in volume.mounts
        if mounted.node == site.node and any(map(gone, mounted.users))
    ]
    for volume, mounted in found:
        about = {"volume": str(volume.id), "path": mounted.path}
        try:
            started = await mounts.drop_users(
                core, volume.id, mounted.path, gone, description=f"Docker: settle {volume.name}"
            )
            await started.result()
        except errors.GatewayError as error:
            observer.event("docker_mount_not_settled", **about, error=str(error))
        else:
            observer.event("docker_mount_settled", **about)
