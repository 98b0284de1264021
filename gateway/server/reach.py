"""Who could come in at a door's address without being asked who it is, or be overheard there."""

from __future__ import annotations

import msgspec

from gateway.config import Address, ConfigError


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What a door does about callers. `secured`: they prove who they are, else `how` says what would make them."""

    door: str
    tls: bool
    anonymous: bool
    secured: bool
    how: str

    def address(self, key: str, text: str) -> Address:
        """Give the address that a key of the door has.

        ConfigError when it cannot be read, and when it lets other machines in as they are.
        """
        path = ("frontend", self.door, key)
        try:
            address = Address.parse(text)
        except ValueError as error:
            raise ConfigError("configuration", str(error), path=path) from None
        if address.loopback:
            return address
        if not self.secured and not self.anonymous:
            raise ConfigError(
                "configuration",
                f"{text} can be reached from other machines, but {self.how}, listen on 127.0.0.1, "
                "or set anonymous = true",
                path=path,
            )
        if not self.tls:
            raise ConfigError(
                "configuration",
                f"{text} can be reached from other machines, but tls is off: set tls = true or listen on 127.0.0.1",
                path=path,
            )
        return address
