"""Mutual TLS between two that know each other's certificate, and trust no other."""

from __future__ import annotations

import hmac
import ssl

from gateway.core.errors import Unavailable


def client_context(certificate: str, key: str, peer_certificate: str) -> ssl.SSLContext:
    """Give what connects: by the files of a certificate and its key, to whoever has the one in PEM."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, certificate, key, peer_certificate)


def server_context(certificate: str, key: str, peer_certificate: str) -> ssl.SSLContext:
    """Give what is connected to."""
    return _context(ssl.PROTOCOL_TLS_SERVER, certificate, key, peer_certificate)


def is_peer(connection: ssl.SSLSocket, peer_certificate: str) -> bool:
    """Tell whether the other side has that very certificate, and not one that it has signed."""
    shown = connection.getpeercert(binary_form=True)
    return shown is not None and hmac.compare_digest(shown, ssl.PEM_cert_to_DER_cert(peer_certificate.strip()))


def _context(protocol: int, certificate: str, key: str, peer_certificate: str) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # What it is called does not matter: it is known by itself.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=peer_certificate)
        context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        raise Unavailable(what="mover", reason="a certificate or key for the peer cannot be used") from error
    return context
