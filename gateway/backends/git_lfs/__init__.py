"""Volumes as name spaces of one git repository, with the large files of git-lfs."""

from __future__ import annotations

from gateway.backends.git_lfs.backend import GitLfsBackend
from gateway.backends.git_lfs.faults import FAULT_POINTS
from gateway.backends.git_lfs.pool import GitLfsOptions

__all__ = ["FAULT_POINTS", "GitLfsBackend", "GitLfsOptions"]
