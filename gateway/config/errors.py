from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConfigError(Exception):
    """A configuration that cannot be used: where (file, line, path of keys) and why.

    `path` is empty when the file as a whole is at fault, `line` None when it is not known.
    """

    def __init__(
        self,
        source: str,
        reason: str,
        *,
        path: tuple[str, ...] = (),
        line: int | None = None,
        nearest: str | None = None,
    ) -> None:
        self.source = source
        self.reason = reason
        self.path = path
        self.line = line
        self.nearest = nearest
        place = source if line is None else f"{source}:{line}"
        key = f"{'.'.join(path)}: " if path else ""
        hint = f"; did you mean {nearest!r}?" if nearest else ""
        super().__init__(f"{place}: {key}{reason}{hint}")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Give the known word that was probably meant."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)), None)
