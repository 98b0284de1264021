"""`gateway init`: a first configuration that works as it is."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from gateway.cli.machine import PROGRAMS, Machine, look
from gateway.cli.template import configuration, quoted
from gateway.config import Address
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
@click.option("--force", is_flag=True, help="Overwrite what is there; accounts and certificate become new ones.")
def init(config_dir: Path, listen: Address, *, force: bool) -> None:
    """Look at this machine and write a configuration, a certificate and the first account.

    The password of the account `admin` is taken from GATEWAY_ADMIN_PASSWORD;
    without it one is made up, shown once and kept in DIR/admin-password.
    """
    machine = look()
    try:
        password = write_all(config_dir, listen, machine=machine, environment=os.environ, force=force)
    except FileExistsError as error:
        raise click.ClickException(f"{error} is there already. Use --force to overwrite it.") from None
    except ValueError as error:
        raise click.ClickException(f"{PASSWORD_VARIABLE}: {error}") from None
    except OSError as error:
        raise click.ClickException(f"cannot write {error.filename or config_dir}: {error.strerror}") from None
    for sentence in _report(config_dir, listen, machine=machine, password=password):
        click.echo(sentence)


def write_all(
    folder: Path, listen: Address, *, machine: Machine, environment: Mapping[str, str], force: bool
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
    port = free_port() if machine.root and "ganesha.nfsd" in machine.programs else None
    write_private(folder / _CONFIG, configuration(machine, listen=str(listen), nfs_port=port).encode(), mode=0o644)
    return password if given is None else None


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
        "# Who may use the gateway. `role` is admin or readonly. SIGHUP makes a running gateway read this file again.\n"
        f"[account.{ACCOUNT}]\n"
        f"password = {quoted(hashed)}\n"
        'role = "admin"\n'
    )


def _report(folder: Path, listen: Address, *, machine: Machine, password: str | None) -> list[str]:
    config = folder / _CONFIG
    found = [f"btrfs at {path}" for path in machine.btrfs]
    found += [f"ZFS pool {pool}" for pool in machine.zfs]
    found += [f"{name} ({PROGRAMS[name]})" for name in machine.programs]
    sentences = [
        f"This machine has: {', '.join(found)}." if found else "This machine has nothing that a pool could use yet.",
        f"{config} describes a gateway at https://{listen} with one pool, which lives in memory.",
        "The file holds an example of every other pool that would work here.",
        f"{folder / _CERTIFICATE} is a certificate that clients can be told to trust.",
    ]
    if password is None:
        sentences.append(f"The account is {ACCOUNT!r}, with the password from {PASSWORD_VARIABLE}.")
    else:
        sentences.append(f"The account is {ACCOUNT!r}, its password {password}")
        sentences.append(f"It is not shown again; {folder / _PASSWORD} keeps it.")
    sentences.append(f"Start with: gateway serve --config {config}")
    return sentences
