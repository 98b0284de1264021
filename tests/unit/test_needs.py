"""What drivers need of the machine: found missing, and granted by a systemd unit and nothing more."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.backends.btrfs import BtrfsBackend, BtrfsOptions
from gateway.cli import main
from gateway.config import load
from gateway.core.needs import (
    CAPABILITIES,
    capability,
    device,
    effective_capabilities,
    listening,
    missing,
    program,
    shared,
    writable,
)
from gateway.server.drivers import DOORS, EXPORTERS, driver_options, needs_of
from gateway.server.unit import unit

CONFIG = """
listen = "127.0.0.1:443"
data_dir = "data"
[backend.memory]
[backend.fast]
driver = "btrfs"
path = "pool"
[export.nfs]
port = 2049
"""


def settings_in(folder: Path, text: str = CONFIG):
    (folder / "config.toml").write_text(text)
    return load([folder / "config.toml"], {}, drivers=driver_options(), exporters=EXPORTERS, doors=DOORS)


def test_what_is_missing_is_found(tmp_path):
    needs = (
        capability("CAP_SYS_ADMIN", "to mount"),
        capability("CAP_CHOWN", "to give away"),
        program("zfs", "manages"),
        program("git", "stores"),
        device("/dev/fuse", "shows"),
        device("/dev/null", "swallows"),
        writable(tmp_path, "holds"),
        writable(tmp_path / "none", "held"),
    )
    lacking = missing(
        needs,
        capabilities=lambda: frozenset({"CAP_CHOWN"}),
        which=lambda name: "/bin/git" if name == "git" else None,
        access=lambda path, _mode: path in {"/dev/null", str(tmp_path)},
    )
    assert [need.name for need in lacking] == ["CAP_SYS_ADMIN", "zfs", "/dev/fuse", str(tmp_path / "none")]


def test_capabilities_are_those_of_the_process(tmp_path):
    status = tmp_path / "status"
    status.write_text("Name:\tx\nCapInh:\tffffffffffffffff\nCapEff:\t0000000000200001\n")
    assert effective_capabilities(status) == {"CAP_CHOWN", "CAP_SYS_ADMIN"}
    status.write_text("Name:\tx\n")
    assert effective_capabilities(status) == frozenset()
    assert CAPABILITIES.index("CAP_SYS_RESOURCE") == 24


@pytest.mark.parametrize(("port", "needed"), [(0, False), (80, True), (1023, True), (1024, False), (8443, False)])
def test_low_ports_need_a_capability(port, needed):
    assert bool(listening(port)) is needed


def test_a_driver_speaks_of_its_own_options():
    needs = BtrfsBackend.needs(BtrfsOptions(path=Path("/srv/fast")))
    assert "/srv/fast" in {need.name for need in needs}


def test_needs_are_gathered_by_place(tmp_path):
    found = needs_of(settings_in(tmp_path))
    assert found.keys() == {"backend.memory", "backend.fast", "export.nfs"}
    assert found["backend.memory"] == ()


def test_the_unit_grants_what_is_needed_and_no_more(tmp_path):
    settings = settings_in(tmp_path)
    text = unit(settings, [tmp_path / "config.toml"], program="/usr/bin/gateway")
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    stated = {need.name for needs in needs_of(settings).values() for need in needs if need.name.startswith("CAP_")}
    granted = lines["AmbientCapabilities"].split()
    assert set(granted) == {*stated, "CAP_NET_BIND_SERVICE"}
    assert lines["CapabilityBoundingSet"] == lines["AmbientCapabilities"]
    assert f"ReadWritePaths={tmp_path / 'data'}" in text
    assert f"ReadWritePaths={tmp_path / 'pool'}" in text
    bare = unit(settings_in(tmp_path, "[backend.memory]\n"), [tmp_path / "config.toml"], program="/usr/bin/gateway")
    assert "AmbientCapabilities=\n" in bare
    assert "PrivateTmp=yes" in bare


def test_mounts_get_out_to_the_host(tmp_path):
    settings = settings_in(tmp_path, '[backend.memory]\n[export.mounts]\npaths = ["mnt"]\n')
    text = unit(settings, [tmp_path / "config.toml"], program="/usr/bin/gateway")
    lines = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    assert {"CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_SYS_RESOURCE"} == set(lines["AmbientCapabilities"].split())
    assert "DeviceAllow=block-loop rw\n" in text
    for name in ("ReadWritePaths", "PrivateTmp", "ProtectSystem", "ProtectProc"):
        assert name not in lines
    assert lines["NoNewPrivileges"] == "yes"


@pytest.mark.parametrize("shared_there", [True, False])
def test_mounts_that_containers_would_not_see_are_hinted_at(shared_there):
    needs = (shared(Path("/mnt/x"), "to be seen"),)
    lacking = missing(needs, handed_on=lambda path: shared_there and path == "/mnt/x")
    assert [str(need) for need in lacking] == ([] if shared_there else ["shared mount /mnt/x: to be seen"])
    assert all(need.optional for need in needs)


@pytest.mark.parametrize(("program_", "homes"), [("/usr/bin/gateway", "yes"), ("/home/me/gateway", "read-only")])
def test_a_program_in_a_home_stays_readable(tmp_path, program_, homes):
    text = unit(settings_in(tmp_path), [tmp_path / "config.toml"], program=program_)
    assert f"ProtectHome={homes}\n" in text


def test_devices_come_with_those_that_they_make(tmp_path):
    pools = '[backend.a]\ndriver = "zfs"\npool = "tank"\n[backend.b]\ndriver = "zfs"\npool = "pond"\n'
    text = unit(settings_in(tmp_path, f"{pools}[export.local]\n"), [tmp_path / "config.toml"], program="/bin/gateway")
    granted = [line.removeprefix("DeviceAllow=") for line in text.splitlines() if line.startswith("DeviceAllow=")]
    assert granted == ["/dev/zfs rw", "block-zvol rw", "/dev/loop-control rw", "block-loop rw"]


def test_a_path_is_one_word_to_systemd(tmp_path):
    folder = tmp_path / 'my "100%" pool$1'
    folder.mkdir()
    text = unit(settings_in(folder, 'data_dir = "data"\n[backend.memory]\n'), [folder / "c.toml"], program="/bin/true")
    assert f'ReadWritePaths="{tmp_path}/my \\"100%%\\" pool$1/data"\n' in text
    assert f'ExecStart=/bin/true serve --config "{tmp_path}/my \\"100%%\\" pool$$1/c.toml"\n' in text


@pytest.mark.root
def test_systemd_takes_the_unit_and_finds_it_tight(tmp_path):
    settings_in(tmp_path)
    result = CliRunner().invoke(main, ["unit", "--config", str(tmp_path / "config.toml")])
    assert result.exit_code == 0, result.output
    place = tmp_path / "gateway.service"
    # The program and its folder belong to whoever runs the tests.
    text = result.output.replace(result.output.split("ExecStart=")[1].split()[0], "/bin/true")
    place.write_text(text)
    checked = subprocess.run(["systemd-analyze", "verify", place], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    scored = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=60", place],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert scored.returncode == 0, scored.stdout[-300:]


def test_check_names_what_is_missing(tmp_path):
    settings_in(tmp_path, '[backend.fast]\ndriver = "btrfs"\npath = "nowhere"\n[tls]\nenabled = false\n')
    result = CliRunner().invoke(main, ["check", "--config", str(tmp_path / "config.toml")])
    assert result.exit_code == 1
    assert f"backend.fast: needs writable {tmp_path / 'nowhere'}: volumes are in it" in result.output
    assert f"problem: backend.fast: cannot use {tmp_path / 'nowhere'}: no such directory\n" in result.output
    assert "All is well" not in result.output
