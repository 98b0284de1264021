"""Neither side of a move between gateways believes the other: who has the wrong key, asks too much, or lies."""

from __future__ import annotations

import contextlib
import http.server
import os
import queue
import socket
import stat
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from far_scene import LIMIT_S, Side, Sides, from_afar, sending, served
from mover_scene import BLOCK, TREE, moved, picture

from gateway.core.errors import Busy, ErrorRecord, InvalidArgument, Unavailable
from gateway.core.secret import Secret
from gateway.mover.content import PAGE, UNIT
from gateway.mover.far.asking import reached
from gateway.mover.far.channel import Channel
from gateway.mover.far.contents import FarContent
from gateway.mover.far.keyed import far_walk
from gateway.mover.far.reception import Reception, listener
from gateway.mover.far.trust import client_context, server_context
from gateway.mover.far.words import (
    FRAME_MAX,
    KEY,
    SUM_MAX,
    VERSION,
    Answer,
    Bye,
    Check,
    Differing,
    Done,
    Entry,
    Failed,
    File,
    Hello,
    More,
    Page,
    Part,
    Question,
    Run,
    Runs,
    Spoken,
    Sum,
    Summed,
    Walk,
    Want,
    Welcome,
    nanoseconds,
    packed,
)
from gateway.mover.wire import Sent

NOW = (1_700_000_000, 5)
TEXT = "the text of a liar"


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    with tempfile.TemporaryDirectory() as folder:
        yield Sides(Path(folder))


@pytest.fixture
def destination(tmp_path):
    made = tmp_path / "destination"
    made.mkdir()
    return made


# --- who may come in ---


