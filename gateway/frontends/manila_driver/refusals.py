"""What the driver itself refuses, before or instead of the gateway."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - named by what it is, as the core's errors are
    """What was asked for cannot be; the text says why."""


class WouldLoseData(Refusal):
    """A share holds more than it is to be large."""

    def __init__(self) -> None:
        super().__init__("it holds more than that")


class Mismatch(Refusal):
    """A volume is not of the type that it is to be managed as."""
