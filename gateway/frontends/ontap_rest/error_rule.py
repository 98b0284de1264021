"""What a line of the error tables says."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.core.errors import FieldValue, GatewayError


class Rule(msgspec.Struct, frozen=True):
    """One line of the table: which errors, and how they look. `when` and `during` narrow it.

    `when` compares fields of the error (and `side`, low or high, of a broken
    limit); `during` is an operation or, ending in a dot, a group of them.
    """

    error: type[GatewayError]
    status: int
    code: str
    message: str
    target: str = ""
    when: Mapping[str, FieldValue] = {}
    during: tuple[str, ...] = ()
