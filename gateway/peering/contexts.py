"""Whom a gateway believes, as TLS has it: nobody but who shows just the certificate that was agreed on."""

from __future__ import annotations

import ssl
from pathlib import Path

import msgspec


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The files in PEM by which this gateway shows its peers who it is."""

    certificate: Path
    key: Path

    def pem(self) -> str:
        """Give the certificate itself, without those that signed it."""
        text = self.certificate.read_text(encoding="ascii", errors="replace")
        return f"{ssl.PEM_HEADER}{text.partition(ssl.PEM_HEADER)[2].partition(ssl.PEM_FOOTER)[0]}{ssl.PEM_FOOTER}\n"

    def der(self) -> bytes:
        """Give the same as its digest is made of it."""
        return ssl.PEM_cert_to_DER_cert(self.pem())


def listening(identity: Identity) -> ssl.SSLContext:
    """Give the context of the listener. Who shows a certificate must be trusted (`trust`); who wants to join has none.

    OSError and ssl.SSLError when the files cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    # A resumed connection would be let in by who somebody was, not by who he is.
    context.num_tickets = 0
    context.load_cert_chain(identity.certificate, identity.key)
    return context


def trust(context: ssl.SSLContext, certificate: str) -> None:
    """Let connections made from now on show a certificate. It stays so; whose it is is looked up by each call."""
    context.load_verify_locations(cadata=certificate)


def usable(certificate: str) -> bool:
    """Tell whether a text in PEM is one certificate, which `trust` can take."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=certificate)
    except (ValueError, ssl.SSLError):
        return False
    return context.cert_store_stats()["x509"] == 1


def asking(identity: Identity, certificate: str) -> ssl.SSLContext:
    """Give the context by which one reaches who has just this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # names say nothing: the certificate was agreed on
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=certificate)
    context.load_cert_chain(identity.certificate, identity.key)
    return context


def meeting() -> ssl.SSLContext:
    """Give the context by which one reaches somebody whose certificate is still to be agreed on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def shown(transport: object) -> bytes | None:
    """Give the certificate, in DER, that the other side of a connection has shown; None when it has none."""
    get = getattr(transport, "get_extra_info", None)
    connection = None if get is None else get("ssl_object")
    return None if connection is None else connection.getpeercert(binary_form=True)
