"""Options, which clients give with any JSON value, and the texts that they become. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEPTH_MAX = 32
"""How deep options may be nested."""

_NOT_KEPT = "encryptionkey"
"""The option that is a secret: REX-Ray's Docker plugin gives as options what it gives as members."""


def opts_text(value: Any) -> str:
    """Give a value as Go prints it, which is what the reference keeps.

    Whole numbers are as they were written; the reference prints a million as `1e+06`.
    """
    match value:
        case None:
            return "<nil>"
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value).removesuffix(".0")
        case list():
            return f"[{' '.join(map(opts_text, value))}]"
        case dict():
            return f"map[{' '.join(f'{key}:{opts_text(value[key])}' for key in sorted(value))}]"
    return str(value)


def opts_fields(opts: Mapping[str, Any]) -> dict[str, str]:
    """Give options as fields, which a volume or snapshot keeps as labels; their names lose their case.

    A secret is not kept.
    """
    return {name: opts_text(value) for key, value in opts.items() if (name := key.lower()) != _NOT_KEPT}


def overlay(fields: Mapping[str, str], opts: Mapping[str, Any]) -> dict[str, str]:
    """Give the fields of what is made from something that has `fields`: options go over them."""
    return {**fields, **opts_fields(opts)}


def too_deep(value: Any, depth: int = DEPTH_MAX) -> bool:
    """Tell whether a value is nested deeper than `depth`."""
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, list) and (depth == 0 or any(too_deep(each, depth - 1) for each in value))
