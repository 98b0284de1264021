"""How operators and users say of which kind new volumes are, in every door that lets them."""

from __future__ import annotations

import enum


class KindChoice(enum.StrEnum):
    """What new volumes are. `auto`: what follows from the rest of a request, or from the pools; each door says how."""

    AUTO = "auto"
    FILESYSTEM = "filesystem"
    BLOCK = "block"
