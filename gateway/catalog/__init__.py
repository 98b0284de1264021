"""Durable catalogs: the core's protocol and what implements it."""

from __future__ import annotations

from gateway.catalog.sqlite import SqliteCatalog
from gateway.core.catalog import Batch, Catalog, Drop, Page, Put, Sequences, drop, put

__all__ = ["Batch", "Catalog", "Drop", "Page", "Put", "Sequences", "SqliteCatalog", "drop", "put"]
