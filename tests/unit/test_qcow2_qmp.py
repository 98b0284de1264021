"""Talking to a monitor: a scripted peer says what a daemon may say, in whatever pieces and order."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from gateway.backends.qcow2.lines import CHANNELS, Line
from gateway.core.errors import Busy, Timeout, Unavailable
from gateway.core.qmp import Conversation, HungUp, Refused
from gateway.core.sockets import listen

GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\r\n'
OK = b'{"return": {}}\r\n'
Answer = bytes | list[bytes] | None


def event(name: str, **data: object) -> bytes:
    return json.dumps({"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 2}}).encode() + b"\n"


@contextmanager
def peer(path: Path, *answers: Answer, greeting: bytes = GREETING, clients: int = 1) -> Iterator[list[bytes]]:
    """Answer each line that comes with the next answer; None hangs up, b"" stays mute. Gives the lines that came."""
    server, came = listen(path), []

    def serve() -> None:
        for _ in range(clients):
            client, _ = server.accept()
            with client, client.makefile("rb") as lines:
                client.sendall(greeting)
                for answer, line in zip([OK, *answers], lines, strict=False):
                    came.append(line)
                    if answer is None:
                        break
                    for part in [answer] if isinstance(answer, bytes) else answer:
                        client.sendall(part)
                else:
                    lines.read()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield came
    finally:
        thread.join(10)
        server.close()
        assert not thread.is_alive()


@contextmanager
def talking(path: Path, timeout_s: float = 10) -> Iterator[Conversation]:
    talk = Conversation(path, what="daemon", timeout_s=timeout_s)
    try:
        yield talk
    finally:
        talk.close()


def named(name: str, **wanted: object) -> Callable[[str, object], bool]:
    return lambda found, data: found == name and all(data.get(key) == value for key, value in wanted.items())


def test_a_command_is_answered(tmp_path: Path) -> None:
    with peer(tmp_path / "s", b'{"return": [1, 2]}\n') as came, talking(tmp_path / "s") as talk:
        assert bytes(talk.execute("query-x", {"a": "\x01\n"})) == b"[1, 2]"
    assert [json.loads(line) for line in came] == [
        {"execute": "qmp_capabilities", "arguments": {}},
        {"execute": "query-x", "arguments": {"a": "\x01\n"}},
    ]


def test_events_come_at_any_time_and_lines_in_any_pieces(tmp_path: Path) -> None:
    first, second = event("A", n=1), event("A", n=2)
    pieces = [first[:3], first[3:] + second + b'{"ret', b'urn": 7}\n' + event("B")]
    with peer(tmp_path / "s", pieces, [OK, event("C")]) as _, talking(tmp_path / "s") as talk:
        assert bytes(talk.execute("x")) == b"7"
        assert talk.await_event(named("A", n=2), timeout_s=10) == {"n": 2}
        assert talk.await_event(named("A"), timeout_s=10) == {"n": 1}
        assert talk.await_event(named("B"), timeout_s=10) == {}
        talk.execute("y")
        assert talk.await_event(named("C"), timeout_s=10) == {}


def test_forgotten_events_are_not_awaited(tmp_path: Path) -> None:
    with peer(tmp_path / "s", [event("A", n=1), OK], [event("A", n=2), OK]) as _, talking(tmp_path / "s") as talk:
        talk.execute("x")
        talk.forget_events()
        talk.execute("y")
        assert talk.await_event(named("A"), timeout_s=10) == {"n": 2}


def test_a_refusal_is_told_and_the_conversation_goes_on(tmp_path: Path) -> None:
    refusal = b'{"error": {"class": "GenericError", "desc": "Node is busy"}}\n'
    with peer(tmp_path / "s", refusal, OK) as _, talking(tmp_path / "s") as talk:
        with pytest.raises(Refused, match="Node is busy"):
            talk.execute("blockdev-del")
        talk.execute("x")


@pytest.mark.parametrize("answer", [None, b"no JSON\n"], ids=["hangs up", "talks nonsense"])
def test_a_daemon_that_ends(tmp_path: Path, answer: Answer) -> None:
    with peer(tmp_path / "s", answer) as _, talking(tmp_path / "s") as talk, pytest.raises(HungUp):
        talk.execute("x")


def test_a_silent_daemon_is_not_waited_for(tmp_path: Path) -> None:
    with peer(tmp_path / "s", b"") as _, talking(tmp_path / "s", 0.05) as talk, pytest.raises(Timeout):
        talk.execute("x")
    with peer(tmp_path / "s", greeting=b""), pytest.raises(Timeout), talking(tmp_path / "s", 0.05):
        pass


def test_nobody_listens(tmp_path: Path) -> None:
    listen(tmp_path / "s").close()
    with pytest.raises(ConnectionRefusedError), talking(tmp_path / "s"):
        pass


def test_a_path_of_any_length(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 200)
    folder.mkdir()
    with peer(folder / "s", OK), talking(folder / "s") as talk:
        talk.execute("x")


# --- lines ---


def test_a_line_is_kept(tmp_path: Path) -> None:
    line, pid = Line("pool", tmp_path), os.getpid()
    with peer(tmp_path / CHANNELS[0], OK, OK) as came:
        for _ in range(2):
            with line.talk(pid) as talk:
                talk.execute("x")
        line.hang_up()
    assert len(came) == 3


def test_a_line_to_a_silent_daemon_rests(tmp_path: Path) -> None:
    line, pid = Line("pool", tmp_path, answer_s=0.05), os.getpid()
    with peer(tmp_path / CHANNELS[0], b""):
        with pytest.raises(Timeout), line.talk(pid) as talk:
            talk.execute("x")
        with pytest.raises(Unavailable, match="left alone"), line.talk(pid):
            pass


def test_each_process_has_a_monitor_of_its_own(tmp_path: Path) -> None:
    lines = [Line("pool", tmp_path) for _ in range(2)]
    with peer(tmp_path / CHANNELS[0], OK), peer(tmp_path / CHANNELS[1], OK):
        for line in lines:
            with line.talk(os.getpid()) as talk:
                talk.execute("x")
        for line in lines:
            line.hang_up()


def test_all_monitors_are_taken(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for channel in CHANNELS:
            fcntl.flock(stack.enter_context((tmp_path / f"{channel}.lock").open("w")), fcntl.LOCK_EX)
        with pytest.raises(Busy), Line("pool", tmp_path).talk(os.getpid()):
            pass
