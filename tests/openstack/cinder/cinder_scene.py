"""A driver as cinder-volume has it, before a real gateway, with Cinder's own objects and without its database."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from cinder import context, objects
from cinder.volume import driver as base
from cinder.volume.configuration import Configuration
from oslo_config import cfg

from gateway.client import Client
from gateway.embedded import gateway_in_thread
from gateway.frontends.cinder_driver import GatewayVolumeDriver
from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway

objects.register_all()

CONF = cfg.CONF
ADMIN = context.get_admin_context()
GIB = 1 << 30
PROJECT = uuid4().hex
TENANT = "svm1"
MEMORY = "[backend.memory]\n[backend.other]\ndriver = 'memory'\n"
_NUMBERS = itertools.count(1)


@contextlib.contextmanager
def gateway(folder: Path, *, pools: str = MEMORY, extra: str = "", tls: bool = False) -> Iterator[str]:
    """Give the address of a gateway that runs in a thread."""
    with gateway_in_thread(LiveGateway(folder, pools=pools, extra=extra, tls=tls).config) as doors:
        yield doors.addresses["ontap"]


def client(url: str) -> Client:
    return Client(url, user=ACCOUNT, password=PASSWORD)


@contextlib.contextmanager
def configured(url: str, **options: Any) -> Iterator[GatewayVolumeDriver]:
    """Give a driver that has not been set up, whose stanza has these options."""
    group = f"gateway{next(_NUMBERS)}"
    configuration = Configuration(base.volume_opts, config_group=group)
    driver = GatewayVolumeDriver(configuration=configuration, host=f"host@{group}", is_vol_db_empty=True)
    given = {"gateway_url": url, "gateway_user": ACCOUNT, "gateway_password": PASSWORD, **options}
    given.setdefault("volume_backend_name", group)
    for name, value in given.items():
        CONF.set_override(name, value, group=group)
    try:
        yield driver
    finally:
        for name in given:
            CONF.clear_override(name, group=group)
        if driver._site is not None:
            driver._site.client.close()


@contextlib.contextmanager
def started(url: str, **options: Any) -> Iterator[GatewayVolumeDriver]:
    """Give a driver that has started as the manager starts it."""
    with configured(url, **options) as driver:
        driver.do_setup(ADMIN)
        driver.check_for_setup_error()
        driver.init_capabilities()
        driver.set_initialized()
        yield driver


def volume(
    driver: GatewayVolumeDriver | None = None,
    *,
    pool: str = "memory",
    size: int = 1,
    specs: Mapping[str, str] | None = None,
    group: objects.Group | None = None,
    multiattach: bool = False,
    attachments: Sequence[Mapping[str, Any] | None] = (),
    **fields: Any,
) -> objects.Volume:
    """Give a volume as the manager hands it over. With a driver it is made there, and keeps what that told."""
    key = str(uuid4())
    kind = objects.VolumeType(ADMIN, id=str(uuid4()), name="type", extra_specs=dict(specs)) if specs else None
    made = objects.Volume(
        ADMIN,
        **{
            "id": key,
            "_name_id": None,
            "size": size,
            "host": f"host@gateway#{pool}",
            "project_id": PROJECT,
            "provider_id": None,
            "provider_location": None,
            "multiattach": multiattach,
            "status": "creating",
            "volume_type_id": kind.id if kind else None,
            "volume_type": kind,
            "group_id": group.id if group else None,
            "group": group,
            "volume_attachment": objects.VolumeAttachmentList(
                objects=[objects.VolumeAttachment(ADMIN, id=str(uuid4()), connector=one) for one in attachments]
            ),
            **fields,
        },
    )
    if driver is not None:
        made.update(driver.create_volume(made))
    return made


def snapshot(source: objects.Volume, driver: GatewayVolumeDriver | None = None, **fields: Any) -> objects.Snapshot:
    """Give a snapshot of a volume. With a driver it is taken there."""
    made = objects.Snapshot(
        ADMIN,
        **{
            "id": str(uuid4()),
            "volume_id": source.id,
            "volume": source,
            "volume_size": source.size,
            "project_id": PROJECT,
            "provider_id": None,
            **fields,
        },
    )
    if driver is not None:
        made.update(driver.create_snapshot(made))
    return made
