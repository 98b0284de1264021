"""Targets of requests: taken apart strictly, so that an escaped slash belongs to a value and not to the path."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from gateway.frontends.openstorage.call import refuse

_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")


def segments(raw_path: str) -> tuple[str, ...]:
    """Split a path and decode each segment. Empty ones count: `/v1/volumes/` has an empty volume id."""
    return tuple(unescaped(part) for part in raw_path.removeprefix("/").split("/"))


def pairs(raw_query: str) -> list[tuple[str, str]]:
    """Give names and values of a query in their order; a name without `=` has an empty value."""
    found = []
    for part in raw_query.split("&"):
        if part:
            name, _, value = part.partition("=")
            found.append((unescaped(name.replace("+", " ")), unescaped(value.replace("+", " "))))
    return found


def unescaped(text: str) -> str:
    """Decode escapes; SdkError when one is broken or when the text is no UTF-8."""
    if "%" not in text and text.isascii():
        return text
    if _BROKEN.search(text):
        refuse("the URL has an invalid escape")
    try:
        return unquote_to_bytes(text).decode()
    except (UnicodeDecodeError, UnicodeEncodeError):
        refuse("the URL is no UTF-8")
