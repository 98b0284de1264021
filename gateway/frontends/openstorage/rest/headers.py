"""What headers of a request mean, and what a browser's pages may do with the answers."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.frontends.openstorage.call import refuse

VERBS = ("GET", "POST", "DELETE", "HEAD", "PUT", "OPTIONS")
"""What pages of other origins may send."""

_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_SECONDS: Mapping[str, float] = {"H": 3600, "M": 60, "S": 1, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_FORWARDED = ("Authorization", "Grpc-Metadata-Authorization")


def authorization(headers: Mapping[str, str]) -> str | None:
    """Give what a client proves itself with, as it came; None when it does not."""
    return next((headers[name] for name in _FORWARDED if headers.get(name)), None)


def timeout_s(headers: Mapping[str, str]) -> float | None:
    """Give the client's deadline in seconds from now, None for no deadline."""
    text = headers.get("Grpc-Timeout", "")
    if not text:
        return None
    read = _TIMEOUT.fullmatch(text)
    if read is None:
        refuse(f"invalid grpc-timeout: {text[:32]}")
    return int(read[1]) * _SECONDS[read[2]] or None


def cross_origin(headers: Mapping[str, str]) -> dict[str, str]:
    """Give the headers that let the page that asks read the answer; none when no page asks.

    Any page may, with credentials: the door knows no cookies, so a page has no more than the token it was given.
    """
    origin = headers.get("Origin")
    if not origin:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "Allow, Retry-After, WWW-Authenticate",
    }


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Tell whether a browser asks beforehand what a page may send."""
    return method == "OPTIONS" and "Origin" in headers and "Access-Control-Request-Method" in headers


def preflight(headers: Mapping[str, str]) -> dict[str, str]:
    """Give the headers of the answer to that question."""
    answer = {
        **cross_origin(headers),
        "Access-Control-Allow-Methods": ", ".join(VERBS),
        "Access-Control-Max-Age": "600",
    }
    wanted = headers.get("Access-Control-Request-Headers")
    if wanted:
        # With credentials a star would be a header of that name.
        answer["Access-Control-Allow-Headers"] = wanted
    return answer
