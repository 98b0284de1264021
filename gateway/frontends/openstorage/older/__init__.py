"""The older REST API of openstorage. `OlderDoor` serves it; `Answering` and `Quiescing` are what it needs."""

from __future__ import annotations

from gateway.frontends.openstorage.older.client import Answering, Quiescing
from gateway.frontends.openstorage.older.door import OlderDoor

__all__ = ["Answering", "OlderDoor", "Quiescing"]
