"""Configuration: typed settings, loaded once, unknown keys refused, secrets by reference."""

from __future__ import annotations

from gateway.config.errors import ConfigError
from gateway.config.load import load, load_table, schema
from gateway.config.settings import (
    RELEASES,
    Address,
    AuthSettings,
    BackendSettings,
    CatalogSettings,
    ClientCertificate,
    IssuerSettings,
    LimitSettings,
    LogFormat,
    LogLevel,
    LogSettings,
    OntapSettings,
    PeerSettings,
    Settings,
    TlsSettings,
    UsernameClaim,
    secure_url,
)

__all__ = [
    "RELEASES",
    "Address",
    "AuthSettings",
    "BackendSettings",
    "CatalogSettings",
    "ClientCertificate",
    "ConfigError",
    "IssuerSettings",
    "LimitSettings",
    "LogFormat",
    "LogLevel",
    "LogSettings",
    "OntapSettings",
    "PeerSettings",
    "Settings",
    "TlsSettings",
    "UsernameClaim",
    "load",
    "load_table",
    "schema",
    "secure_url",
]
