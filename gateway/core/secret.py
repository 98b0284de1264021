"""A value that must not be printed.

Options of backends and exporters declare a field as `Secret`; the
configuration then takes a reference (`env:NAME`, `file:PATH`) instead of the
value itself, and resolves it while it loads. `AccessKeys` is the same for what
object stores ask for, which is never one value alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


class Secret:
    """Text that shows itself only when asked by `reveal`. Equal to another secret with the same text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the text."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(...)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))


class AccessKeys:
    """The keys by which an object store knows somebody: a name, and a secret for it. `token` is of temporary ones."""

    __slots__ = ("access", "secret", "token")

    def __init__(self, access: str, secret: Secret, token: Secret | None = None) -> None:
        self.access: Final = access
        self.secret: Final = secret
        self.token: Final = token

    @classmethod
    def named(cls, values: Mapping[str, object], prefix: str = "") -> AccessKeys:
        """Take the keys from values by name: `access_key`, `secret_key`, and `session_token` where there is one.

        `prefix` stands before the names, as in PREFIX_ACCESS_KEY. ValueError names the one that is missing.
        """
        names = [f"{prefix}_{name.upper()}" if prefix else name for name in _KEYS]
        found = [values.get(name) or "" for name in names]
        for name, value in zip(names, found, strict=True):
            if not isinstance(value, str) or (not value and name != names[-1]):
                raise ValueError(name)
        access, secret, token = map(str, found)
        return cls(access, Secret(secret), Secret(token) if token else None)

    def __repr__(self) -> str:
        return f"AccessKeys({self.access!r}, ...)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AccessKeys):
            return NotImplemented
        return (self.access, self.secret, self.token) == (other.access, other.secret, other.token)

    def __hash__(self) -> int:
        return hash((self.access, self.secret, self.token))


_KEYS = ("access_key", "secret_key", "session_token")
