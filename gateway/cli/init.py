"""`gateway init`: a first configuration that works as it is."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from gateway.cli.choice import AUTO, FOLDER, Pool, chosen, offered
from gateway.cli.machine import PROGRAMS, Machine, look, stand
from gateway.cli.template import Content, configuration, quoted
from gateway.config import Address
from gateway.core.needs import NeedKind, missing
from gateway.server.certificate import write_private, write_self_signed
from gateway.server.passwords import hash_password

ACCOUNT = "admin"
PASSWORD_VARIABLE = "GATEWAY_ADMIN_PASSWORD"  # noqa: S105 - a name, not a password

_CONFIG = "config.toml"
_ACCOUNTS = "accounts.toml"
_PASSWORD = "admin-password"  # noqa: S105 - a file's name
_CERTIFICATE = "tls/cert.pem"
_KEY = "tls/key.pem"
_FIRST_NFS_PORT = 20490
_LAST_NFS_PORT = 20999


def _address(_context: click.Context, _parameter: click.Parameter, text: str) -> Address:
    try:
        return Address.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.option("--config-dir", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write.")
@click.option(
    "--listen", default="127.0.0.1:8443", show_default=True, callback=_address, help="HOST:PORT of the ONTAP REST door."
)
@click.option(
    "--pool",
    "requests",
    multiple=True,
    default=[AUTO],
    metavar="[NAME=]DRIVER:WHERE",
    help="A pool to begin with, such as zfs:tank, btrfs:/srv/fast, directory:/srv/files, qcow2:/srv/images or memory; "
    "may be given several times. `auto`, the default, takes the best that the file system of DIR allows, "
    "or the machine's only ZFS pool.",
)
@click.option("--force", is_flag=True, help="Overwrite what is there; accounts and certificate become new ones.")
def init(config_dir: Path, listen: Address, requests: tuple[str, ...], *, force: bool) -> None:
    """Look at this machine and write a configuration, a certificate and the first account.

    The password of the account `admin` is taken from GATEWAY_ADMIN_PASSWORD;
    without it one is made up, shown once and kept in DIR/admin-password.
    """
    machine = look()
    try:
        pools = chosen(requests, config_dir, machine, stand=stand, lacking=lacking)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--pool") from None
    try:
        password = write_all(config_dir, listen, pools, machine=machine, environment=os.environ, force=force)
    except FileExistsError as error:
        raise click.ClickException(f"{error} is there already. Use --force to overwrite it.") from None
    except ValueError as error:
        raise click.ClickException(f"{PASSWORD_VARIABLE}: {error}") from None
    except OSError as error:
        raise click.ClickException(f"cannot write {error.filename or config_dir}: {error.strerror}") from None
    for sentence in _report(config_dir, listen, pools, machine=machine, password=password):
        click.echo(sentence)


def lacking(driver: str, options: Mapping[str, str]) -> tuple[str, ...]:
    """Give what is missing for a pool to open here, as far as drivers say; its folder is made later."""
    from gateway.server.drivers import drivers, needs_of_driver

    known = drivers()
    if driver not in known:
        return ("this version has no such driver",)
    record = msgspec.convert(options, known[driver].Options, dec_hook=lambda kind, value: kind(value))
    needs = needs_of_driver(known[driver], record)
    return tuple(str(need) for need in missing(needs) if not need.optional and need.kind is not NeedKind.WRITABLE)


def write_all(
    folder: Path,
    listen: Address,
    pools: Sequence[Pool],
    *,
    machine: Machine,
    environment: Mapping[str, str],
    force: bool,
) -> str | None:
    """Write everything; give the password when it was made up.

    FileExistsError, before anything is written, unless `force`. ValueError
    when the environment's password cannot be used. The configuration comes
    last, so where it is the rest is too.
    """
    if not force:
        for name in (_CONFIG, _ACCOUNTS, _PASSWORD, _CERTIFICATE, _KEY):
            if (folder / name).exists():
                raise FileExistsError(str(folder / name))
    given = environment.get(PASSWORD_VARIABLE)
    password = secrets.token_urlsafe(18) if given is None else given
    hashed = hash_password(password)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in _folders(folder, pools):
        path.mkdir(mode=0o755, exist_ok=True)
    if given is None:
        write_private(folder / _PASSWORD, f"{password}\n".encode())
    else:
        (folder / _PASSWORD).unlink(missing_ok=True)
    write_private(folder / _ACCOUNTS, _accounts(str(hashed)).encode())
    write_self_signed(
        certificate=folder / _CERTIFICATE,
        key=folder / _KEY,
        names=[socket.gethostname(), listen.host],
        now=datetime.now(UTC),
        overwrite=force,
    )
    write_private(folder / _CONFIG, _configuration(listen, pools, machine).encode(), mode=0o644)
    return password if given is None else None


def _folders(folder: Path, pools: Sequence[Pool]) -> Iterator[Path]:
    """Yield the folders of pools: those that have to be there first come first."""
    for pool in pools:
        if "path" in pool.options:
            path = Path(pool.options["path"])
            if not path.is_absolute():
                yield folder / FOLDER
            yield folder / path


def _configuration(listen: Address, pools: Sequence[Pool], machine: Machine) -> str:
    from gateway.server.drivers import EXPORTERS, drivers

    content = Content(
        listen=str(listen),
        pools=pools,
        offered=tuple(offered(machine, pools, drivers())),
        nfs_port=free_port() if machine.root and "ganesha.nfsd" in machine.programs else None,
        exporters=frozenset(EXPORTERS),
    )
    return configuration(content, machine)


def free_port() -> int | None:
    """Give a port for the NFS server that nobody uses now, or None."""
    for port in range(_FIRST_NFS_PORT, _LAST_NFS_PORT):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return None


def _accounts(hashed: str) -> str:
    return (
        "# Who may use the gateway. `role` is admin, readonly or user. SIGHUP makes it read this file again.\n"
        f"[account.{ACCOUNT}]\n"
        f"password = {quoted(hashed)}\n"
        'role = "admin"\n'
    )


def _report(
    folder: Path, listen: Address, pools: Sequence[Pool], *, machine: Machine, password: str | None
) -> Iterator[str]:
    config = folder / _CONFIG
    found = [f"btrfs at {path}" for path in machine.btrfs]
    found += [f"ZFS pool {pool}" for pool in machine.zfs]
    found += [f"NFS at {mount.path}" for mount in machine.nfs]
    found += [f"{name} ({PROGRAMS[name]})" for name in machine.programs]
    yield f"This machine has: {', '.join(found)}." if found else "This machine has nothing that a pool could use yet."
    yield f"{config} describes a gateway at https://{listen} with"
    yield from (f"  pool {pool.name}: {pool.says} ({_where(folder, pool)})" for pool in pools)
    yield "and holds an example of every other pool that would work here."
    yield f"{folder / _CERTIFICATE} is a certificate that clients can be told to trust."
    if password is None:
        yield f"The account is {ACCOUNT!r}, with the password from {PASSWORD_VARIABLE}."
    else:
        yield f"The account is {ACCOUNT!r}, its password {password}"
        yield f"It is not shown again; {folder / _PASSWORD} keeps it."
    yield f"Start with: gateway serve --config {config}"


def _where(folder: Path, pool: Pool) -> str:
    if "path" in pool.options:
        return f"{pool.driver} in {folder / pool.options['path']}"
    return " ".join([pool.driver, *pool.options.values()])
