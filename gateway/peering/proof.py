"""How two gateways show each other that they were given the same passphrase.

Neither says it, nor anything that is of use to a third one: what is shown is a
digest, keyed by what both made of the passphrase, of everything that is agreed
on. The certificates of both are part of that, so somebody between them, who
would have to have one of his own, has nothing to show. He who is taken for the
other side gets a digest to try passphrases on: short ones are to be avoided.
"""

from __future__ import annotations

import hashlib
import hmac

import msgspec

from gateway.peering.wire import VERSION, Join, Joined

_ENCODER = msgspec.json.Encoder(order="deterministic")


def asked(key: str, join: Join, *, mine: bytes, theirs: bytes) -> str:
    """Give the proof of who asks. `mine`, `theirs`: the certificates of who asks and who is asked, in DER."""
    said = [str(join.cluster_id), join.cluster, list(join.addresses), join.nonce]
    return _digest(key, "join", *said, fingerprint(mine), fingerprint(theirs))


def answered(key: str, joined: Joined, join: Join, *, mine: bytes, theirs: bytes) -> str:
    """Give the proof of who answers. `mine`, `theirs`: as before, so they change places."""
    said = [str(joined.cluster_id), joined.cluster, join.nonce]
    return _digest(key, "joined", *said, fingerprint(mine), fingerprint(theirs))


def same(one: str, other: str) -> bool:
    """Compare without telling by the time it takes how much of it was right."""
    return hmac.compare_digest(one.encode(), other.encode())


def fingerprint(certificate: bytes) -> str:
    """Give the SHA-256 of a certificate in DER, in hex."""
    return hashlib.sha256(certificate).hexdigest()


def _digest(key: str, *said: object) -> str:
    return hmac.new(bytes.fromhex(key), _ENCODER.encode([VERSION, *said]), "sha256").hexdigest()
