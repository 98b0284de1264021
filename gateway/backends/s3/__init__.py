"""Volumes of objects, in a bucket of any store that speaks the S3 protocol."""

from __future__ import annotations

from gateway.backends.s3.backend import S3Backend
from gateway.backends.s3.faults import FAULT_POINTS
from gateway.backends.s3.options import S3Options

__all__ = ["FAULT_POINTS", "S3Backend", "S3Options"]
