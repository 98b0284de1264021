"""Block volumes as qcow2 images in a directory, on any file system."""

from __future__ import annotations

from gateway.backends.qcow2.backend import Qcow2Backend
from gateway.backends.qcow2.faults import FAULT_POINTS
from gateway.backends.qcow2.pool import Qcow2Options

__all__ = ["FAULT_POINTS", "Qcow2Backend", "Qcow2Options"]
