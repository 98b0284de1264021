"""Volumes as FlexVols of an ONTAP cluster, or of whatever else speaks its REST API; clients go to it directly."""

from __future__ import annotations

from gateway.backends.ontap.backend import OntapBackend
from gateway.backends.ontap.faults import FAULT_POINTS
from gateway.backends.ontap.options import OntapOptions

__all__ = ["FAULT_POINTS", "OntapBackend", "OntapOptions"]