def test_who_is_turned_away(sides, tmp_path, destination):
    """By one sender, which then serves the one that it is for, and nobody else."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source/a").write_bytes(b"a")
    stranger = {"certificate": str(sides.stranger.certificate), "key": str(sides.stranger.key)}
    with sending(sides.offer(tmp_path / "source", TREE)) as sender:
        with socket.create_connection(("127.0.0.1", sender.port)) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        for options in (stranger, {"token": Secret("other")}, {"token": Secret("öther")}):
            with pytest.raises(Unavailable) as raised:
                moved(from_afar(sides.place(sender.port, **options), destination))
            assert raised.value.what == "source"
        with pytest.raises(Unavailable, match="another certificate"):
            moved(from_afar(sides.place(sender.port, peer_certificate=sides.stranger.pem), destination))
        assert list(destination.iterdir()) == []
        assert moved(from_afar(sides.place(sender.port), destination)).files == 1
        assert sender.end() == Sent()
        with pytest.raises(Unavailable):
            moved(from_afar(sides.place(sender.port), destination))


@pytest.mark.parametrize("late", ["sender", "mover"])
def test_a_certificate_that_has_run_out(sides, tmp_path, destination, late):
    old = Side(tmp_path / "old", timedelta(days=-1))
    files = {"certificate": str(old.certificate), "key": str(old.key)}
    offer = sides.offer(destination, TREE)
    offer = msgspec.structs.replace(offer, **(files if late == "sender" else {"peer_certificate": old.pem}))
    with sending(offer) as sender:
        place = sides.place(sender.port, **({"peer_certificate": old.pem} if late == "sender" else files))
        with pytest.raises(Unavailable):
            moved(from_afar(place, destination))


def test_who_is_only_certified_by_the_peer_is_not_the_peer(sides, tmp_path, destination):
    signed = Side(tmp_path / "signed", signer=sides.sender)
    files = {"certificate": str(signed.certificate), "key": str(signed.key)}
    with (
        sending(sides.offer(destination, TREE, **files)) as sender,
        pytest.raises(Unavailable, match="another certificate"),
    ):
        moved(from_afar(sides.place(sender.port), destination))
    signed = Side(tmp_path / "again", signer=sides.mover)
    files = {"certificate": str(signed.certificate), "key": str(signed.key)}
    with sending(sides.offer(destination, TREE)) as sender, pytest.raises(Unavailable, match="broke"):
        moved(from_afar(sides.place(sender.port, **files), destination))


def test_a_key_that_cannot_be_used(sides, destination):
    for options in ({"key": "/nonexistent"}, {"peer_certificate": "nothing"}, {"key": str(sides.stranger.key)}):
        with pytest.raises(Unavailable, match="cannot be used"):
            moved(from_afar(sides.place(1, **options), destination))


def test_what_answers_is_something_else(sides, destination):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(Unavailable, match="cannot be reached"):
                moved(from_afar(sides.place(server.server_port), destination))
        finally:
            server.shutdown()
            thread.join()


# --- movers that ask too much ---


class Asker:
    """A mover that says what it likes."""

    def __init__(self, sides: Sides, port: int) -> None:
        context = client_context(str(sides.mover.certificate), str(sides.mover.key), sides.sender.pem)
        connection = context.wrap_socket(socket.create_connection(("127.0.0.1", port)))
        self.channel = Channel(
            connection, end="sender", frame_max=FRAME_MAX, ahead_max=2 * FRAME_MAX, silence_s=LIMIT_S
        )

    def say(self, message: Hello | Question) -> None:
        self.channel.send(msgspec.msgpack.encode(message))

    def hear(self) -> Answer | Welcome | Spoken:
        return msgspec.msgpack.decode(self.channel.receive(), type=Answer | Welcome | Spoken)


@contextlib.contextmanager
def asking(sides: Sides, port: int) -> Iterator[Asker]:
    asker = Asker(sides, port)
    try:
        asker.say(Hello(VERSION, "token", bytes(KEY)))
        assert isinstance(asker.hear(), Welcome)
        yield asker
    finally:
        asker.channel.close()


def test_a_release_that_is_not_spoken(sides, tmp_path):
    with sending(sides.offer(tmp_path, TREE)) as sender:
        for hello in (Hello(VERSION + 1, "token", bytes(KEY)), Hello(VERSION, "token", b"short")):
            asker = Asker(sides, sender.port)
            asker.say(hello)
            assert asker.hear() == Spoken(VERSION)
            asker.channel.close()


NONE = b""
ZERO = bytes(16)
SENSELESS: Sequence[Question | bytes] = [
    *(Want(File(way), 0, 1, NONE) for way in ((b"..", b"a"), (b"",), (b".",), (b"/etc/passwd",), (b"a\0",), ())),
    Want(File((b"a",)), 1, 2, NONE),
    Want(File((b"a",)), -PAGE, 2, NONE),
    Want(File((b"a",)), 0, 0, NONE),
    Want(File((b"a",)), 0, 1 << 63, NONE),
    Want(File((b"a",)), 0, 9 * UNIT, NONE),
    Want(File((b"a",)), 0, PAGE, ZERO + ZERO),
    Check(File((b"a",)), 0, UNIT, NONE),
    Check(File((b"a",)), 0, 65 * UNIT, 65 * ZERO),
    Sum(File((b"..", b"a")), 0, 1),
    Sum(File((b"a",)), 0, SUM_MAX + 1),
    b"no message",
    msgspec.msgpack.encode({"type": "walk", 5: 6}),
    bytes(300 * 1024),
]


@pytest.mark.parametrize("question", SENSELESS)
def test_what_no_mover_asks_ends_it(sides, tmp_path, question):
    (tmp_path / "a").write_bytes(b"a")
    refusals: queue.SimpleQueue[Exception] = queue.SimpleQueue()
    with pytest.raises((InvalidArgument, Unavailable)), served(sides.offer(tmp_path, TREE)) as port:
        ask(sides, port, question, refusals)
    assert isinstance(refusals.get_nowait(), Unavailable)


def ask(sides: Sides, port: int, question: Question | bytes, refusals: queue.SimpleQueue[Exception]) -> None:
    with asking(sides, port) as asker:
        try:
            asker.channel.send(question if isinstance(question, bytes) else msgspec.msgpack.encode(question))
            asker.hear()
        except Unavailable as error:
            refusals.put(error)


def test_nothing_outside_is_opened(sides, tmp_path):
    source, outside = tmp_path / "source", tmp_path / "outside"
    for folder in (source, outside):
        folder.mkdir()
    (outside / "precious").write_bytes(b"precious")
    (source / "link").symlink_to(outside / "precious")
    (source / "folder").symlink_to(outside)
    (source / "inner").mkdir()
    os.mkfifo(source / "fifo")
    (source / "a").write_bytes(b"a")
    with served(sides.offer(source, TREE)) as port, asking(sides, port) as asker:
        for way in ((b"link",), (b"folder", b"precious"), (b"fifo",), (b"inner",), (b"nothing",), (b"a", b"b")):
            for _ in range(2):
                asker.say(Want(File(way), 0, PAGE, NONE))
                assert isinstance(asker.hear(), Failed), way
        asker.say(Want(File((b"a",)), 0, PAGE, NONE))
        assert asker.hear() == Runs([Run(0, PAGE, b"a".ljust(PAGE, b"\0"))])
        assert isinstance(asker.hear(), Done)
        asker.say(More())
        assert asker.hear() == Page(packed(()), last=True)
        asker.say(Bye())


def test_blocks_are_no_tree(sides, tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    refusals: queue.SimpleQueue[Exception] = queue.SimpleQueue()
    with pytest.raises(InvalidArgument), served(sides.offer(tmp_path / "a", BLOCK)) as port:
        ask(sides, port, Walk(), refusals)
    assert isinstance(refusals.get_nowait(), Unavailable)


# --- senders that lie ---

Script = Callable[[Question], Sequence[Answer | bytes]]


@contextlib.contextmanager
def lying(sides: Sides, script: Script, length: int = 0, kind: str = "filesystem") -> Iterator[int]:
    """Be a sender that answers as a script says."""
    context = server_context(str(sides.sender.certificate), str(sides.sender.key), sides.mover.pem)
    with listener("127.0.0.1", ()) as listening, ThreadPoolExecutor(1) as executor:

        def answer() -> None:
            channel, _ = Reception(context, "token", sides.mover.pem).wait(listening, LIMIT_S)
            with contextlib.suppress(Unavailable), contextlib.closing(channel):
                channel.send(msgspec.msgpack.encode(Welcome(VERSION, kind, length)))
                while True:
                    question = msgspec.msgpack.decode(channel.receive(), type=Question)
                    for said in script(question):
                        channel.send(said if isinstance(said, bytes) else msgspec.msgpack.encode(said))

        answered = executor.submit(answer)
        yield listening.getsockname()[1]
        answered.result(LIMIT_S)


def entry(name: bytes, mode: int = stat.S_IFREG | 0o644, **options: object) -> Entry:
    made = Entry(name, mode, os.getuid(), os.getgid(), 10, NOW, NOW, 0, 5, 1)
    return msgspec.structs.replace(made, **options)


ROOT = entry(b"", stat.S_IFDIR | 0o755)
FOLDER = entry(b"f", stat.S_IFDIR | 0o755)


def page(*entries: Entry, last: bool = True) -> Page:
    return Page(packed([Part(list(entries), goes_on=False)]), last=last)


LISTS: Sequence[Sequence[Answer | bytes]] = [
    *([page(ROOT, entry(name))] for name in (b"", b".", b"..", b"../a", b"/a", b"a\0", b"a" * 256)),
    [page(ROOT, entry(b"b"), entry(b"a"))],
    [page(ROOT, entry(b"a"), entry(b"a"))],
    [page(entry(b"a"))],
    [page(entry(b""))],
    [page()],
    [Page(packed([]), last=True)],
    [Page(b"not packed", last=True)],
    [Page(zlib.compress(b"no parts"), last=True)],
    [Page(zlib.compress(bytes(FRAME_MAX + 1)), last=True)],
    [Page(packed([Part([ROOT], goes_on=False)])[:-5], last=True)],
    [page(ROOT, FOLDER)],
    [Page(packed([Part([ROOT], goes_on=True)]), last=True)],
    *([page(ROOT, entry(b"a", mode))] for mode in (0o644, 0o170644, -1, 1 << 20)),
    *([page(ROOT, entry(b"a", uid=uid))] for uid in (-1, (1 << 32) - 1)),
    *([page(ROOT, entry(b"a", size=size))] for size in (-1, 1 << 63)),
    *([page(ROOT, entry(b"a", modified=time))] for time in ((0, -1), (0, 10**9), (1 << 63, 0))),
    [page(ROOT, entry(b"a", names=0))],
    [page(ROOT, entry(b"a", stat.S_IFCHR, device=1 << 40))],
    [page(ROOT, entry(b"a", points_to=b"b"))],
    *([page(ROOT, entry(b"a", stat.S_IFLNK, points_to=to))] for to in (b"", b"a\0b", b"a" * 5000)),
    *([page(ROOT, entry(b"a", attributes={name: b"v"}))] for name in (b"security.selinux", b"other.a", b"user.\0")),
    [page(ROOT, entry(b"a", attributes={b"user.a": bytes(70_000)}))],
    [Done(0, NOW, None)],
    [Differing([])],
    [b"no message"],
    [b"\xff" * 100],
    [Failed(ErrorRecord(type="OutOfSpace", fields={"pool": TEXT}))],
    [Failed(ErrorRecord(type="Unavailable", fields={"what": "source", "reason": TEXT}))],
]


@pytest.mark.parametrize("answers", LISTS)
def test_lists_that_no_sender_makes(sides, tmp_path, destination, answers):
    before = picture(tmp_path)["."]
    with (
        lying(sides, lambda question: answers if isinstance(question, Walk) else []) as port,
        pytest.raises(Unavailable) as raised,
    ):
        moved(from_afar(sides.place(port), destination))
    assert raised.value.what == "source"
    assert TEXT not in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["destination"]
    assert picture(tmp_path)["."] == before


def test_small_files_are_asked_for_once_and_together(sides, destination):
    """Those that are new, and those that are there and differ; not those that will be left alone."""
    names = [b"a", b"b", b"c", b"same"]
    for name in names[1:]:
        (destination / os.fsdecode(name)).write_bytes(b"0123456789")
    entries = [entry(name, inode=number) for number, name in enumerate(names)]
    os.utime(destination / "same", ns=(nanoseconds(NOW), nanoseconds(NOW)))
    (destination / "same").chmod(0o644)
    asked: list[Question] = []

    def script(question: Question) -> Sequence[Answer | bytes]:
        asked.append(question)
        if isinstance(question, Walk):
            return [page(ROOT, *entries)]
        # Nothing is answered before everything is asked.
        return [Runs([Run(0, 10, b"abcdefghij")]), Done(10, NOW, None)] * 3 if len(asked) == 4 else []

    with lying(sides, script) as port:
        assert moved(from_afar(sides.place(port), destination)).bytes_transferred == 30
    assert [question.file.way for question in asked if isinstance(question, Want)] == [(name,) for name in names[:3]]
    assert isinstance(asked[-1], Bye)
    assert (destination / "b").read_bytes() == b"abcdefghij"


def test_what_a_sender_may_say_is_told(sides, destination):
    said = Failed(Busy(what="source").to_record())
    with lying(sides, lambda _question: [said]) as port, pytest.raises(Busy):
        moved(from_afar(sides.place(port), destination))


RANGES: Sequence[Sequence[Answer | bytes]] = [
    [Runs([Run(0, 11, bytes(11))]), Done(10, NOW, None)],
    [Runs([Run(-1, 1, b"a")]), Done(10, NOW, None)],
    [Runs([Run(0, 0, b"")]), Done(10, NOW, None)],
    [Runs([Run(0, 5, b"a")]), Done(10, NOW, None)],
    [Runs([Run(0, 5, bytes(5)), Run(4, 1, b"a")]), Done(10, NOW, None)],
    [Runs([Run(0, 1 << 62, None)]), Done(10, NOW, None)],
    [Done(9, NOW, None)],
    [Done(10, (NOW[0] + 1, 0), None)],
    [page(ROOT)],
    [Runs([Run(0, 1, b"a")]), b"no message"],
]


@pytest.mark.parametrize("answers", RANGES)
def test_ranges_that_nobody_asked_for(sides, destination, answers):
    def script(question: Question) -> Sequence[Answer | bytes]:
        return [page(ROOT, entry(b"a"))] if isinstance(question, Walk) else answers

    with lying(sides, script) as port, pytest.raises(Unavailable) as raised:
        moved(from_afar(sides.place(port), destination))
    assert raised.value.what == "source"
    assert list(destination.iterdir()) == []


@pytest.mark.parametrize("units", [[2], [1, 0], [0, 0], [-1]])
def test_units_that_nobody_asked_about(sides, tmp_path, units):
    (tmp_path / "a").write_bytes(b"x" * (2 * UNIT))
    with (
        lying(sides, lambda _question: [Differing(units)], length=2 * UNIT, kind="block") as port,
        pytest.raises(Unavailable, match="no sense"),
    ):
        moved(from_afar(sides.place(port), tmp_path / "a", BLOCK))


KEYED: Sequence[Sequence[Answer | bytes]] = [
    [page(ROOT, entry(b"a", stat.S_IFDIR), entry(b"a.b"))],
    [page(ROOT, entry(b"b"), entry(b"a"))],
    [page(ROOT, entry(b".."))],
    [page(ROOT, FOLDER)],
    [Summed("")],
]


@pytest.mark.parametrize("answers", KEYED)
def test_lists_in_another_order_than_that_of_keys(sides, answers):
    with lying(sides, lambda _question: answers) as port, pytest.raises(Unavailable, match="no sense"):
        walk_through(sides, port)


def walk_through(sides: Sides, port: int) -> None:
    with reached(sides.place(port), TREE) as asking:
        list(far_walk(asking))


@pytest.mark.parametrize("answer", [Differing([]), Done(UNIT, NOW, None)])
def test_checksums_that_are_none(sides, answer):
    script, kind = (lambda _question: [answer]), "block"
    with lying(sides, script, UNIT, kind) as port, reached(sides.place(port), BLOCK) as asking:
        content = FarContent(asking, File(()), length=UNIT)
        assert content.digest(0, SUM_MAX + 1) == ""
        with pytest.raises(Unavailable, match="no sense"):
            content.digest(0, UNIT)


@pytest.mark.parametrize("welcome", [{"length": -1}, {"kind": "filesystem"}])
def test_another_thing_than_what_was_offered(sides, tmp_path, welcome):
    (tmp_path / "a").write_bytes(b"x")
    with (
        lying(sides, lambda _question: [], **{"kind": "block", **welcome}) as port,
        pytest.raises(Unavailable, match="no sense"),
    ):
        moved(from_afar(sides.place(port), tmp_path / "a", BLOCK))


def test_more_than_was_asked_for(sides, destination):
    """Frames without end while a question is asked, and one frame that is too long."""
    with lying(sides, lambda _question: [bytes(FRAME_MAX + 1)]) as port, pytest.raises(Unavailable):
        moved(from_afar(sides.place(port), destination))
