"""Volumes in a plain directory of any file system: directories, and raw files with snapshots where it has reflink."""

from __future__ import annotations

from gateway.backends.directory.backend import FAULT_POINTS, DirectoryBackend, DirectoryOptions

__all__ = ["FAULT_POINTS", "DirectoryBackend", "DirectoryOptions"]
