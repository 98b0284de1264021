"""The commands that are the gateway: serve, check, unit, rebuild, config-schema."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from gateway.cli.table import table
from gateway.config import ConfigError, Settings, load, schema
from gateway.config.settings import LogFormat, LogLevel, LogSettings
from gateway.core.capability import NO_SUCH_OPERATION, RESTRICTIONS
from gateway.core.errors import GatewayError
from gateway.observe import Metrics, ReportingObserver, configure_logging

T = TypeVar("T")

config_option = click.option(
    "--config",
    "paths",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="Configuration file; may be given several times, the later one wins.",
)


@click.command("config-schema")
def config_schema() -> None:
    """Print the JSON Schema of the configuration."""
    from gateway.server.drivers import DOORS, EXPORTERS, driver_options

    described = schema(drivers=driver_options(), exporters=EXPORTERS, doors=DOORS)
    click.echo(msgspec.json.format(msgspec.json.encode(described), indent=2))


@click.command()
@config_option
def serve(paths: tuple[Path, ...]) -> None:
    """Run every configured door until SIGTERM."""
    settings = read_settings(paths)
    from gateway.server import app

    _run(app.serve(settings, announce=_announce))


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--coverage", is_flag=True, help="Tell instead what the ONTAP REST door serves of what is documented.")
def check(paths: tuple[Path, ...], *, as_json: bool, coverage: bool) -> None:
    """Tell whether the configuration works here, and what each pool can do."""
    settings = read_settings(paths)
    if coverage:
        _tell_coverage(settings, as_json=as_json)
        return
    # Whoever looks at a terminal wants the answer, not how it came about.
    configure_logging(LogSettings(level=LogLevel.WARNING, format=LogFormat.CONSOLE), sys.stderr.buffer)
    from gateway.server import app

    result = _run(app.check(settings))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(result), indent=2))
    else:
        if result.matrix:
            click.echo(f"{capability_table(result.matrix)}\n")
        if result.fingerprint:
            click.echo(f"certificate: sha256 {result.fingerprint}\n")
        for hint in result.hints:
            click.echo(f"hint: {hint}")
        for remark in result.remarks:
            click.echo(f"remark: {remark}")
        for problem in result.problems:
            click.echo(f"problem: {problem}", err=True)
        if not result.problems:
            click.echo("All is well.")
    if result.problems:
        raise SystemExit(1)


def _tell_coverage(settings: Settings, *, as_json: bool) -> None:
    from gateway.server import coverage

    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(coverage.lines(settings)), indent=2))
    else:
        click.echo(table(coverage.HEADER, coverage.numbers(settings)))


@click.command()
@config_option
def unit(paths: tuple[Path, ...]) -> None:
    """Print a hardened systemd unit that grants just what the configured pools and exports need."""
    settings = read_settings(paths)
    from gateway.server import unit as units

    click.echo(units.unit(settings, paths, program=str(Path(sys.argv[0]).absolute())), nl=False)


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def rebuild(paths: tuple[Path, ...], *, as_json: bool) -> None:
    """Make a new catalog from what the pools themselves hold."""
    settings = read_settings(paths)
    from gateway.server import app

    findings = _run(app.rebuild(settings, observer=ReportingObserver(Metrics())))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(findings), indent=2))
        return
    rows = [[finding.did, finding.kind, finding.ref, finding.why] for finding in findings]
    click.echo(table(["DID", "KIND", "REF", "WHY"], rows))


def capability_table(matrix: Mapping[str, Mapping[str, Mapping[str, str]]]) -> str:
    """Give one row per ability and one column per pool and kind; reasons of absence stand below, each once per kind."""
    columns = {(pool, kind): able for pool, kinds in matrix.items() for kind, able in kinds.items()}
    names = dict.fromkeys(name for able in columns.values() for name in able)
    # A restriction that no pool has would look like an ability that all of them lack.
    shown = [
        name for name in names if name not in RESTRICTIONS or any(able.get(name) == "yes" for able in columns.values())
    ]
    rows = [[name, *("yes" if able.get(name) == "yes" else "-" for able in columns.values())] for name in shown]
    pools = ["" if kind != next(iter(matrix[pool])) else pool for pool, kind in columns]
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for (pool, kind), able in columns.items():
        for name, why in able.items():
            if why not in {"yes", "no", NO_SUCH_OPERATION}:
                reasons.setdefault((pool, kind, why), []).append(name)
    because = [f"{pool} {kind}: no {', '.join(lost)}: {why}" for (pool, kind, why), lost in reasons.items()]
    kinds = ["", *(kind for _, kind in columns)]
    return "\n".join([table(["pool", *pools], [kinds, *rows]), *([""] if because else []), *because])


def read_settings(paths: tuple[Path, ...]) -> Settings:
    """Load the configuration and set up the log that it asks for."""
    from gateway.server.drivers import DOORS, EXPORTERS, driver_options

    try:
        settings = load(paths, os.environ, drivers=driver_options(), exporters=EXPORTERS, doors=DOORS)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    configure_logging(settings.log, sys.stderr.buffer)
    return settings


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run on uvloop where it is installed."""
    from gateway.server.loop import loop_factory

    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(work)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    except GatewayError as error:
        raise click.ClickException(f"{type(error).__name__}: {error}") from None
    except OSError as error:
        raise click.ClickException(f"{error.filename or 'the system says'}: {error.strerror or error}") from None


def _announce(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()
