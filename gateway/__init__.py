"""One volume model, many front doors."""

__version__ = "0.1.0"
