"""The certificate of the listeners."""

from __future__ import annotations

import hashlib
import ssl

from gateway.config import ClientCertificate, ConfigError, TlsSettings


class Certificate:
    """What `[tls]` says, as contexts that listeners share. Files are read when the first one wants them."""

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._context: ssl.SSLContext | None = None
        self._asking: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Give the context. ConfigError when a file cannot be used."""
        if self._context is None:
            self._context = server_context(self._settings)
        return self._context

    def asking_context(self) -> ssl.SSLContext:
        """Give the one of a listener that knows other ways to learn who a client is, if it may come without."""
        if self._settings.client_certificate is ClientCertificate.REQUIRED:
            return self.context()
        if self._asking is None:
            self._asking = server_context(self._settings)
            self._asking.verify_mode = ssl.CERT_OPTIONAL
        return self._asking

    def reload(self) -> None:
        """Read the files again, if a listener has them. ConfigError leaves everything as it was."""
        for context in (self._context, self._asking):
            if context is not None:
                mode = context.verify_mode
                load_context(context, self._settings)
                context.verify_mode = mode


def fingerprint(settings: TlsSettings) -> str:
    """Give the SHA-256 of the certificate as clients pin it: hex with colons. Its file must be usable."""
    first = settings.certificate.read_text(encoding="ascii", errors="replace").partition(ssl.PEM_FOOTER)[0]
    der = ssl.PEM_cert_to_DER_cert(f"{first[first.index(ssl.PEM_HEADER) :]}{ssl.PEM_FOOTER}")
    return hashlib.sha256(der).digest().hex(":").upper()


def load_context(context: ssl.SSLContext, settings: TlsSettings) -> None:
    """Put certificate, key and client authority into a context; connections made later use them.

    An authority that was trusted before stays so until the next start.

    Raises ConfigError, and leaves the context as it was, when a file cannot be used.
    """
    _load(_new_context(), settings)
    _load(context, settings)


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """Give the context for HTTPS listeners: TLS 1.2 or later, HTTP/1.1. ConfigError when a file cannot be used."""
    context = _new_context()
    _load(context, settings)
    return context


def _new_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load(context: ssl.SSLContext, settings: TlsSettings) -> None:
    for path in (settings.certificate, settings.key, *filter(None, [settings.client_ca])):
        try:
            path.read_bytes()
        except OSError as error:
            raise ConfigError(str(path), f"cannot be read: {error.strerror}") from None
    try:
        # An encrypted key must be an error, not a question on the terminal of a service.
        context.load_cert_chain(settings.certificate, settings.key, password=_refuse_passphrase)
    except _EncryptedKeyError:
        raise ConfigError(str(settings.key), "is encrypted; the gateway needs a key without a passphrase") from None
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ConfigError(
            str(settings.certificate), f"certificate and key {settings.key} cannot be used: {reason}"
        ) from None
    if settings.client_ca is not None:
        try:
            context.load_verify_locations(cafile=settings.client_ca)
        except (ssl.SSLError, ValueError) as error:
            raise ConfigError(str(settings.client_ca), f"is no certificate: {error}") from None
        context.verify_mode = ssl.CERT_REQUIRED


class _EncryptedKeyError(Exception):
    """The key asks for a passphrase."""


def _refuse_passphrase() -> str:
    raise _EncryptedKeyError
