"""A value that must not be printed.

Options of backends and exporters declare a field as `Secret`; the
configuration then takes a reference (`env:NAME`, `file:PATH`) instead of the
value itself, and resolves it while it loads.
"""

from __future__ import annotations


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
