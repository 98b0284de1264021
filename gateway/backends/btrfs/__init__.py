"""Volumes on btrfs: subvolumes, snapshots, qgroups, and streams between pools."""

from __future__ import annotations

from gateway.backends.btrfs.backend import BtrfsBackend
from gateway.backends.btrfs.faults import FAULT_POINTS
from gateway.backends.btrfs.pool import BtrfsOptions

__all__ = ["FAULT_POINTS", "BtrfsBackend", "BtrfsOptions"]
