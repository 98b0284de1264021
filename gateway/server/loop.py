"""Which event loop the gateway runs on."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Give uvloop's factory where uvloop is installed; None: Python's own loop.

    Programs are started by `subprocess` in threads, never through the loop:
    uvloop forks the whole process and holds the loop meanwhile.
    """
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        return None
    return factory
