"""The older REST API of openstorage. `OlderDoor` serves it; `Answering` and `Quiescing` are what it needs."""

from __future__ import annotations

from gateway.frontends.openstorage.older.client import Answering, Quiescing
from gateway.frontends.openstorage.older.door import OlderDoor
from gateway.frontends.openstorage.older.quiescence import Quiescence

__all__ = ["Answering", "OlderDoor", "Quiescence", "Quiescing"]
