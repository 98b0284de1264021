"""The command line: `gateway`, or `python -m gateway`."""

from __future__ import annotations

import click

from gateway import __version__
from gateway.cli.init import init
from gateway.cli.objects import job, pool, snapshot
from gateway.cli.service import check, config_schema, rebuild, serve
from gateway.cli.volumes import clone, volume

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gateway")
def main() -> None:
    """One volume model, many front doors: runs the gateway, and talks to a running one."""


for _command in (init, serve, check, config_schema, rebuild, volume, snapshot, clone, pool, job):
    main.add_command(_command)
