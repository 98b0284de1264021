"""`gateway account`: who may use the gateway, besides the first account."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import click

from gateway.cli.service import config_option, read_settings
from gateway.cli.template import quoted
from gateway.config import ConfigError
from gateway.server.accounts_file import Role, read_accounts
from gateway.server.passwords import hash_password


@click.group()
def account() -> None:
    """Accounts of people and programs."""


@account.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.USER.value,
    show_default=True,
    help="What it may do.",
)
@config_option
def add(name: str, role: str, paths: tuple[Path, ...]) -> None:
    """Add an account and print its password, which is made up.

    A running gateway knows the account once it gets SIGHUP.
    """
    file = read_settings(paths).accounts
    password = secrets.token_urlsafe(18)
    table = f"[account.{quoted(name)}]\npassword = {quoted(str(hash_password(password)))}\nrole = {quoted(role)}\n"
    try:
        if not name or ":" in name:
            raise click.BadParameter("an account's name is not empty and has no colon", param_hint="NAME")
        if name in read_accounts(file):
            raise click.ClickException(f"{file}: there is an account {name!r} already")
        _append(file, table)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"cannot write {file}: {error.strerror}") from None
    click.echo(password)


def _append(file: Path, table: str) -> None:
    # The file stays the same one: it may belong to the gateway's user, and this be root.
    with file.open("r+b") as opened:
        before = b"\n" if opened.read().endswith(b"\n") else b"\n\n"
        opened.write(before + table.encode())
        opened.flush()
        os.fsync(opened.fileno())
