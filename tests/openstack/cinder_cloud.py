"""Cinder as its users see it, by the stock client, and hosts that use its volumes."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from typing import Any

from cinderclient import client, exceptions
from cinderclient.contrib.noauth import CinderNoAuthPlugin
from iscsi_scene import Initiator
from keystoneauth1 import session
from os_brick.initiator.connector import InitiatorConnector

PROJECT = "0123456789abcdef0123456789abcdef"
LIMIT_S = 60
POLL_S = 0.1
INITIATOR = "iqn.1993-08.org.debian:01:elsewhere"
HERE = {"host": os.uname().nodename, "ip": "127.0.0.1", "platform": "x86_64", "os_type": "linux", "multipath": False}
"""What this machine says of itself."""
ELSEWHERE = {**HERE, "host": "elsewhere", "ip": "192.0.2.7", "initiator": INITIATOR}
"""What another machine says of itself."""


class Cloud:
    """The API. What it makes is waited for: Cinder has to be asked."""

    def __init__(self, url: str) -> None:
        auth = CinderNoAuthPlugin("admin", PROJECT, endpoint=f"{url}/v3")
        self.api = client.Client("3.71", session=session.Session(auth=auth))

    def kind(self, name: str, specs: Mapping[str, str]) -> str:
        """Make a volume type."""
        self.api.volume_types.create(name).set_keys(specs)
        return name

    def group_type(self, name: str, specs: Mapping[str, str]) -> str:
        """Make a type of groups; give its id."""
        made = self.api.group_types.create(name)
        made.set_keys(specs)
        return str(made.id)

    def serves(self, kind: str) -> None:
        """Wait until volumes of a type can be made: a gateway that was away is known to be back only after a while."""
        end = time.monotonic() + LIMIT_S
        status = ""
        while status != "available":
            assert time.monotonic() < end
            volume = self.api.volumes.create(1, volume_type=kind)
            while (status := self.api.volumes.get(volume.id).status) == "creating":
                time.sleep(POLL_S)
            self.delete(volume)

    def volume(self, size: int = 1, **options: Any) -> Any:
        """Make a volume."""
        return self.settled(self.api.volumes.create(size, **options))

    def snapshot(self, volume: Any, **options: Any) -> Any:
        return self.settled(self.api.volume_snapshots.create(volume.id, **options))

    def settled(self, thing: Any, status: str = "available") -> Any:
        """Wait for a status, and give how the thing is then."""
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            found = thing.manager.get(thing.id)
            if found.status == status:
                return found
            failed = found.status.startswith("error") and not status.startswith("error")
            assert not failed, f"{found.status}: {self.why(thing)}"
            time.sleep(POLL_S)
        raise AssertionError(f"{thing.id} is {found.status}, not {status}")

    def moved(self, volume: Any, host: str) -> None:
        """Wait until a volume is elsewhere."""
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            found = self.api.volumes.get(volume.id).to_dict()
            if found["os-vol-host-attr:host"] == host and found["status"] == "available":
                return
            assert found["migration_status"] != "error", self.why(volume)
            assert not found["status"].startswith("error"), self.why(volume)
            time.sleep(POLL_S)
        raise AssertionError(f"{found['os-vol-host-attr:host']}, {found['migration_status']}")

    def gone(self, *things: Any) -> None:
        """Wait until things are not there any more."""
        end = time.monotonic() + LIMIT_S
        for thing in things:
            found = thing
            while time.monotonic() < end:
                try:
                    found = thing.manager.get(thing.id)
                except exceptions.NotFound:
                    break
                assert not found.status.startswith("error"), f"{found.status}: {self.why(thing)}"
                time.sleep(POLL_S)
            else:
                raise AssertionError(f"{thing.id} is still there: {found.status}")

    def delete(self, *things: Any) -> None:
        """Delete things, in this order."""
        for thing in things:
            thing.manager.delete(thing)
            self.gone(thing)

    def why(self, thing: Any) -> list[str]:
        """Give what Cinder tells its users of a failure."""
        return [told.user_message for told in self.api.messages.list() if told.resource_uuid == thing.id]

    def attach(self, volume: Any, connector: dict[str, Any]) -> Attachment:
        """Let a host have a volume."""
        made = self.api.attachments.create(volume.id, connector, instance_id=None, mode="rw")
        made = made if isinstance(made, dict) else made.to_dict()
        self.api.attachments.complete(made["id"])
        self.settled(volume, "in-use")
        return Attachment(self, volume, made, str(connector.get("initiator", "")))


class Attachment:
    """A host that has a volume."""

    def __init__(self, cloud: Cloud, volume: Any, made: dict[str, Any], initiator: str) -> None:
        self.id = made["id"]
        self.info = made["connection_info"]
        self._cloud = cloud
        self._volume = volume
        self._initiator = initiator

    @property
    def way(self) -> str:
        return str(self.info["driver_volume_type"])

    def device(self) -> str:
        """Give the device on this machine, as a hypervisor gets it."""
        connected = InitiatorConnector.factory(self.way, None).connect_volume(self.info)
        assert connected["type"] == "local"
        return str(connected["path"])

    def unit(self) -> Unit:
        """Give what an initiator reaches by it."""
        return Unit(self.info, self._initiator)

    def end(self, *, status: str = "available") -> None:
        """Take the volume from the host again."""
        self._cloud.api.attachments.delete(self.id)
        self._cloud.settled(self._volume, status)


class Unit:
    """A volume over iSCSI, by what Cinder tells of it."""

    def __init__(self, info: dict[str, Any], initiator: str) -> None:
        assert info["auth_method"] == "CHAP"
        portal = re.fullmatch(r"127\.0\.0\.1:(\d+)", info["target_portal"])
        assert portal is not None
        login = (info["auth_username"], info["auth_password"])
        self.target, self.lun, self.port = info["target_iqn"], info["target_lun"], int(portal[1])
        self.initiator = Initiator(initiator, self.port, login)

    def write(self, pattern: int) -> None:
        done = self.initiator.io(self.target, self.lun, f"write -P {pattern} 1M 64k", "flush")
        assert done.returncode == 0, done.stdout + done.stderr

    def holds(self, pattern: int) -> bool:
        return self.initiator.io(self.target, self.lun, f"read -P {pattern} 1M 64k").returncode == 0

    def size(self) -> int:
        return self.initiator.size(self.target, self.lun)

    def lets_in(self, name: str, login: tuple[str, str] | None) -> bool:
        return Initiator(name, self.port, login).reaches(self.target, self.lun)


def write(device: str, content: bytes, at: int = 1 << 20) -> None:
    """Write to a device, through to what is below it."""
    file = os.open(device, os.O_WRONLY)
    try:
        os.pwrite(file, content, at)
        os.fsync(file)
    finally:
        os.close(file)


def read(device: str, length: int, at: int = 1 << 20) -> bytes:
    """Read from a device what is below it now, past what is remembered."""
    file = os.open(device, os.O_RDONLY)
    try:
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        return os.pread(file, length, at)
    finally:
        os.close(file)


def size(device: str) -> int:
    file = os.open(device, os.O_RDONLY)
    try:
        return os.lseek(file, 0, os.SEEK_END)
    finally:
        os.close(file)
