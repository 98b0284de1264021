"""Configuration: typed settings, loaded once, unknown keys refused, secrets by reference."""

from __future__ import annotations

from gateway.config.errors import ConfigError
from gateway.config.load import load, schema
from gateway.config.settings import (
    RELEASE,
    Address,
    BackendSettings,
    CatalogSettings,
    LimitSettings,
    LogFormat,
    LogLevel,
    LogSettings,
    Settings,
    TlsSettings,
)

__all__ = [
    "RELEASE",
    "Address",
    "BackendSettings",
    "CatalogSettings",
    "ConfigError",
    "LimitSettings",
    "LogFormat",
    "LogLevel",
    "LogSettings",
    "Settings",
    "TlsSettings",
    "load",
    "schema",
]
