"""The settings as the rest of the program sees them, and the rules between them.

Field names are the keys of the file. A value that breaks a rule raises
ValueError whose text begins with the key.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from gateway.core.secret import Secret

RELEASES = ("9.6", "9.7", "9.8", *(f"9.{major}.1" for major in range(9, 20)))
"""The ONTAP releases that the REST door can be."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}")
_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%]+)\]|(?P<host>[^\s:\[\]/]+)):(?P<port>[0-9]{1,5})")
_PORT_MAX = 65_535
_SQLITE, _SQLITE_AT = "sqlite", "sqlite://"
_FILE = "catalog.sqlite"

Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0)]
Port = Annotated[int, Meta(ge=1, le=65535)]


class LogLevel(enum.StrEnum):
    """The least severe line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(enum.StrEnum):
    """JSON for machines, console for people."""

    JSON = "json"
    CONSOLE = "console"


class Address(msgspec.Struct, frozen=True):
    """Where to listen. Port 0 takes any free port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `HOST:PORT` or `[IPV6]:PORT`; ValueError for anything else."""
        match = _ADDRESS.fullmatch(text)
        if match is None or int(match["port"]) > _PORT_MAX:
            raise ValueError(f"{text!r} is not HOST:PORT, such as '127.0.0.1:8443' or '[::1]:8443'")
        return cls(match["six"] or match["host"], int(match["port"]))

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class CatalogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the catalog is.

    `sqlite` is a file in `data_dir`, `sqlite:///PATH` is that file, which the
    gateways of one machine may share.
    """

    url: str = "sqlite"

    def __post_init__(self) -> None:
        if self.url != _SQLITE and not self.url.startswith(f"{_SQLITE_AT}/"):
            raise ValueError(f"url: {self.url!r} is neither 'sqlite' nor 'sqlite:///PATH'")


class ClientCertificate(enum.StrEnum):
    """Whether clients of the ONTAP door need a certificate; those of all other doors do."""

    REQUIRED = "required"
    OPTIONAL = "optional"


class TlsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Certificate and key of every HTTPS listener. `client_ca`: clients must show a certificate signed by it.

    `client_certificate` optional: at the ONTAP door they may come without, and say who they are by a password.
    """

    enabled: bool = True
    certificate: Path = msgspec.field(default_factory=lambda: Path("tls/cert.pem"))
    key: Path = msgspec.field(default_factory=lambda: Path("tls/key.pem"))
    client_ca: Path | None = None
    client_certificate: ClientCertificate = ClientCertificate.REQUIRED
    force_plain: bool = False

    def __post_init__(self) -> None:
        if self.client_certificate is ClientCertificate.OPTIONAL and self.client_ca is None:
            raise ValueError("client_certificate: needs client_ca, which says whose certificates count")


class PeerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How other gateways reach this one to replicate its volumes. `listen` empty: they do not.

    `address` is the host that they are told, where it is not the one in
    `listen`. Certificate and key are made at the first start when neither is
    there, in `data_dir` unless other files are named.

    `ports`: the first and the last of those at which their movers fetch what
    they replicate, one of them for each transfer; without it, any that is free.
    """

    listen: str = ""
    address: str = ""
    ports: tuple[Port, Port] | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        if self.ports is not None and self.ports[0] > self.ports[1]:
            raise ValueError("ports: the first is not before the last")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate: comes together with key")
        if self.listen:
            try:
                Address.parse(self.listen)
            except ValueError as error:
                raise ValueError(f"listen: {error}") from None


class UsernameClaim(enum.StrEnum):
    """Which claim of a token is its bearer's name."""

    SUB = "sub"
    EMAIL = "email"
    NAME = "name"


class OntapSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ONTAP REST door. `release` is the one that it reports; fields that came later are unknown to it."""

    release: str = "9.15.1"

    def __post_init__(self) -> None:
        if self.release not in RELEASES:
            raise ValueError(f"release: {self.release!r} is none of {', '.join(RELEASES)}")


class IssuerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who signs tokens. `issuer` is what their `iss` says; an address is an OpenID issuer, which tells its keys itself.

    Other issuers sign with the secret or with one of the keys whose public
    parts are in the PEM files. `jwks` is a file with the keys of any issuer,
    which is not asked then. Where there is `introspection`, an address, each
    token is asked about there (RFC 7662), in the name of `client_id` with
    `client_secret`; tokens that are no JWT are, too. OpenID tokens must be for
    `client_id` unless `skip_client_id_check`; `claim_namespace` is what may
    stand before `roles` and `groups` in them; `ca` signs the certificate of
    whoever is asked.
    """

    issuer: str
    shared_secret: Secret | None = None
    rsa_public_key: Path | None = None
    ec_public_key: Path | None = None
    jwks: Path | None = None
    introspection: str = ""
    client_id: str = ""
    client_secret: Secret | None = None
    skip_client_id_check: bool = False
    claim_namespace: str = ""
    username_claim: UsernameClaim = UsernameClaim.SUB
    ca: Path | None = None

    def __post_init__(self) -> None:
        own = any((self.shared_secret, self.rsa_public_key, self.ec_public_key))
        if not self.issuer:
            raise ValueError("issuer: must not be empty")
        if bool(self.introspection) != bool(self.client_secret):
            raise ValueError("introspection: needs client_secret, which is for nothing else")
        if self.jwks and (own or self.introspection):
            raise ValueError("jwks: the keys are in that file; none may be given otherwise")
        if self.introspection:
            self._check_introspection(own=own)
        elif not self.has_address:
            self._check_named(own=own)
        elif own:
            raise ValueError("issuer: one with an address tells its keys itself; none may be given")
        elif not secure_url(self.issuer):
            raise ValueError("issuer: an address must begin with https://, or be on this machine")
        elif not self.client_id and not self.skip_client_id_check:
            raise ValueError("client_id: is needed, or skip_client_id_check = true")

    def _check_named(self, *, own: bool) -> None:
        if not (own or self.jwks):
            raise ValueError("issuer: needs shared_secret, rsa_public_key, ec_public_key or jwks")
        if (self.client_id or self.skip_client_id_check) and not self.jwks:
            raise ValueError("issuer: client_id and skip_client_id_check are for issuers with an address or jwks")
        if self.ca:
            raise ValueError("issuer: ca is for issuers with an address")

    def _check_introspection(self, *, own: bool) -> None:
        if own:
            raise ValueError("introspection: tokens are asked about; no keys may be given")
        if not self.client_id:
            raise ValueError("client_id: is needed to ask about tokens")
        if not secure_url(self.introspection):
            raise ValueError("introspection: an address must begin with https://, or be on this machine")

    @property
    def has_address(self) -> bool:
        """Whether its name is an address."""
        return self.issuer.lower().startswith(("http://", "https://"))

    @property
    def openid(self) -> bool:
        """Whether it is an OpenID issuer that is asked for its keys."""
        return self.has_address and not self.jwks and not self.introspection

    @property
    def audience(self) -> str | None:
        """What must be among those a token is for; None: that does not matter."""
        return None if self.skip_client_id_check or not self.client_id else self.client_id


class AuthSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose tokens are accepted, beside the accounts, and who is kept out.

    An account whose password was wrong `lockout_failures` times (0: however
    often) is closed for `lockout_s`.
    """

    issuer: dict[str, IssuerSettings] = {}
    lockout_failures: Annotated[int, Meta(ge=0)] = 10
    lockout_s: Seconds = 300.0

    def __post_init__(self) -> None:
        if sum(bool(settings.introspection) for settings in self.issuer.values()) > 1:
            raise ValueError("issuer: only one may have introspection; a token must not be told to another issuer")
        called = [settings.issuer for settings in self.issuer.values()]
        for name in called:
            if called.count(name) > 1:
                raise ValueError(f"issuer: {name!r} is there twice")


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds for clients. `receive_timeout_s`: until a request is in, `request_timeout_s`: until it is answered.

    Each account may ask `requests_per_s` times a second (0: however often), after `requests_burst` at once.
    """

    max_body_bytes: Count = 1024 * 1024
    max_connections: Count = 4096
    receive_timeout_s: Seconds = 30.0
    request_timeout_s: Seconds = 150.0
    shutdown_timeout_s: Seconds = 30.0
    requests_per_s: Annotated[float, Meta(ge=0)] = 0.0
    requests_burst: Count = 100


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`access_sample` is the share of successful reads that leave an access line; everything else always does."""

    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.JSON
    access_sample: Annotated[float, Meta(ge=0, le=1)] = 0.1


class BackendSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One pool: its driver, what the operator takes away from it, and the driver's own options."""

    name: str
    driver: str
    disable: tuple[str, ...] = ()
    options: msgspec.Struct


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything the operator decides. `export` holds options by kind; `frontend` those of further doors by name."""

    listen: str = "127.0.0.1:8443"
    data_dir: Path = msgspec.field(default_factory=lambda: Path("data"))
    name: str = "gateway"
    tenants: tuple[str, ...] = ("svm1",)
    accounts: Path = msgspec.field(default_factory=lambda: Path("accounts.toml"))
    ontap: OntapSettings = OntapSettings()
    auth: AuthSettings = AuthSettings()
    catalog: CatalogSettings = CatalogSettings()
    tls: TlsSettings = msgspec.field(default_factory=TlsSettings)
    peer: PeerSettings = msgspec.field(default_factory=PeerSettings)
    limits: LimitSettings = LimitSettings()
    log: LogSettings = LogSettings()
    backend: dict[str, BackendSettings] = {}
    export: dict[str, msgspec.Struct] = {}
    frontend: dict[str, msgspec.Struct] = {}

    def __post_init__(self) -> None:
        try:
            address = Address.parse(self.listen)
        except ValueError as error:
            raise ValueError(f"listen: {error}") from None
        if not self.tls.enabled and not address.loopback and not self.tls.force_plain:
            raise ValueError(
                f"listen: {self.listen} can be reached from other machines, but tls.enabled is false: "
                "switch TLS on, listen on 127.0.0.1, or set tls.force_plain = true"
            )
        check_name("name", self.name)
        if not self.tenants:
            raise ValueError("tenants: at least one name is needed")
        for tenant in self.tenants:
            check_name("tenants", tenant)
        if len(set(self.tenants)) != len(self.tenants):
            raise ValueError("tenants: a name is there twice")

    @property
    def address(self) -> Address:
        """Where the ONTAP REST door listens."""
        return Address.parse(self.listen)

    @property
    def catalog_file(self) -> Path:
        """The file of the catalog."""
        url = self.catalog.url
        return self.data_dir / _FILE if url == _SQLITE else Path(url.removeprefix(_SQLITE_AT))


def secure_url(address: str) -> bool:
    """Tell whether nobody can listen to what is said to an address: HTTPS, or this machine."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host)
    return parts.scheme == "http" and bool(host) and Address(host, 0).loopback


def check_name(key: str, name: str) -> None:
    """Raise ValueError unless the name is one that every dialect can show."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{key}: {name!r} is not a name: up to 63 letters, digits, '_', '.', '-'")
