"""What the protocol's own headers say. Pure.

`Libstorage-Instanceid: DRIVER[:SERVICE]=ID[,FIELDS][,METADATA]` and
`Libstorage-Localdevices: DRIVER=KEY::VALUE[,KEY::VALUE...]` come any number
of times, each value in a line of its own; `Libstorage-Tx: txID=UUID,
txCR=SECONDS` comes once. What cannot be read is a `BadHeader`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import parse_qsl, quote_plus, unquote_plus

import msgspec

INSTANCE_ID = "Libstorage-Instanceid"
LOCAL_DEVICES = "Libstorage-Localdevices"
TRANSACTION = "Libstorage-Tx"
SERVER_NAME = "Libstorage-Servername"

INSTANCE_ID_MAX = 64 * 1024
"""How long an instance id may be, with what it carries; lists of devices may be of any length."""

_FIELDS_MAX = 64
_ADDRESSES_MAX = 512
_IID = re.compile(r"([^=]+)=([^,]*)(?:,(.*?))?(?:,(.+))?", re.DOTALL)
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
# Clients of the reference make the byte of the variant other than RFC 4122 has it, so any will do.
_TX = re.compile(
    r"(?i:txID)=(?:urn:uuid:)?\{?([0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})\}?"
    r"\s*,\s*(?i:txCR)=([0-9]{1,18})"
)
_SPACES = " \t\r\n\f\v"
_NOT_IN_IDS = re.compile(r"[,=\s]")


class BadHeader(Exception):  # noqa: N818 - named by what is wrong, as in the core
    """A header that cannot be read. `kind` is one of: InstanceID, LocalDevices, transaction."""

    def __init__(self, kind: str, value: str) -> None:
        super().__init__(f"invalid {kind}")
        self.kind = kind
        self.value = value


class InstanceId(msgspec.Struct, frozen=True):
    """Who asks: a node as the executor of a driver names it, for one service or for all of the driver.

    `id` is empty while only the `metadata` is known from which the server
    makes it; UNSET metadata was not given, None is JSON's null.
    """

    driver: str
    service: str
    id: str
    fields: dict[str, str] = {}
    metadata: Any = msgspec.UNSET

    def text(self) -> str:
        """Give the value of a header that says the same."""
        result = f"{self.driver}:{self.service}={self.id}" if self.service else f"{self.driver}={self.id}"
        if self.fields or self.metadata is not msgspec.UNSET:
            pairs = (f"{quote_plus(key)}={quote_plus(value)}" for key, value in sorted(self.fields.items()))
            result += f",{'&'.join(pairs)}"
        if self.metadata is not msgspec.UNSET:
            result += f",{base64.b64encode(msgspec.json.encode(self.metadata)).decode()}"
        return result


class LocalDevices(msgspec.Struct, frozen=True):
    """What one driver's executor sees on its node, such as mount points by their source."""

    driver: str
    devices: Mapping[str, str]

    def text(self) -> str:
        """Give the value of a header that says the same."""
        return f"{self.driver}={','.join(f'{key}::{value}' for key, value in sorted(self.devices.items()))}"


class Transaction(msgspec.Struct, frozen=True):
    """What a client calls one of its operations, and when it began, in seconds since the epoch."""

    id: str
    created: int

    def text(self) -> str:
        """Give the value of a header that says the same."""
        return f"txID={self.id}, txCR={self.created}"


class DeviceText(Mapping[str, str]):
    """Entries as they came. Looking one up searches the text, which is quick where there are ten thousand.

    A key ends at the first `::`, or at the first one behind the bracket if it
    begins with an address in brackets, `[fd00::1]:/x`. What has no `::` is the
    end of a path with a comma in it, and is passed over.
    """

    def __init__(self, text: str) -> None:
        self._text = f",{text}" if text else ""

    def __getitem__(self, key: str) -> str:
        end = len(self._text)
        # The last one of several counts.
        while (start := self._text.rfind(f",{key}::", 0, end)) >= 0:
            stop = self._text.find(",", start + 1)
            found = _entry(self._text[start + 1 : stop if stop > 0 else None])
            if found is not None and found[0] == key:
                return found[1]
            end = start + 1
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._text[1:]!r})"

    def _all(self) -> dict[str, str]:
        return dict(filter(None, map(_entry, self._text[1:].split(","))))


