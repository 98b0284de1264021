"""Loading the C libraries that clients of the data planes are built on."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Mapping
from typing import Any

Signature = tuple[Any, tuple[Any, ...]]
"""What a function gives and what it takes, as ctypes types."""


def load(name: str, functions: Mapping[str, Signature]) -> Any:
    """Give a shared library of this machine with its functions described; RuntimeError when it is not installed."""
    found = ctypes.util.find_library(name)
    if found is None:
        message = f"lib{name} is not installed; `make test` installs what the tests need"
        raise RuntimeError(message)
    library = ctypes.CDLL(found)
    for function, (result, arguments) in functions.items():
        getattr(library, function).restype = result
        getattr(library, function).argtypes = arguments
    return library
