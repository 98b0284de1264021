"""Manila as its users see it, by the stock client."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from keystoneauth1 import session, token_endpoint
from manilaclient import client, exceptions

PROJECT = "0123456789abcdef0123456789abcdef"
NOT_READY = "services are not ready yet"
LIMIT_S = 60
POLL_S = 0.1


class Cloud:
    """The API. What it makes is waited for: Manila has to be asked."""

    def __init__(self, url: str) -> None:
        auth = token_endpoint.Token(f"{url}/v2", f"admin:{PROJECT}")
        self.api = client.Client("2.80", session=session.Session(auth=auth))

    def kind(self, name: str, specs: Mapping[str, str]) -> str:
        """Make a share type."""
        self.api.share_types.create(name, spec_driver_handles_share_servers=False, extra_specs=dict(specs))
        return name

    def serves(self, kind: str) -> None:
        """Wait until shares of a type can be made: a gateway that was away is known to be back only after a while."""
        end = time.monotonic() + LIMIT_S
        status = ""
        while status != "available":
            assert time.monotonic() < end
            share = self.api.shares.create("NFS", 1, share_type=kind)
            while (status := self.api.shares.get(share.id).status) == "creating":
                time.sleep(POLL_S)
            self.api.shares.force_delete(share)
            self.gone(share)

    def share(self, size: int = 1, **options: Any) -> Any:
        """Make a share. Manila is asked again while it waits for a report of a back end that was away."""
        end = time.monotonic() + LIMIT_S
        while True:
            share = self.api.shares.create("NFS", size, **options)
            try:
                return self.settled(share)
            except AssertionError:
                if time.monotonic() > end or not any(NOT_READY in told for told in self.why(share)):
                    raise
            self.api.shares.force_delete(share)
            self.gone(share)

    def snapshot(self, share: Any) -> Any:
        return self.settled(self.api.share_snapshots.create(share))

    def path(self, share: Any) -> str:
        """Give where a share is below the server's root."""
        (location,) = self.api.share_export_locations.list(share)
        server, _, path = location.path.partition(":")
        assert server == "127.0.0.1"
        assert location.preferred
        return str(path)

    def allow(self, share: Any, who: str, level: str = "rw") -> Any:
        """Let somebody in, and wait until that is so."""
        rule = self.api.shares.allow(share, "ip", who, level)
        self.in_force(share)
        return rule

    def deny(self, share: Any, rule: Any) -> None:
        """End a rule, and wait until that is so."""
        self.api.shares.deny(share, rule["id"] if isinstance(rule, dict) else rule.id)
        self.in_force(share)

    def rules(self, share: Any) -> dict[str, str]:
        """Give the state of each rule, by whom it is for."""
        return {rule.access_to: rule.state for rule in self.api.share_access_rules.access_list(share)}

    def in_force(self, share: Any, status: str = "active") -> None:
        """Wait until all rules have been tried."""
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            told, states = self.api.shares.get(share.id).access_rules_status, set(self.rules(share).values())
            if told == status and states <= {"active", "error"}:
                return
            time.sleep(POLL_S)
        raise AssertionError(f"{told}: {self.rules(share)}")

    def settled(self, thing: Any, status: str = "available") -> Any:
        """Wait for a status, and give how the thing is then."""
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            found = thing.manager.get(thing.id)
            if found.status == status:
                return found
            failed = "error" in found.status and "error" not in status
            assert not failed, f"{found.status}: {self.why(thing)}"
            time.sleep(POLL_S)
        raise AssertionError(f"{thing.id} is {found.status}, not {status}")

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
                assert "error" not in found.status, f"{found.status}: {self.why(thing)}"
                time.sleep(POLL_S)
            else:
                raise AssertionError(f"{thing.id} is still there: {found.status}")

    def delete(self, *things: Any) -> None:
        """Delete things, in this order."""
        for thing in things:
            thing.manager.delete(thing)
            self.gone(thing)

    def why(self, thing: Any) -> list[str]:
        """Give what Manila tells its users of a failure."""
        return [told.user_message for told in self.api.messages.list() if told.resource_id == thing.id]
