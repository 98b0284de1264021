"""The official SDK, unmodified, pointed at a running gateway."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from netapp_ontap import HostConnection
from netapp_ontap.error import NetAppRestError
from netapp_ontap.resources import Volume

from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway

MIB = 1 << 20
POLL_S = 0.05
SVM = {"name": "svm1"}
OWN_WARNINGS = pytest.mark.filterwarnings("ignore::marshmallow.warnings.ChangedInMarshmallow4Warning")
"""The SDK declares some fields in a way that its own dependency will drop."""


@contextlib.contextmanager
def sdk(gateway: LiveGateway, account: str = ACCOUNT) -> Iterator[HostConnection]:
    """Make the gateway the SDK's connection. Its certificate is its own, so it is not verified."""
    address = urlsplit(gateway.url)
    with pytest.MonkeyPatch.context() as environment:
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            environment.delenv(name, raising=False)
        connection = HostConnection(
            address.hostname,
            account,
            PASSWORD,
            verify=False,
            port=address.port,
            scheme=address.scheme,
            poll_interval=POLL_S,
        )
        with connection:
            yield connection
        connection.session.close()


@contextlib.contextmanager
def refused(code: str, *, status: int | None = None, target: str | None = None, text: str = "") -> Iterator[None]:
    """Expect the SDK's error with ONTAP's code; status, target and part of the message where given."""
    with pytest.raises(NetAppRestError) as caught:
        yield
    body = caught.value.response_body
    assert body is not None, caught.value
    assert body["error"]["code"] == code, body
    assert text in body["error"]["message"]
    assert status is None or caught.value.status_code == status
    assert target is None or body["error"].get("target") == target


def volume(name: str, pool: str, size: int = 64 * MIB, **fields: Any) -> Volume:
    """Create a volume through the SDK, waiting for its job, and read it back."""
    made = Volume(name=name, svm=SVM, aggregates=[{"name": pool}], size=size, **fields)
    made.post(hydrate=True)
    return made


def clone(name: str, parent: str, snapshot: str | None = None, **fields: Any) -> Volume:
    """Create a FlexClone through the SDK."""
    origin: dict[str, Any] = {"is_flexclone": True, "parent_volume": {"name": parent}}
    if snapshot is not None:
        origin["parent_snapshot"] = {"name": snapshot}
    made = Volume(name=name, svm=SVM, clone=origin, **fields)
    made.post(hydrate=True)
    return made


def seen(name: str) -> Volume:
    """Give what a fresh look finds, with every field."""
    found = Volume.find(name=name, fields="**")
    assert found is not None, name
    return found


def names(**query: Any) -> list[str]:
    """Give the names of the volumes that a query finds."""
    return [found.name for found in Volume.get_collection(**query)]


def patch(volume_uuid: str, **fields: Any) -> None:
    """Change a volume that was not read before; the SDK sends what is set after the object was made."""
    changed = Volume(uuid=volume_uuid)
    for name, value in fields.items():
        setattr(changed, name, value)
    changed.patch()