def parse_instance_ids(values: Sequence[str]) -> tuple[InstanceId, ...]:
    """Read the instance ids, a header each; BadHeader."""
    return tuple(map(_instance_id, values))


def parse_local_devices(values: Sequence[str]) -> tuple[LocalDevices, ...]:
    """Read the local devices, a driver's in each header; BadHeader."""
    return tuple(map(_local_devices, values))


def parse_transaction(value: str) -> Transaction:
    """Read what the client calls its operation; BadHeader."""
    found = _TX.fullmatch(value.strip())
    if found is None:
        raise BadHeader("transaction", value)
    return Transaction(found[1], int(found[2]))


def choose_instance(ids: Sequence[InstanceId], *, service: str, driver: str) -> InstanceId | None:
    """Give who asks as far as a service is concerned.

    A header for the service counts, else one for its driver and no service
    in particular; the last one of several.
    """
    for each in reversed(ids):
        if each.service.lower() == service.lower():
            return each
    for each in reversed(ids):
        if not each.service and each.driver.lower() == driver.lower():
            return each
    return None


def choose_devices(devices: Sequence[LocalDevices], *, driver: str) -> Mapping[str, str] | None:
    """Give what the caller's node has as far as a driver is concerned, None if it did not say."""
    return next((each.devices for each in reversed(devices) if each.driver.lower() == driver.lower()), None)


def isilon_id(metadata: Any, peer: str) -> str:
    """Give the id of a node by the list of its addresses, "" if there is none.

    It is the address that the request came from, else the first that others
    can reach, IPv4 before IPv6, else the first of its own loopback.
    """
    every = metadata[:_ADDRESSES_MAX] if isinstance(metadata, list) else []
    texts = (each.partition("/")[0] for each in every if isinstance(each, str))
    listed = [found for each in texts if (found := _address(each))]
    came_from = _address(peer)
    if came_from in listed:
        return str(came_from)
    reached = [each for each in listed if not (each.is_loopback or each.is_link_local)]
    for choice in (reached, listed):
        for kind in (IPv4Address, IPv6Address):
            for each in choice:
                if isinstance(each, kind) and not (each.is_multicast or each.is_unspecified):
                    return str(each)
    return ""


def vfs_id(metadata: Any) -> str:
    """Give the id of a node by its host name, "" if that cannot be one."""
    return metadata if isinstance(metadata, str) and metadata and not _NOT_IN_IDS.search(metadata) else ""


def _instance_id(value: str) -> InstanceId:
    found = _IID.fullmatch(value) if len(value) <= INSTANCE_ID_MAX else None
    if found is None or not value.isprintable():
        raise BadHeader("InstanceID", value)
    driver, _, service = found[1].partition(":")
    try:
        fields, metadata = _fields(found[3] or ""), _metadata(found[4] or "")
    except ValueError:
        raise BadHeader("InstanceID", value) from None
    return InstanceId(driver, service.partition(":")[0], found[2], fields, metadata)


def _fields(text: str) -> dict[str, str]:
    """Read `a=1&b=2`, which may be escaped as a whole; ValueError."""
    if _BAD_ESCAPE.search(text):
        raise ValueError(text)
    if "=" not in text:
        text = unquote_plus(text)
    result: dict[str, str] = {}
    for key, value in parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_MAX):
        result.setdefault(key, value)
    return result


def _metadata(text: str) -> Any:
    if not text:
        return msgspec.UNSET
    try:
        return msgspec.json.decode(base64.b64decode(text, validate=True))
    except RecursionError as error:
        raise ValueError(text) from error


def _local_devices(value: str) -> LocalDevices:
    driver, equals, text = value.partition("=")
    entries = not text or text.find("::", 1) > 0
    if not (driver and equals and entries) or any(space in text for space in _SPACES):
        raise BadHeader("LocalDevices", value)
    return LocalDevices(driver, DeviceText(text))


def _entry(text: str) -> tuple[str, str] | None:
    start = max(text.find("]"), 0) if text.startswith("[") else 0
    end = text.find("::", start)
    return (text[:end], text[end + 2 :]) if end >= 0 else None


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Read an address; None for anything else, and for one with a zone."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        return found.ipv4_mapped
    return None if "%" in str(found) else found
