"""A MariaDB of the tests' own: on a socket in their folder, without accounts, ended with them."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymysql

START_S = 60
# What it holds ends with the tests: a power cut may take it.
QUICK = (
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-flush-method=nosync",
    "--sync-binlog=0",
)
ENDS_WITH_US = ("setpriv", "--pdeathsig", "KILL")

Rows = list[tuple[Any, ...]]


class MariaDb:
    """A running server, and the databases that projects have there."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._made = 0
        self._templates: dict[str, str] = {}

    def fresh(self) -> str:
        """Make an empty database; give its name."""
        self._made += 1
        name = f"db{self._made}"
        self._do(f"CREATE DATABASE {name}")
        return name

    def url(self, name: str) -> str:
        """Give what SQLAlchemy calls a database."""
        return f"mysql+pymysql://root@localhost/{name}?unix_socket={self.socket}"

    def copy(self, project: str, migrate: Callable[[str], None]) -> str:
        """Give the URL of a new database with the tables of a project, made by `migrate` when there are none."""
        if project not in self._templates:
            name = self.fresh()
            migrate(self.url(name))
            self._templates[project] = name
        template, name = self._templates[project], self.fresh()
        with self._connection(name) as cursor:
            cursor.execute("SET foreign_key_checks = 0")
            for table in self._tables(cursor, template):
                cursor.execute(f"SHOW CREATE TABLE `{template}`.`{table}`")
                cursor.execute(cursor.fetchone()[1])
                cursor.execute(f"INSERT INTO `{table}` SELECT * FROM `{template}`.`{table}`")
        return self.url(name)

    def rows(self, url: str, query: str) -> Rows:
        """Ask a database."""
        with self._connection(urlsplit(url).path.lstrip("/")) as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    def _tables(self, cursor: Any, name: str) -> list[str]:
        cursor.execute(f"SHOW TABLES FROM `{name}`")
        return [table for (table,) in cursor.fetchall()]

    def _do(self, statement: str) -> None:
        with self._connection(None) as cursor:
            cursor.execute(statement)

    @contextlib.contextmanager
    def _connection(self, name: str | None) -> Iterator[Any]:
        connection = pymysql.connect(unix_socket=str(self.socket), user="root", database=name, autocommit=True)
        with contextlib.closing(connection), connection.cursor() as cursor:
            yield cursor


@contextlib.contextmanager
def mariadb(folder: Path) -> Iterator[MariaDb]:
    """Give a server for a block."""
    data, log = folder / "data", folder / "mariadb.log"
    (folder / "tmp").mkdir()
    own = ["--no-defaults", f"--user={getpass.getuser()}", f"--datadir={data}", f"--tmpdir={folder / 'tmp'}"]
    made = subprocess.run(
        ["mariadb-install-db", *own, "--skip-test-db", "--auth-root-authentication-method=normal"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    socket_path = folder / "socket"
    with _told(folder / "notify") as (place, ready), log.open("wb") as file:
        process = subprocess.Popen(
            [
                *ENDS_WITH_US,
                "mariadbd",
                *own,
                "--skip-networking",
                f"--socket={socket_path}",
                f"--pid-file={folder / 'pid'}",
                *QUICK,
            ],
            stdout=file,
            stderr=file,
            env={**os.environ, "NOTIFY_SOCKET": str(place)},
        )
        try:
            ready()
            yield MariaDb(socket_path)
        except TimeoutError as error:
            error.add_note(log.read_text(errors="replace"))
            raise
        finally:
            process.terminate()
            try:
                process.wait(START_S)
            finally:
                process.kill()
                process.wait()


@contextlib.contextmanager
def _told(place: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Give a socket of the kind that systemd has for services, and what waits until one says there that it is ready."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(place))
        listener.settimeout(START_S)

        def ready() -> None:
            while b"READY=1" not in listener.recv(4096):
                pass

        yield place, ready
