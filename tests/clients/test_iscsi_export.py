"""A real tgtd, asked by real initiators: the tools of libiscsi and qemu's block layer."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from uuid import uuid4

import pytest
from exporter_scene import (
    MIB,
    connected,
    encoded,
    end,
    end_daemon,
    export_of,
    free_port,
    in_process,
    recorded,
    runs,
    source,
    until,
)
from iscsi_scene import Initiator

from gateway.core.errors import Conflict, InUse, InvalidArgument, Unavailable
from gateway.core.exporter import BlockAccess, BlockExporter, Login
from gateway.core.handles import IscsiTarget
from gateway.core.secret import Secret
from gateway.exports.iscsi import FAULT_POINTS, IscsiExporter, IscsiOptions
from gateway.exports.iscsi.control import Control, Mode, Op

pytestmark = pytest.mark.root

ONE = "iqn.2024-07.internal.volume-gateway:test:one"
TWO = "iqn.2024-07.internal.volume-gateway:test:two"
GOOD = "iqn.1993-08.org.debian:01:good"
OTHER = "iqn.1993-08.org.debian:01:other"
STRANGER = "iqn.1993-08.org.debian:01:stranger"
USER, PASSWORD = "anna", "correct,horse=1"
OWN, OWN_PASSWORD = "gateway", "battery-staple-2"


class Bed:
    """A folder for sources, a state directory, a free port."""

    def __init__(self, root: Path) -> None:
        self.folder = root
        self.state = root / "state"
        self.options = IscsiOptions(port=free_port())

    def exporter(self, **changes) -> IscsiExporter:
        return IscsiExporter(self.options, self.state, **changes)

    def initiator(self, name: str = GOOD, login: tuple[str, str] | None = None) -> Initiator:
        return Initiator(name, self.options.port, login)

    async def session(self, point: str, *step: str) -> None:
        await in_process("iscsi", self.options, self.state, point, step)


@pytest.fixture
def bed(tmp_path):
    bed = Bed(tmp_path)
    try:
        yield bed
    finally:
        end_daemon(bed.state, "tgtd")


@pytest.fixture
async def exporter(bed):
    exporter = bed.exporter()
    await exporter.open()
    yield exporter
    await exporter.close()


def access(target: str = ONE, lun: int = 1, *, write: bool = True, initiators=(GOOD,), **more) -> BlockAccess:
    return BlockAccess(id=uuid4(), target=target, lun=lun, write=write, initiators=initiators, **more)


def chap(**more) -> BlockAccess:
    return access(logins=(Login(user=USER, password=Secret(PASSWORD)),), **more)


async def test_bytes_go_both_ways_under_the_volumes_identity(bed, exporter):
    path = source(bed.folder)
    grant = access()
    wanted = export_of(path, grant)
    assert isinstance(exporter, BlockExporter)
    await exporter.publish(wanted)
    assert await exporter.published() == {wanted.id}
    assert exporter.handle(wanted, grant) == IscsiTarget(
        address="127.0.0.1", port=bed.options.port, target=ONE, lun=1, chap=False, read_only=False
    )
    client = bed.initiator()
    assert client.sees() == {ONE: [1]}
    assert client.size(ONE, 1) == 8 * MIB
    done = client.io(ONE, 1, "write -P 0x5a 1M 64k", "read -P 0x5a 1M 64k", "flush")
    assert done.returncode == 0, done.stdout
    assert path.read_bytes()[MIB : MIB + 65536] == b"\x5a" * 65536
    serial = client.tool("iscsi-inq", ONE, 1, "-e", "1", "-c", "128").stdout
    assert wanted.serial in serial
    assert "VGATEWAY" in client.tool("iscsi-inq", ONE, 1).stdout


async def test_discarded_blocks_leave_the_source(bed, exporter):
    path = source(bed.folder)
    path.write_bytes(os.urandom(4 * MIB))
    await exporter.publish(export_of(path, access()))
    before = path.stat().st_blocks
    done = bed.initiator().io(ONE, 1, "discard 0 4M", "flush")
    assert done.returncode == 0, done.stdout
    assert path.stat().st_blocks < before


async def test_a_foreign_initiator_is_refused_and_sees_nothing(bed, exporter):
    await exporter.publish(export_of(source(bed.folder), access()))
    stranger = bed.initiator(STRANGER)
    assert stranger.sees() == {}
    assert not stranger.reaches(ONE, 1)


async def test_without_initiators_nobody_gets_in(bed, exporter):
    wanted = export_of(source(bed.folder), access(initiators=()))
    await exporter.publish(wanted)
    assert await exporter.published() == {wanted.id}
    assert not bed.initiator().reaches(ONE, 1)
    assert bed.initiator().sees() == {}


async def test_with_chap_only_the_right_password_opens(bed, exporter):
    await exporter.publish(export_of(source(bed.folder), chap()))
    assert bed.initiator(login=(USER, PASSWORD)).reaches(ONE, 1)
    assert bed.initiator(login=(USER, PASSWORD)).io(ONE, 1, "write -P 1 0 4k").returncode == 0
    assert not bed.initiator(login=(USER, "wrong-password-0")).reaches(ONE, 1)
    assert not bed.initiator(login=("bert", PASSWORD)).reaches(ONE, 1)
    assert not bed.initiator().reaches(ONE, 1)
    assert not bed.initiator(STRANGER, (USER, PASSWORD)).reaches(ONE, 1)


async def test_a_target_proves_itself_to_an_initiator_that_asks(bed, exporter):
    own = Login(user=OWN, password=Secret(OWN_PASSWORD))
    await exporter.publish(export_of(source(bed.folder), chap(target_login=own)))
    client = bed.initiator(login=(USER, PASSWORD))
    assert client.proves(ONE, 1, own=(OWN, OWN_PASSWORD))
    assert not client.proves(ONE, 1, own=(OWN, "what-it-is-not-1"))
    assert client.reaches(ONE, 1)


async def test_a_changed_password_and_the_end_of_chap_are_followed(bed, exporter):
    path = source(bed.folder)
    grant = chap()
    await exporter.publish(export_of(path, grant))
    new = BlockAccess(
        id=grant.id,
        target=ONE,
        lun=1,
        write=True,
        initiators=(GOOD,),
        logins=(Login(user="carl", password=Secret("another-word-12")), Login(user=USER, password=Secret("x" * 128))),
    )
    await exporter.publish(export_of(path, new))
    assert not bed.initiator(login=(USER, PASSWORD)).reaches(ONE, 1)
    assert bed.initiator(login=(USER, "x" * 128)).reaches(ONE, 1)
    assert bed.initiator(login=("carl", "another-word-12")).reaches(ONE, 1)
    await exporter.publish(export_of(path, access()))
    assert bed.initiator().reaches(ONE, 1)


async def test_one_account_serves_several_targets_only_with_one_password(bed, exporter):
    first, second = source(bed.folder), source(bed.folder)

    def grant(target: str, password: str) -> BlockAccess:
        login = Login(user=USER, password=Secret(password))
        return access(target, logins=(login,))

    await exporter.publish(export_of(first, grant(ONE, PASSWORD)))
    await exporter.publish(export_of(second, grant(TWO, PASSWORD)))
    with pytest.raises(Conflict) as caught:
        await exporter.publish(export_of(first, grant(ONE, "changed-word-12")))
    assert "changed" not in str(caught.value)
    assert not bed.initiator(login=(USER, PASSWORD)).reaches(ONE, 1)
    assert not bed.initiator(login=(USER, "changed-word-12")).reaches(ONE, 1)
    assert not bed.initiator().reaches(ONE, 1)
    assert bed.initiator(login=(USER, PASSWORD)).reaches(TWO, 1)
    await exporter.publish(export_of(second, grant(TWO, "changed-word-12")))
    for target in (ONE, TWO):
        assert bed.initiator(login=(USER, "changed-word-12")).reaches(target, 1)
        assert not bed.initiator(login=(USER, PASSWORD)).reaches(target, 1)


async def test_a_reader_cannot_write(bed, exporter):
    path = source(bed.folder)
    grant = access(write=False)
    await exporter.publish(export_of(path, grant))
    assert exporter.handle(export_of(path, grant), grant).read_only
    refused = bed.initiator().io(ONE, 1, "write -P 1 0 4k")
    assert refused.returncode != 0
    assert "write protected" in refused.stdout + refused.stderr
    await exporter.publish(export_of(path, access()))
    assert bed.initiator().io(ONE, 1, "write -P 1 0 4k").returncode == 0


async def test_two_groups_see_only_what_is_theirs(bed, exporter):
    shared, mine, yours = (source(bed.folder) for _ in range(3))
    await exporter.publish(export_of(shared, access(ONE, 1), access(TWO, 7, initiators=(OTHER,))))
    await exporter.publish(export_of(mine, access(ONE, 2)))
    await exporter.publish(export_of(yours, access(TWO, 1, initiators=(OTHER,))))
    assert bed.initiator().sees() == {ONE: [1, 2]}
    assert bed.initiator(OTHER).sees() == {TWO: [1, 7]}
    assert not bed.initiator().reaches(TWO, 1)
    assert bed.initiator().io(ONE, 1, "write -P 9 0 4k").returncode == 0
    assert bed.initiator(OTHER).io(TWO, 7, "read -P 9 0 4k").returncode == 0


async def test_initiators_come_and_go(bed, exporter):
    path = source(bed.folder)
    await exporter.publish(export_of(path, access(initiators=(GOOD,))))
    await exporter.publish(export_of(path, access(initiators=(GOOD, OTHER))))
    assert bed.initiator(OTHER).reaches(ONE, 1)
    with connected(bed.initiator(OTHER).image(ONE, 1)) as other:
        with pytest.raises(InUse):
            await exporter.publish(export_of(path, access(initiators=(GOOD,))))
        assert "read 512" in other.tell("read 0 512")
        await exporter.publish(export_of(path, access(initiators=(GOOD,))), force=True)
    assert not bed.initiator(OTHER).reaches(ONE, 1)
    assert bed.initiator().reaches(ONE, 1)


async def test_what_did_not_change_is_left_alone(bed, exporter):
    first, second = source(bed.folder), source(bed.folder)
    wanted = export_of(first, chap())
    await exporter.publish(wanted)
    with connected(bed.initiator(login=(USER, PASSWORD)).image(ONE, 1)) as client:
        await exporter.publish(wanted)
        await exporter.publish(export_of(second, chap(lun=2)))
        await exporter.publish(export_of(second, chap(lun=2), access(TWO)))
        await exporter.withdraw(uuid4())
        assert "wrote 4096" in client.tell("write -P 3 0 4k")
    assert bed.initiator(login=(USER, PASSWORD)).sees()[ONE] == [1, 2]


async def test_a_session_keeps_a_unit_unless_by_force(bed, exporter):
    first, second = source(bed.folder), source(bed.folder)
    await exporter.publish(export_of(first, access(lun=1)))
    await exporter.publish(export_of(second, access(lun=2)))
    volume = export_of(first).id
    with connected(bed.initiator().image(ONE, 1)) as client:
        with pytest.raises(InUse) as caught:
            await exporter.withdraw(volume)
        assert caught.value.by == "sessions"
        with pytest.raises(InUse):
            await exporter.publish(export_of(first, access(lun=1), generation=1))
        with pytest.raises(InUse):
            await exporter.publish(export_of(first, access(lun=1, write=False)))
        assert "wrote 4096" in client.tell("write -P 3 0 4k")
        await exporter.withdraw(volume, force=True)
        assert "failed" in client.tell("read 0 4k")
    assert await exporter.published() == {export_of(second).id}
    assert bed.initiator().sees() == {ONE: [2]}
    await exporter.withdraw(export_of(second).id)
    assert bed.initiator().sees() == {}


async def test_a_forced_end_is_heeded_under_load(bed, exporter):
    path = source(bed.folder)
    wanted = export_of(path, access())
    await exporter.publish(wanted)
    image = bed.initiator().image(ONE, 1)
    load = await asyncio.create_subprocess_exec(
        "qemu-img", "bench", "-w", "-c", "1000000", "-d", "16", "-s", "4096", *image,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with connected(image):
            await exporter.withdraw(wanted.id, force=True)
        assert await exporter.published() == frozenset()
        assert bed.initiator().sees() == {}
    finally:
        with contextlib.suppress(ProcessLookupError):
            load.kill()
        await load.wait()


async def test_other_content_ends_what_clients_knew(bed, exporter):
    path = source(bed.folder)
    await exporter.publish(export_of(path, access()))
    assert bed.initiator().io(ONE, 1, "write -P 1 0 4k").returncode == 0
    replaced = path.with_suffix(".new")
    replaced.write_bytes(b"\x02" * (8 * MIB))
    replaced.rename(path)
    assert bed.initiator().io(ONE, 1, "read -P 1 0 4k").returncode == 0
    await exporter.publish(export_of(path, access(), generation=1))
    done = bed.initiator().io(ONE, 1, "read -P 2 0 4k")
    assert "verification failed" not in done.stdout


async def test_a_new_size_is_seen_at_the_next_login(bed, exporter):
    path = source(bed.folder)
    grant = access()
    await exporter.publish(export_of(path, grant))
    os.truncate(path, 16 * MIB)
    with connected(bed.initiator().image(ONE, 1)) as client:
        await exporter.publish(export_of(path, grant))
        assert "wrote 4096" in client.tell("write -P 3 0 4k")
        assert bed.initiator().size(ONE, 1) == 8 * MIB
        client.leave()
    await exporter.publish(export_of(path, grant))
    assert bed.initiator().size(ONE, 1) == 16 * MIB
    assert bed.initiator().io(ONE, 1, "write -P 3 12M 4k").returncode == 0


async def test_a_killed_server_comes_back_with_everything(bed, exporter):
    first, second = source(bed.folder), source(bed.folder)
    await exporter.publish(export_of(first, chap()))
    await exporter.publish(export_of(second, access(TWO, 3, write=False, initiators=(OTHER,))))
    before = bed.initiator(login=(USER, PASSWORD)).tool("iscsi-inq", ONE, 1, "-e", "1", "-c", "131").stdout
    pid = recorded(bed.state, "tgtd")
    end(pid)
    await until(lambda: bed.initiator(login=(USER, PASSWORD)).reaches(ONE, 1))
    assert recorded(bed.state, "tgtd") != pid
    assert bed.initiator(login=(USER, PASSWORD)).tool("iscsi-inq", ONE, 1, "-e", "1", "-c", "131").stdout == before
    assert not bed.initiator().reaches(ONE, 1)
    assert bed.initiator(OTHER).sees() == {TWO: [3]}
    assert bed.initiator(OTHER).io(TWO, 3, "write 0 4k").returncode != 0


async def test_a_server_that_outlived_its_gateway_is_adopted(bed):
    path, plain = source(bed.folder), source(bed.folder)
    open_to_all = export_of(plain, access(TWO))
    await bed.session("end", "publish", encoded(open_to_all))
    await bed.session("end", "publish", encoded(export_of(path, chap())))
    pid = recorded(bed.state, "tgtd")
    with connected(bed.initiator(login=(USER, PASSWORD)).image(ONE, 1)) as client:
        exporter = bed.exporter()
        await exporter.open()
        try:
            assert recorded(bed.state, "tgtd") == pid
            assert await exporter.published() == {export_of(path).id, open_to_all.id}
            assert "wrote 4096" in client.tell("write -P 3 0 4k")
            assert not bed.initiator().reaches(ONE, 1)
            await exporter.publish(export_of(path, chap()))
            assert "wrote 4096" in client.tell("write -P 4 0 4k")
            with pytest.raises(InUse):
                await exporter.withdraw(export_of(path).id)
            client.leave()
            await exporter.withdraw(export_of(path).id)
            assert bed.initiator().sees() == {TWO: [1]}
        finally:
            await exporter.close()
    assert not runs(pid)


async def test_without_its_passwords_a_target_stays_closed(bed):
    """Passwords are kept by the core alone: a server that is started anew without it lets nobody in."""
    path = source(bed.folder)
    await bed.session("end", "publish", encoded(export_of(path, chap())))
    end_daemon(bed.state, "tgtd")
    for file in bed.state.rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes(), file
    exporter = bed.exporter()
    await exporter.open()
    try:
        for login in (None, (USER, PASSWORD)):
            assert not bed.initiator(login=login).reaches(ONE, 1)
        await exporter.publish(export_of(path, chap()))
        assert bed.initiator(login=(USER, PASSWORD)).reaches(ONE, 1)
        assert not bed.initiator().reaches(ONE, 1)
    finally:
        await exporter.close()


@pytest.mark.parametrize("point", [point for point in FAULT_POINTS if ".publish." in point])
async def test_a_gateway_killed_while_it_publishes(bed, point):
    path = source(bed.folder)
    old, new = export_of(path, access(lun=1)), export_of(path, chap(lun=2), generation=1)
    await bed.session("end", "publish", encoded(old))
    await bed.session(point, "publish", encoded(new))
    exporter = bed.exporter()
    await exporter.open()
    try:
        assert await exporter.published() == {old.id}
        await exporter.publish(new)
        assert bed.initiator(login=(USER, PASSWORD)).sees() == {ONE: [2]}
        assert not bed.initiator().reaches(ONE, 2)
        await exporter.withdraw(old.id)
        assert bed.initiator(login=(USER, PASSWORD)).sees() == {}
        assert await exporter.published() == frozenset()
    finally:
        await exporter.close()


@pytest.mark.parametrize("point", [point for point in FAULT_POINTS if ".withdraw." in point])
async def test_a_gateway_killed_while_it_withdraws(bed, point):
    path = source(bed.folder)
    wanted = export_of(path, access())
    await bed.session("end", "publish", encoded(wanted))
    await bed.session(point, "withdraw", str(wanted.id))
    exporter = bed.exporter()
    await exporter.open()
    try:
        await exporter.withdraw(wanted.id)
        assert await exporter.published() == frozenset()
        assert bed.initiator().sees() == {}
        await exporter.publish(wanted)
        assert bed.initiator().sees() == {ONE: [1]}
    finally:
        await exporter.close()


async def test_what_was_published_comes_back_with_the_next_start(bed):
    path = source(bed.folder)
    for _ in range(2):
        exporter = bed.exporter()
        await exporter.open()
        await exporter.publish(export_of(path, access()))
        await exporter.close()
    exporter = bed.exporter()
    await exporter.open()
    try:
        assert bed.initiator().sees() == {ONE: [1]}
    finally:
        await exporter.close()


async def test_a_state_directory_has_one_owner(bed, exporter):
    second = bed.exporter()
    with pytest.raises(Unavailable, match="a running gateway has it"):
        await second.open()
    with pytest.raises(Unavailable, match="not open"):
        await second.published()
    await second.close()


async def test_a_taken_port_is_told_at_once(bed, exporter, tmp_path):
    second = IscsiExporter(bed.options, tmp_path / "second")
    with pytest.raises(Unavailable, match="cannot be listened on"):
        await second.open()


async def test_a_missing_source_is_told(bed, exporter):
    path = source(bed.folder)
    wanted = export_of(path, access())
    path.unlink()
    with pytest.raises(Unavailable, match="source"):
        await exporter.publish(wanted)
    assert await exporter.published() == {wanted.id}
    await exporter.withdraw(wanted.id)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("lun", {"lun": 0}),
        ("lun", {"lun": 256}),
        ("target", {"target": "iqn.2024-07.internal:a,b"}),
        ("initiators", {"initiators": ("iqn.1993-08.org.debian:a b",)}),
        ("user", {"logins": (Login(user="a,b", password=Secret("x" * 12)),)}),
    ],
)
async def test_what_cannot_be_published_names_the_field(bed, exporter, field, change):
    with pytest.raises(InvalidArgument) as caught:
        await exporter.publish(export_of(source(bed.folder), access(**change)))
    assert caught.value.field == field


async def test_no_password_is_in_an_argument_or_a_log(bed, exporter, capfd):
    own = Login(user=OWN, password=Secret(OWN_PASSWORD))
    await exporter.publish(export_of(source(bed.folder), chap(target_login=own)))
    assert bed.initiator(login=(USER, PASSWORD)).reaches(ONE, 1)
    bed.initiator(login=(USER, "wrong-password-0")).reaches(ONE, 1)
    out, err = capfd.readouterr()
    files = [file.read_bytes().decode(errors="replace") for file in bed.state.rglob("*") if file.is_file()]
    for text in (out, err, *files):
        assert PASSWORD not in text
        assert OWN_PASSWORD not in text


async def test_many_accounts_come_and_go(bed, exporter):
    """A tgtd that shows a target with a gap in its accounts dies."""
    path = source(bed.folder)
    pid = recorded(bed.state, "tgtd")
    own = Login(user=OWN, password=Secret(OWN_PASSWORD))
    for users in (("a", "b", "c"), ("b", "c"), ("c",), ("c", "d", *(f"user{number}" for number in range(20))), ("e",)):
        logins = tuple(Login(user=user, password=Secret(f"{PASSWORD}{user}")) for user in users)
        await exporter.publish(export_of(path, access(logins=logins, target_login=own)))
        for user in (users[0], users[-1]):
            assert bed.initiator(login=(user, f"{PASSWORD}{user}")).reaches(ONE, 1)
        assert not bed.initiator(login=("z", f"{PASSWORD}z")).reaches(ONE, 1)
        Control(bed.state / "run" / "control.0").ask(Mode.TARGET, Op.SHOW)
    assert recorded(bed.state, "tgtd") == pid
    assert runs(pid)


async def test_a_server_that_does_not_answer_is_told_in_time(bed):
    """A frozen server holds up its own exporter only, and is replaced at the next start."""
    await bed.session("end", "publish", encoded(export_of(source(bed.folder), access())))
    pid = recorded(bed.state, "tgtd")
    os.kill(pid, signal.SIGSTOP)
    exporter = bed.exporter()
    await exporter.open()
    try:
        assert recorded(bed.state, "tgtd") != pid
        assert bed.initiator().sees() == {ONE: [1]}
    finally:
        await exporter.close()
