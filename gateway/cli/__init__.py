"""The command line: `gateway`, or `python -m gateway`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

from gateway import __version__

__all__ = ["main"]

_COMMANDS: Mapping[str, str] = {
    "init": "init",
    "serve": "service",
    "check": "service",
    "config-schema": "service",
    "unit": "service",
    "rebuild": "service",
    "account": "accounts",
    "volume": "volumes",
    "snapshot": "objects",
    "clone": "volumes",
    "host": "objects",
    "pool": "objects",
    "job": "objects",
    "mirror": "mirrors",
}
"""Command -> the module of this package that has it."""


class _Commands(click.Group):
    """Imports a command when it is asked for, so that the server carries no client and no certificate maker."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gateway")
def main() -> None:
    """One volume model, many front doors: runs the gateway, and talks to a running one."""
