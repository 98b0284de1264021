from __future__ import annotations

import base64
import json
import os
import socket
import stat
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from cryptography import x509

from gateway.backends.memory import MemoryBackend
from gateway.cli import main
from gateway.cli.choice import Pool, memory
from gateway.cli.init import free_port, lacking, write_all
from gateway.cli.machine import Machine, Mount, Place, look, reflinks, stand
from gateway.cli.template import quoted
from gateway.config import Address, Settings, load
from gateway.core.errors import Unauthenticated
from gateway.exports.nfs import NfsOptions
from gateway.server.auth import Accounts
from gateway.server.tls import server_context

HERE = Address("127.0.0.1", 8443)


class DiskOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: Path


def read(folder: Path) -> Settings:
    drivers = {"memory": MemoryBackend.Options, "btrfs": DiskOptions, "directory": DiskOptions}
    return load([folder / "config.toml"], {}, drivers=drivers, exporters={"nfs": NfsOptions})


def run(*arguments: str, password: str | None = None) -> Result:
    return CliRunner().invoke(main, arguments, env={"GATEWAY_ADMIN_PASSWORD": password})


async def role_of(folder: Path, password: str) -> str:
    accounts = Accounts.load(folder / "accounts.toml")
    try:
        header = base64.b64encode(f"admin:{password}".encode()).decode()
        (role,) = (await accounts.authenticate(f"Basic {header}")).roles
    finally:
        accounts.close()
    return role


async def test_what_init_writes_works_together(tmp_path: Path) -> None:
    folder = tmp_path / "new/gw"
    result = run("init", "--config-dir", str(folder), "--listen", "[::1]:9443", "--pool", "memory")
    assert result.exit_code == 0, result.output
    settings = read(folder)
    assert settings.address == Address("::1", 9443)
    assert list(settings.backend) == ["memory"]
    server_context(settings.tls)
    password = (folder / "admin-password").read_text().strip()
    assert result.output.count(password) == 1
    assert await role_of(folder, password) == "system.admin"
    with pytest.raises(Unauthenticated):
        await role_of(folder, password[:-1])


def test_secrets_are_for_their_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "gw"
    assert run("init", "--config-dir", str(folder)).exit_code == 0
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.rglob("*")]}
    assert modes["gw"] == 0o700
    assert modes["admin-password"] == modes["accounts.toml"] == modes["key.pem"] == 0o600


async def test_the_password_may_come_from_the_environment(tmp_path: Path) -> None:
    result = run("init", "--config-dir", str(tmp_path), password="chösen one")
    assert result.exit_code == 0
    assert "chösen one" not in result.output
    assert not (tmp_path / "admin-password").exists()
    assert await role_of(tmp_path, "chösen one") == "system.admin"


@pytest.mark.parametrize("password", ["", "x" * 2000])
def test_a_password_that_cannot_be_used(tmp_path: Path, password: str) -> None:
    result = run("init", "--config-dir", str(tmp_path / "gw"), password=password)
    assert result.exit_code == 1
    assert "GATEWAY_ADMIN_PASSWORD: a password has" in result.output
    assert not (tmp_path / "gw").exists()


@pytest.mark.parametrize("there", ["config.toml", "accounts.toml", "admin-password", "tls/cert.pem", "tls/key.pem"])
def test_nothing_is_overwritten_without_force(tmp_path: Path, there: str) -> None:
    path = tmp_path / there
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    result = run("init", "--config-dir", str(tmp_path))
    assert result.exit_code == 1
    assert f"{path} is there already. Use --force" in result.output
    assert [entry for entry in tmp_path.rglob("*") if entry.is_file()] == [path]
    assert path.read_text() == "mine"


async def test_force_makes_everything_new(tmp_path: Path) -> None:
    assert run("init", "--config-dir", str(tmp_path)).exit_code == 0
    before = (tmp_path / "tls/cert.pem").read_bytes()
    assert run("init", "--config-dir", str(tmp_path), "--force", password="other").exit_code == 0
    assert (tmp_path / "tls/cert.pem").read_bytes() != before
    assert not (tmp_path / "admin-password").exists()
    assert await role_of(tmp_path, "other") == "system.admin"


