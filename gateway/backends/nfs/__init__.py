"""Volumes as directories of a file server that others reach directly: the gateway only looks after them."""

from __future__ import annotations

from gateway.backends.nfs.backend import FAULT_POINTS, NfsBackend
from gateway.backends.nfs.mounting import NfsPoolOptions

__all__ = ["FAULT_POINTS", "NfsBackend", "NfsPoolOptions"]
