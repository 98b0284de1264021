"""The gateway's own certificate, and the writing of files that hold secrets."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BOTH_ENDS = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
"""The purposes of a certificate that is shown by whoever listens, and by whoever calls."""

_LIFETIME = timedelta(days=3653)
_ALWAYS = ("localhost", "127.0.0.1", "::1")
_COMMON_NAME_MAX = 64
_UNSPECIFIED = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, never listened on


def write_self_signed(
    *,
    certificate: Path,
    key: Path,
    names: Iterable[str],
    now: datetime,
    overwrite: bool = False,
    purposes: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.SERVER_AUTH,),
) -> None:
    """Make a key and a certificate for localhost and the names, valid for ten years. `purposes`: what it is good for.

    The key is readable by its owner only. Without `overwrite` FileExistsError
    is raised before anything is written.
    """
    if not overwrite:
        for path in (certificate, key):
            if path.exists():
                raise FileExistsError(path)
    private = ec.generate_private_key(ec.SECP256R1())
    subject = list(dict.fromkeys([*_ALWAYS, *(name for name in names if name and name not in _UNSPECIFIED)]))
    signed = _sign(private, subject, now, purposes)
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(key, secret)
    write_private(certificate, signed.public_bytes(serialization.Encoding.PEM), mode=0o644)


def write_private(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace a file in one step; nobody can read it meanwhile who may not afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
        os.fchmod(file.fileno(), mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _sign(
    private: ec.EllipticCurvePrivateKey, names: list[str], now: datetime, purposes: Sequence[x509.ObjectIdentifier]
) -> x509.Certificate:
    named = next((name for name in names if name not in _ALWAYS and len(name) <= _COMMON_NAME_MAX), names[0])
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, named)])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    public = private.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(private, hashes.SHA256())
    )


def _general_names(names: Iterable[str]) -> Iterator[x509.GeneralName]:
    """Yield addresses and host names; a name that DNS could not hold is left out."""
    for name in names:
        try:
            yield x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            with contextlib.suppress(UnicodeError):
                yield x509.DNSName(name.encode("idna").decode())
