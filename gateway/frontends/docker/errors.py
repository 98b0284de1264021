"""The error tree in words for `Err`: one table. What a substrate said stays in the log."""

from __future__ import annotations

from gateway.core import errors
from gateway.frontends.words import WORDS, Words

_SHOWN_MAX = 500

TEXTS: Words = {
    **WORDS,
    errors.AlreadyExists: lambda e: f"{WORDS[errors.AlreadyExists](e)}{_otherwise(e)}",
}


def text_of(error: errors.GatewayError) -> str:
    """Give what `Err` says of an error."""
    return TEXTS[type(error)](error)[:_SHOWN_MAX]


def _otherwise(error: errors.GatewayError) -> str:
    return ", and is not what was asked for" if error.same_spec is False else ""
