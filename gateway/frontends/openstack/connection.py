"""From a backend's configuration to a client of its gateway."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
from oslo_config import cfg

from gateway.client import Client, ClientError

_PASSWORDS = ("gateway_password", "gateway_password_file", "gateway_password_env")


class Configuration(Protocol):
    """The options of one backend, as the services hand them to a driver."""

    def safe_get(self, name: str) -> Any:
        """Give an option's value, or None."""


class OptionError(Exception):
    """An option that cannot be used, by name, and why. Never tells a value that may be secret."""

    def __init__(self, option: str, reason: str) -> None:
        self.option = option
        self.reason = reason
        super().__init__(f"{option}: {reason}")


def connect(
    configuration: Configuration,
    *,
    environment: Mapping[str, str] = os.environ,
    transport: httpx.BaseTransport | None = None,
) -> Client:
    """Give a client of the gateway that the options name, which has asked nothing yet. OptionError names what is wrong.

    `transport` replaces the network.
    """
    url, insecure = _text(configuration, "gateway_url"), bool(_value(configuration, "gateway_insecure"))
    _check_url(url, insecure=insecure)
    user = _text(configuration, "gateway_user")
    if ":" in user:
        raise OptionError("gateway_user", "an account has no ':' in its name")
    password = _password(configuration, environment)
    verify = _trusted(configuration, insecure=insecure)
    timeout_s: float | None = _value(configuration, "gateway_timeout_s")
    try:
        return Client(url, user=user, password=password, verify=verify, timeout_s=timeout_s, transport=transport)
    except ClientError as error:
        raise OptionError("gateway_ca" if isinstance(verify, Path) else "gateway_url", error.message) from None


@contextmanager
def logging_in(configuration: Configuration) -> Iterator[None]:
    """Raise OptionError for the gateway's error in a block that does not know the account."""
    try:
        yield
    except ClientError as error:
        if error.code != "Unauthenticated":
            raise
        user = _text(configuration, "gateway_user")
        reason = f"the gateway has no account {user!r} with this password [code {error.code}]"
        raise OptionError("gateway_user", reason) from error


def _value(configuration: Configuration, name: str) -> Any:
    try:
        return configuration.safe_get(name)
    except (cfg.TemplateSubstitutionError, cfg.NoSuchOptError):
        # Their texts hold a part of the value.
        raise OptionError(name, "a '$' in it names another option; write '$$' for the character itself") from None
    except (cfg.Error, ValueError) as error:
        raise OptionError(name, str(error)) from None


def _text(configuration: Configuration, name: str) -> str:
    value: str | None = _value(configuration, name)
    if not value:
        raise OptionError(name, "is not set")
    return value


def _check_url(url: str, *, insecure: bool) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.username is not None or parts.password is not None:
            raise OptionError(
                "gateway_url", "the account has options of its own: gateway_user and gateway_password_file"
            )
        if parts.scheme not in {"http", "https"} or not host or parts.port == 0:
            raise OptionError("gateway_url", f"{url!r} is no address such as https://gateway.example:8443")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise OptionError("gateway_url", f"{url!r}: an address ends after host and port")
    except ValueError as error:
        raise OptionError("gateway_url", f"is no address: {error}") from None
    if parts.scheme == "http" and not (insecure or _loopback(host)):
        raise OptionError(
            "gateway_url", "http:// would send the password to another host without encryption; use https://"
        )


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _password(configuration: Configuration, environment: Mapping[str, str]) -> str:
    given = {name: value for name in _PASSWORDS if (value := _value(configuration, name))}
    if len(given) != 1:
        # The services take a value with a '$' that names no option for none.
        found = " and ".join(given) or "none (a '$' is written '$$')"
        raise OptionError("gateway_password", f"one of {', '.join(_PASSWORDS)} says the password; set is {found}")
    [(name, value)] = given.items()
    if name == "gateway_password_file":
        return _read_password(Path(value))
    if name == "gateway_password_env":
        password = environment.get(value, "")
        if not password:
            raise OptionError(name, f"the environment of this service has no variable {value!r}, or an empty one")
        return password
    return str(value)


def _read_password(path: Path) -> str:
    option = "gateway_password_file"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise OptionError(option, f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise OptionError(option, f"{path} is not UTF-8") from None
    password = text.removesuffix("\n").removesuffix("\r")
    if not password:
        raise OptionError(option, f"{path} is empty")
    return password


def _trusted(configuration: Configuration, *, insecure: bool) -> bool | Path:
    ca: str | None = _value(configuration, "gateway_ca")
    if ca and insecure:
        raise OptionError("gateway_insecure", "trusts any certificate, and gateway_ca names one; set one of them")
    return Path(ca) if ca else not insecure
