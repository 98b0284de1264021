"""What a volume's content is made of: for each kind, how to make it and how to give it another size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from gateway.backends.files.pool import Pool, Volume
from gateway.core.backend import VolumeSpec
from gateway.core.model import RootDirectory


class Contents(Protocol):
    """One kind of content. Blocks; raises OSError and errors of the core."""

    def make(self, path: Path, spec: VolumeSpec) -> None:
        """Make empty content at `path`, durably but for its name."""

    def resize(self, found: Volume, size: int) -> None:
        """Give content its size in bytes, durably. Idempotent."""

    def size(self, found: Volume) -> int:
        """Give the size in bytes."""


class Trees:
    """Directories. Their sizes are only recorded: nothing here enforces them.

    owners: whether this process may give files away; if not, what it makes stays its own.
    """

    def __init__(self, pool: Pool, *, owners: bool) -> None:
        self._pool = pool
        self._owners = owners

    def make(self, path: Path, spec: VolumeSpec) -> None:
        """See `Contents`."""
        path.mkdir()
        self.set_root(path, spec.root or RootDirectory())
        self._pool.keep(path)

    def resize(self, _found: Volume, _size: int) -> None:
        """See `Contents`."""

    def size(self, found: Volume) -> int:
        """See `Contents`."""
        return found.sidecar.size

    def set_root(self, path: Path, root: RootDirectory) -> None:
        """Set owner, then mode: a change of owner takes set-id bits away."""
        if self._owners:
            os.chown(path, root.uid, root.gid)
        path.chmod(root.mode)
