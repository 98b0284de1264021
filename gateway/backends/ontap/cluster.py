"""Asking the cluster. All of it blocks, and raises ClientError, which `failures` knows to read."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import httpx

from gateway.backends.ontap.options import OntapOptions
from gateway.backends.ontap.records import COPY, FLEXVOL, STRANGER, Copy, FlexVol
from gateway.backends.ontap.transport import GuardedTransport, trust
from gateway.client import Client, ClientError, Listing
from gateway.client.flows import change, fetch, gathered
from gateway.client.wire import exactly
from gateway.core.errors import Unavailable

R = TypeVar("R")

VOLUMES = "/api/storage/volumes"
_HELD_S = 15
"""So long a change's answer may wait for its job; those that take longer are looked after."""

_LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})
_BUSY = frozenset({"13107406", "524486", "262160"})
"""Codes of changes that were not begun and may be asked for again."""

_PAGE = "500"
"""Records of an answer: each may have many tags."""

_LOOKS = 5
_ABSENT = 404
_ATTEMPTS = 6
_PAUSE_S = 0.25


class Cluster:
    """One SVM of a cluster, as its REST API shows it. Threads may share it."""

    def __init__(
        self,
        name: str,
        options: OntapOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._svm = options.svm
        self._patience_s = options.patience_s
        self._pause = pause
        self._client = Client(
            options.url,
            user=options.user,
            password=options.password.reveal(),
            timeout_s=options.timeout_s,
            transport=GuardedTransport(
                httpx.HTTPTransport(verify=_verify(name, options)),
                what=name,
                rate_per_s=options.rate_per_s,
                rest_s=options.rest_s,
                clock=clock,
                pause=pause,
            ),
            pause=pause,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # --- reading ---

    def get(self, path: str, kind: type[R], *, fields: str) -> R:
        """Give one object by its path."""
        return self._client.run(fetch(path, kind, fields=fields))

    def each(self, path: str, kind: type[R], *, fields: str, **where: str) -> Iterator[R]:
        """Yield every object of a collection that `where` describes, a page at a time; `__` stands for a dot."""
        named = ((key.replace("__", "."), value) for key, value in where.items())
        query = (("fields", fields), ("max_records", _PAGE), *named)
        return self._client.each(Listing(path=path, kind=kind, query=query))

    def flexvols(self, pattern: str, *, fields: str = FLEXVOL) -> Iterator[FlexVol]:
        """Yield the SVM's volumes by name."""
        return self.each(VOLUMES, FlexVol, fields=fields, name=pattern, svm__name=exactly(self._svm))

    def strangers(self, pattern: str) -> Iterator[FlexVol]:
        """Yield the volumes of the SVM whose names are not of the pattern, without what is no plain volume."""
        for found in self.flexvols(f"!{pattern}", fields=STRANGER):
            if self._plain(found):
                yield found

    def stranger(self, uuid: UUID) -> FlexVol | None:
        """Give a plain volume of the SVM by its own id; None when there is none."""
        try:
            found = self.get(f"{VOLUMES}/{uuid}", FlexVol, fields=STRANGER)
        except ClientError as error:
            if error.status == _ABSENT:
                return None
            raise
        return found if self._plain(found) else None

    def _plain(self, found: FlexVol) -> bool:
        return (found.svm.name, found.style, found.type) == (self._svm, "flexvol", "rw") and not found.is_svm_root

    def copies(self, volume: FlexVol, pattern: str) -> tuple[Copy, ...]:
        """Give a volume's snapshots by name."""
        query = (("fields", COPY), ("max_records", _PAGE), ("name", pattern))
        listing = Listing(path=f"{VOLUMES}/{volume.uuid}/snapshots", kind=Copy, query=query)
        return self._client.run(gathered(listing))

    def copies_everywhere(self, **where: str) -> Iterator[Copy]:
        """Yield the snapshots of all volumes of the SVM that `where` describes."""
        path = f"{VOLUMES}/*/snapshots"
        return self.each(path, Copy, fields=COPY, svm__name=exactly(self._svm), **where)

    # --- changing ---

    def make_volume(self, body: Mapping[str, Any]) -> None:
        """Make a volume of the SVM."""
        self._make(VOLUMES, {"svm": {"name": self._svm}, **body}, lambda: [*self.flexvols(body["name"])])

    def set_volume(self, volume: FlexVol, values: Mapping[str, Any]) -> None:
        """Set fields of a volume."""
        self._change("PATCH", f"{VOLUMES}/{volume.uuid}", values)

    def remove_volume(self, volume: FlexVol) -> None:
        """Remove a volume for good; one that is gone already is no failure."""
        # In the recovery queue it would go on to hold the snapshots that it was cloned from.
        self._remove(f"{VOLUMES}/{volume.uuid}", ("force", "true"))

    def make_copy(self, volume: FlexVol, body: Mapping[str, Any]) -> None:
        """Take a snapshot."""
        self._make(f"{VOLUMES}/{volume.uuid}/snapshots", body, lambda: self.copies(volume, body["name"]))

    def set_copy(self, volume: FlexVol, copy: Copy, values: Mapping[str, Any]) -> None:
        """Set fields of a snapshot."""
        self._change("PATCH", f"{VOLUMES}/{volume.uuid}/snapshots/{copy.uuid}", values)

    def remove_copy(self, volume: FlexVol, copy: Copy) -> None:
        """Remove a snapshot; one that is gone already is no failure."""
        self._remove(f"{VOLUMES}/{volume.uuid}/snapshots/{copy.uuid}")

    def _make(self, path: str, body: Mapping[str, Any], look: Callable[[], Sequence[object]]) -> None:
        """Make something; where no answer comes, it is looked for a few times before that is a failure."""
        try:
            self._change("POST", path, body)
        except ClientError as error:
            lost = isinstance(error.__cause__, httpx.TransportError) and not error.unsent
            if not (error.late or lost) or not self._appeared(look):
                raise

    def _appeared(self, look: Callable[[], Sequence[object]]) -> bool:
        for attempt in range(_LOOKS):
            if look():
                return True
            self._pause(_PAUSE_S * 2**attempt)
        return False

    def _remove(self, path: str, *query: tuple[str, str]) -> None:
        try:
            self._change("DELETE", path, None, *query)
        except ClientError as error:
            if error.code != "4":
                raise

    def _change(self, method: str, path: str, body: Mapping[str, Any] | None, *query: tuple[str, str]) -> None:
        """Send a change and wait for its end; again, a few times, where another one has to end before it."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._client.run(change(method, path, body, query=query, wait_s=_HELD_S, patience_s=self._patience_s))
            except ClientError as error:
                if error.code not in _BUSY or attempt == _ATTEMPTS:
                    raise
                self._pause(_PAUSE_S * 2 ** (attempt - 1))
            else:
                return


def _verify(name: str, options: OntapOptions) -> ssl.SSLContext | bool:
    address = urlsplit(options.url)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise Unavailable(what=name, reason="its url is no address such as https://cluster.example")
    if address.scheme == "https":
        try:
            return trust(options.fingerprint, options.ca)
        except OSError as error:
            raise Unavailable(what=name, reason=f"{options.ca} cannot be used as certificate") from error
    if address.hostname not in _LOCAL:
        raise Unavailable(what=name, reason="over plain HTTP everybody would read the password: use https")
    return False
