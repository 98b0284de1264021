"""Programs: what they print, how long they may take, and the circuit that opens when they do not answer."""

from __future__ import annotations

import os
import sys

import pytest

from gateway.core.errors import Timeout, Unavailable
from gateway.core.runner import Circuit, Done, SystemRunner
from gateway.testing.runner import Exchange, ScriptedRunner

HUNG = Timeout(what="zfs", after=1)
FINE = Done(status=0, stdout=b"fine")


def python(code):
    return [sys.executable, "-c", code]


def test_output_and_status_come_back():
    done = SystemRunner().run(
        python("import sys; print(sys.stdin.read().upper()); sys.stderr.write('no\\n'); sys.exit(3)"), stdin=b"abc"
    )
    assert (done.status, done.text, done.stderr) == (3, "ABC\n", "no\n")


def test_the_locale_is_c():
    done = SystemRunner({"MARK": "1"}).run(python("import os; print(os.environ['LC_ALL'], os.environ['MARK'])"))
    assert done.text == "C 1\n"


def test_bytes_that_are_no_text_survive():
    done = SystemRunner().run(python("import os; os.write(1, b'\\xff\\n')"))
    assert done.text.encode(errors="surrogateescape") == b"\xff\n"


def test_a_missing_program_is_unavailable():
    with pytest.raises(Unavailable, match="cannot be started"):
        SystemRunner().run(["/nonexistent/zfs"])


def test_a_program_that_hangs_is_ended():
    with pytest.raises(Timeout):
        SystemRunner().run(python("import os, time; print(os.getpid(), flush=True); time.sleep(60)"), timeout_s=0.5)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def circuit(*answers):
    clock, script = Clock(), ScriptedRunner(*(Exchange(("zfs",), answer) for answer in answers))
    return Circuit(script, what="tank", trips=2, rest_s=10, clock=clock), clock, script


def test_the_circuit_opens_after_time_outs_in_a_row():
    ring, clock, script = circuit(HUNG, FINE, HUNG, HUNG, FINE, FINE)
    for error in (Timeout, None, Timeout, Timeout):
        if error is None:
            assert ring.run(["zfs"]) is FINE
        else:
            with pytest.raises(error):
                ring.run(["zfs"])
    clock.now = 9
    with pytest.raises(Unavailable):
        ring.run(["zfs"])
    assert len(script.ran) == 4
    clock.now = 10
    assert ring.run(["zfs"]) is FINE
    assert ring.run(["zfs"]) is FINE
    script.finish()


def test_a_try_that_hangs_opens_it_again():
    ring, clock, script = circuit(HUNG, HUNG, HUNG)
    for now in (0, 0, 11):
        clock.now = now
        with pytest.raises(Timeout):
            ring.run(["zfs"])
    clock.now = 20
    with pytest.raises(Unavailable):
        ring.run(["zfs"])
    script.finish()
