"""What a gateway keeps of what it did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from security_scene import DENIED, ROOT, security_scene

from gateway.core.door import Trace
from gateway.observe import FileTrail, Metrics, ReportingObserver

AUDIT, EVENTS = "/api/security/audit/messages?fields=**", "/api/support/ems/events?fields=**"


def trail_at(folder: Path, most: int = 10) -> FileTrail:
    trail = FileTrail(folder / "audit.jsonl", most=most, clock=lambda: 1_000_000_000.5)
    trail.open()
    return trail


def changed(trail: FileTrail, target: str) -> None:
    trace = Trace(who="alice", operation="volume.create", target=target, outcome="success")
    trail.change(trace, door="ontap", peer="192.0.2.1", request="r1")


def test_the_last_lines_are_kept_for_the_next_process(tmp_path: Path) -> None:
    for start in range(0, 40, 8):
        trail = trail_at(tmp_path)
        for number in range(start, start + 8):
            changed(trail, str(number))
        trail.close()
    trail = trail_at(tmp_path)
    found = [entry.target for entry in trail.entries()]
    trail.close()
    assert found == [str(number) for number in range(40 - len(found), 40)]
    assert 5 <= len(found) <= 10
    assert [entry.number for entry in trail.entries()] == [number + 1 for number in range(40 - len(found), 40)]
    lines = sum(len(path.read_bytes().splitlines()) for path in tmp_path.iterdir())
    assert lines <= 10
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_lines_that_were_torn_are_left_out(tmp_path: Path) -> None:
    trail = trail_at(tmp_path)
    changed(trail, "1")
    changed(trail, "2")
    trail.close()
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b"\xff\n" + path.read_bytes()[:-20])
    trail = trail_at(tmp_path)
    changed(trail, "3")
    trail.close()
    assert [entry.target for entry in trail.entries()] == ["1", "3"]
    trail = trail_at(tmp_path)
    trail.close()
    assert "3" in [entry.target for entry in trail.entries()]


def test_without_a_file_it_is_kept_in_memory(tmp_path: Path) -> None:
    trail = trail_at(tmp_path / "none")
    changed(trail, "1")
    trail.close()
    trail.close()
    assert [entry.target for entry in trail.entries()] == ["1"]


def test_what_a_client_sends_is_cut_and_cannot_break_a_line(tmp_path: Path) -> None:
    trail = trail_at(tmp_path)
    changed(trail, "a\nb\udcff" + "x" * 10_000)
    trail.close()
    (line,) = (tmp_path / "audit.jsonl").read_bytes().splitlines()
    assert json.loads(line)["target"].startswith("a\nb?xxx")
    assert len(line) < 1024


def test_an_event_is_kept_without_what_a_substrate_said(tmp_path: Path) -> None:
    trail = trail_at(tmp_path)
    observer = ReportingObserver(Metrics(), trail=trail)
    observer.event("pool_not_open", pool="fast", error="/srv/secret: permission denied")
    trail.close()
    (entry,) = trail.entries()
    assert (entry.operation, entry.parameters, entry.door) == ("pool_not_open", {"pool": "fast"}, "")
    assert "secret" not in (tmp_path / "audit.jsonl").read_text()


async def test_who_did_what_and_who_was_not_let(tmp_path: Path) -> None:
    async with security_scene(tmp_path) as it:
        vic = await it.account("vic", "vsadmin", owner={"name": "svm1"})
        assert await it.ask(vic, "POST", "/api/svm/svms", {"name": "x"}) == DENIED
        await it.call(ROOT, "PATCH", "/api/svm/svms?name=svm2", {"comment": "x"})
        denied, changed_one = (await it.get(AUDIT))["records"][1::-1]
        assert denied["user"] == "vic"
        assert denied["input"] == "svm.post /api/svm/svms"
        assert (denied["state"], denied["message"]) == ("error", "PermissionDenied")
        assert (denied["scope"], denied["svm"]) == ("svm", {"name": "svm1"})
        assert (changed_one["user"], changed_one["location"], changed_one["scope"]) == ("root", "127.0.0.1", "cluster")
        assert (await it.get(f"{AUDIT}&user=vic"))["num_records"] == 1
        assert (await it.get(f"{AUDIT}&state=error&timestamp=>2001-01-01T00:00:00Z"))["num_records"] == 1
        index = denied["index"]
        assert (await it.get(f"/api/security/audit/messages/{index}?fields=user"))["user"] == "vic"
        (event,) = (await it.get(f"{EVENTS}&message.severity=error"))["records"]
        assert event["message"] == {"name": "gateway.svm.post", "severity": "error"}
        assert {"name": "user", "value": "vic"} in event["parameters"]
        assert event["node"]["name"] == "unit-01"
        assert (await it.get(event["_links"]["self"]["href"]))["index"] == event["index"]
        first = await it.get("/api/support/ems/events?max_records=1&order_by=index")
        assert first["records"][0]["index"] == 1
        assert "next" in first["_links"]


@pytest.mark.parametrize("who", [("eve", ROOT[1])])
async def test_who_looks_at_everything_looks_at_this_too(tmp_path: Path, who: tuple[str, str]) -> None:
    async with security_scene(tmp_path) as it:
        for path in (AUDIT, EVENTS):
            assert (await it.ask(who, "GET", path))[0] == 200
