"""What every command that talks to a running gateway shares: options, connection, output, progress."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from gateway.cli.table import table
from gateway.client import Client, ClientError, Flow, Job, Listing, pools, tenants

T = TypeVar("T")
R = TypeVar("R")

DEFAULT_URL = "https://127.0.0.1:8443"

_SIZE = re.compile(r"(?P<number>[0-9]{1,19})\s*(?P<unit>[KMGTP]?)I?B?", re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
_OPTIONS = (
    click.option("--url", envvar="GATEWAY_URL", default=DEFAULT_URL, show_default=True, help="Address of the gateway."),
    click.option("--user", envvar="GATEWAY_USER", default="admin", show_default=True, help="Account."),
    click.option("--password", envvar="GATEWAY_PASSWORD", help="Its password; asked for when it is nowhere."),
    click.option(
        "--ca", envvar="GATEWAY_CA", type=click.Path(path_type=Path), help="Certificate (or authority) to trust."
    ),
    click.option("--insecure", envvar="GATEWAY_INSECURE", is_flag=True, help="Trust any certificate."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table."),
)


class Size(click.ParamType[int]):
    """A number of bytes, with K, M, G, T or P for powers of 1024."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read `10G`, `10GB`, `10GiB`, `1048576`."""
        match = _SIZE.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no size such as 10G", param, ctx)
        return int(match["number"]) * _UNITS[match["unit"].upper()]


class Session:
    """One command's connection, and the way it prints."""

    def __init__(self, client: Client, *, as_json: bool, progress: Callable[[Job], None] | None) -> None:
        self._client = client
        self.as_json = as_json
        self.progress = progress

    def run(self, flow: Flow[T]) -> T:
        """Carry an operation out."""
        return self._client.run(flow)

    def each(self, listing: Listing[R]) -> Iterator[R]:
        """Yield every answer."""
        return self._client.each(listing)

    def print_all(self, records: Iterable[R], columns: Sequence[tuple[str, Callable[[R], object]]]) -> None:
        """Print records as rows, or as one JSON array."""
        if self.as_json:
            _print_json(list(records))
            return
        rows = [[str(cell(record)) for _, cell in columns] for record in records]
        click.echo(table([name for name, _ in columns], rows))

    def print_one(self, record: object) -> None:
        """Print one record: a line per field, or JSON."""
        if self.as_json:
            _print_json(record)
            return
        rows = [[name, text] for name, text in _flat(msgspec.to_builtins(record)) if text]
        click.echo(table(["FIELD", "VALUE"], rows))

    def only_tenant(self, named: str | None) -> str:
        """Give the tenant that was named, or the only one that there is."""
        return named or _only("tenant", [tenant.name for tenant in self.each(tenants.every())])

    def only_pool(self, named: str | None) -> str:
        """Give the pool that was named, or the only one that there is."""
        return named or _only("pool", [pool.name for pool in self.each(pools.every())])


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Add the connection's options to a command, which gets a `Session` as its first argument."""

    @functools.wraps(command)
    def wrapped(
        *, url: str, user: str, password: str | None, ca: Path | None, insecure: bool, as_json: bool, **rest: Any
    ) -> None:
        if password is None:
            password = click.prompt(f"Password of {user}", hide_input=True, err=True)
        with _errors(), _progress() as progress:
            verify = False if insecure else ca or True
            with Client(url, user=user, password=password, verify=verify) as client:
                command(Session(client, as_json=as_json, progress=progress), **rest)

    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def human(size: int) -> str:
    """Give a size for people, in powers of 1024."""
    amount, units = float(size), iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while amount >= 1024 and unit != "TiB":  # noqa: PLR2004 - the step between units
        amount, unit = amount / 1024, next(units)
    return f"{amount:.0f}{unit}" if amount == int(amount) else f"{amount:.1f}{unit}"


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise click.ClickException(str(error)) from None


@contextmanager
def _progress() -> Iterator[Callable[[Job], None] | None]:
    """Give a callback that keeps one line on the terminal up to date; None when nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return

    def tell(job: Job) -> None:
        text = f"{job.state}: {job.description}"
        line = "".join(c if c.isprintable() else "?" for c in text)[:78]
        click.echo(f"\r\x1b[K{line}", nl=False, err=True)

    try:
        yield tell
    finally:
        click.echo("\r\x1b[K", nl=False, err=True)


def _only(kind: str, names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    known = f" ({', '.join(names)})" if names else ""
    raise click.UsageError(f"There are {len(names)} {kind}s{known}; say which one with --{kind}.")


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _flat(item, f"{prefix}[{number}]")
    elif value is not None:
        yield prefix, str(value)


def _print_json(value: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))