@pytest.mark.parametrize("listen", ["8443", "host", "h:99999", "::1:8443", ""])
def test_an_address_that_is_none(tmp_path: Path, listen: str) -> None:
    result = run("init", "--config-dir", str(tmp_path / "gw"), "--listen", listen)
    assert result.exit_code == 2
    assert "HOST:PORT" in result.output
    assert not (tmp_path / "gw").exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("init", "--config-dir", str(tmp_path / "file/below"))
    assert result.exit_code == 1
    assert "cannot write" in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_the_certificate_names_host_and_address(tmp_path: Path) -> None:
    assert run("init", "--config-dir", str(tmp_path), "--listen", "192.0.2.9:8443").exit_code == 0
    certificate = x509.load_pem_x509_certificate((tmp_path / "tls/cert.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "192.0.2.9" in [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    assert socket.gethostname().lower() in [name.lower() for name in names.get_values_for_type(x509.DNSName)]


def test_nfs_is_switched_on_only_where_it_works(tmp_path: Path) -> None:
    ganesha = {"ganesha.nfsd": "/usr/bin/ganesha.nfsd"}
    cases = {
        "none": (Machine(root=True), None),
        "user": (Machine(programs=ganesha), None),
        "root": (Machine(programs=ganesha, root=True), "nfs"),
    }
    for name, (machine, kind) in cases.items():
        write_all(tmp_path / name, HERE, [memory()], machine=machine, environment={}, force=False)
        assert list(read(tmp_path / name).export) == ([kind] if kind else [])


ODD = 'with "quotes"\nand\x7f lines'


def test_what_a_driver_lacks_is_known(tmp_path: Path) -> None:
    assert lacking("memory", {}) == ()
    assert lacking("tape", {}) == ("this version has no such driver",)


def test_folders_of_pools_are_made(tmp_path: Path) -> None:
    pools = [Pool(name="disk", driver="directory", options={"path": "pools/disk"}, says="files")]
    pools.append(Pool(name="far.off", driver="btrfs", options={"path": str(tmp_path / ODD)}, says="files"))
    for force in (False, True):
        write_all(tmp_path / "gw", HERE, pools, machine=Machine(), environment={}, force=force)
    settings = read(tmp_path / "gw")
    assert [pool.options.path for pool in settings.backend.values()] == [
        tmp_path / "gw/pools/disk",
        tmp_path / ODD,
    ]
    assert all(pool.options.path.is_dir() for pool in settings.backend.values())
    gone = [Pool(name="disk", driver="directory", options={"path": str(tmp_path / "a/b")}, says="files")]
    with pytest.raises(FileNotFoundError):
        write_all(tmp_path / "other", HERE, gone, machine=Machine(), environment={}, force=False)
    assert list((tmp_path / "other").iterdir()) == []


def test_a_pool_that_makes_no_sense_ends_the_command(tmp_path: Path) -> None:
    result = run("init", "--config-dir", str(tmp_path / "gw"), "--pool", "zfs:")
    assert result.exit_code == 2
    assert "is neither auto nor" in result.output
    assert not (tmp_path / "gw").exists()


def test_the_report_says_what_was_chosen(tmp_path: Path) -> None:
    result = run("init", "--config-dir", str(tmp_path), "--pool", "tried=memory")
    assert "  pool tried: files and blocks, with everything there is, but empty" in result.output


@pytest.mark.parametrize("text", ["plain", 'quo"te', "back\\slash", "new\nline", "\x7f\x00", "ä☃"])
def test_quoting(text: str) -> None:
    assert tomllib.loads(f"x = {quoted(text)}") == {"x": text}


def mountinfo(*mounts: tuple[Path | str, str, str], source: str = "/dev/x") -> str:
    return "".join(
        f"36 35 98:0 / {str(path).replace(' ', chr(92) + '040')} {options},noatime shared:1 - {kind} {source} rw\n"
        for path, kind, options in mounts
    )


def test_the_machine_is_looked_at(tmp_path: Path) -> None:
    good, spaced, other = tmp_path / "good", tmp_path / "with space", tmp_path / "other"
    for folder in (good, spaced, other):
        folder.mkdir()
    table = tmp_path / "mountinfo"
    table.write_text(
        mountinfo(
            (good, "btrfs", "rw"),
            (spaced, "btrfs", "rw"),
            (other, "btrfs", "ro"),
            (other, "ext4", "rw"),
            (tmp_path / "gone", "btrfs", "rw"),
        )
        + mountinfo(("/mnt/far", "nfs4", "rw"), source="filer:/a")
        + "rubbish\n\n- btrfs\n"
    )
    asked: list[Sequence[str]] = []

    def answer(arguments: Sequence[str]) -> str:
        asked.append(arguments)
        return "tank\nsafe\n"

    found = {"zpool", "tgtd"}
    machine = look(mounts=table, run=answer, which=lambda name: f"/bin/{name}" if name in found else None)
    assert machine.btrfs == (good, spaced)
    assert machine.nfs == (Mount(Path("/mnt/far"), "nfs4", "filer:/a"),)
    assert machine.zfs == ("tank", "safe")
    assert machine.programs == {"tgtd": "/bin/tgtd", "zpool": "/bin/zpool"}
    assert machine.root == (os.geteuid() == 0)
    assert asked == [["zpool", "list", "-H", "-o", "name"]]


def test_a_folder_is_on_the_deepest_and_last_mount(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        mountinfo(("/", "ext4", "rw"), (tmp_path, "xfs", "rw"))
        + mountinfo((tmp_path, "zfs", "rw"), source="tank/home/me")
        + mountinfo((tmp_path / "a", "btrfs", "rw"))
    )
    assert stand(Path("/"), mounts=table) == Place(kind="ext4")
    assert stand(tmp_path / "new/folder", mounts=table).zpool == "tank"
    assert stand(tmp_path / "a", mounts=table).zpool == "tank"
    (tmp_path / "a").mkdir()
    assert stand(tmp_path / "a/b", mounts=table).kind == "btrfs"
    assert stand(tmp_path, mounts=tmp_path / "none") == Place()


@pytest.mark.parametrize(
    "error", [OSError("gone"), subprocess.TimeoutExpired("zpool", 5), subprocess.CalledProcessError(1, "zpool")]
)
def test_a_zpool_that_fails_counts_as_no_pool(tmp_path: Path, error: Exception) -> None:
    def fail(_arguments: Sequence[str]) -> str:
        raise error

    machine = look(mounts=tmp_path / "none", run=fail, which=lambda name: name)
    assert machine.zfs == ()
    assert machine.btrfs == ()


def test_reflinks_leaves_nothing_behind(tmp_path: Path) -> None:
    assert reflinks(tmp_path) in {True, False}
    assert list(tmp_path.iterdir()) == []
    assert reflinks(tmp_path / "none") is False
    assert reflinks(Path("/proc")) is False


def test_a_free_port_is_free() -> None:
    port = free_port()
    assert port is not None
    with socket.socket() as mine:
        mine.bind(("127.0.0.1", port))
        assert free_port() != port


def test_the_schema_command_prints_json() -> None:
    result = run("config-schema")
    assert result.exit_code == 0
    assert json.loads(result.output)["required"] == ["backend"]


@pytest.mark.parametrize("command", ["serve", "check", "rebuild"])
def test_a_configuration_that_cannot_be_used_ends_the_command(tmp_path: Path, command: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text("lisen = 1\n")
    result = run(command, "--config", str(path))
    assert result.exit_code == 1
    assert "lisen: unknown key; did you mean 'listen'?" in result.output
    assert "Traceback" not in result.output


async def test_an_account_is_added(tmp_path: Path) -> None:
    run("init", "--config-dir", str(tmp_path), "--pool", "memory")
    config, file = ("--config", str(tmp_path / "config.toml")), tmp_path / "accounts.toml"
    first = file.read_text()
    added = run("account", "add", "cinder", *config)
    assert added.exit_code == 0, added.output
    assert file.read_text().startswith(first)
    accounts = Accounts.load(file)
    try:
        header = base64.b64encode(f"cinder:{added.stdout.strip()}".encode()).decode()
        assert (await accounts.authenticate(f"Basic {header}")).roles == ("system.user",)
    finally:
        accounts.close()

    before = file.read_text()
    for name in ("cinder", "admin", "", "a:b"):
        refused = run("account", "add", name, "--role", "admin", *config)
        assert refused.exit_code != 0
        assert "account" in refused.output
    assert file.read_text() == before
