"""Playbooks of the netapp.ontap modules, made of steps that say what each task has to report."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway

HERE = Path(__file__).parent
ANSIBLE = HERE.parents[1] / "build/ansible"
DEADLINE_S = 900
Arguments = Mapping[str, Any]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One task. `check`: in check mode. `refused`: it fails, and its message says this."""

    name: str
    module: str
    arguments: Arguments
    changed: bool = False
    check: bool = False
    refused: str = ""

    @property
    def task(self) -> dict[str, Any]:
        """Give it as a playbook has it. The play goes on when it fails."""
        return {
            "name": self.name,
            f"netapp.ontap.na_ontap_{self.module}": dict(self.arguments),
            "check_mode": self.check,
            "ignore_errors": True,
        }

    def verify(self, result: Result) -> None:
        """Compare with what it reported."""
        if self.refused:
            assert result.outcome == "failed", result.returned
            assert self.refused in json.dumps(result.returned)
        else:
            assert result.outcome == "ok", result.returned
            assert result.returned["changed"] is self.changed, result.returned


class Result(msgspec.Struct, frozen=True):
    """What became of a task, and what its module returned."""

    task: str
    outcome: str
    returned: dict[str, Any]


Results = Mapping[str, Result]


def begin(module: str, made: Arguments, *changes: Arguments, label: str = "") -> Iterator[Step]:
    """Make an object in check mode, make it, make it again, change it some times, and ask for all of that again.

    A change comes on top of those before it, so asking once more for the last
    one tells that every one is there.
    """
    label = label or module
    yield Step(name=f"{label}: create, checked", module=module, arguments=made, changed=True, check=True)
    yield Step(name=f"{label}: create", module=module, arguments=made, changed=True)
    yield Step(name=f"{label}: create again", module=module, arguments=made)
    for number, change in enumerate(changes, start=1):
        made = {**made, **change}
        yield Step(name=f"{label}: change {number}", module=module, arguments=made, changed=True)
    if changes:
        yield Step(name=f"{label}: change again", module=module, arguments=made)


def end(module: str, named: Arguments, *, label: str = "") -> Iterator[Step]:
    """Remove an object, and once more."""
    label, gone = label or module, {**named, "state": "absent"}
    yield Step(name=f"{label}: remove", module=module, arguments=gone, changed=True)
    yield Step(name=f"{label}: remove again", module=module, arguments=gone)


def once(
    name: str, module: str, arguments: Arguments, *, changed: bool = False, check: bool = False, refused: str = ""
) -> Step:
    """Give one step."""
    return Step(name=name, module=module, arguments=arguments, changed=changed, check=check, refused=refused)


def play(gateway: LiveGateway, steps: Sequence[Step], folder: Path) -> Results:
    """Run the steps by one `ansible-playbook`; give what they reported by their names."""
    assert (ANSIBLE / ".installed").exists(), "run `make build/ansible/.installed`"
    names = [step.name for step in steps]
    assert len(names) == len(set(names)), names
    folder.mkdir()
    address = urlsplit(gateway.url)
    defaults = {
        "hostname": address.hostname,
        "http_port": address.port,
        "username": ACCOUNT,
        "password": PASSWORD,
        "https": True,
        "validate_certs": False,
        "use_rest": "always",
    }
    plays = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "module_defaults": {"group/netapp.ontap.netapp_ontap": defaults},
            "tasks": [step.task for step in steps],
        }
    ]
    book = folder / "play.json"
    book.write_text(json.dumps(plays))
    done = subprocess.run(
        [ANSIBLE / "bin/ansible-playbook", "--inventory", "localhost,", "--connection", "local", book],
        check=False,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env=_environment(folder),
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    results = {result.task: result for result in (msgspec.json.decode(line, type=Result) for line in lines)}
    assert list(results) == names, f"{done.stdout}\n{done.stderr}"
    return results


def _environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callback"),
        "ANSIBLE_COLLECTIONS_PATH": str(ANSIBLE / "collections"),
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_PIPELINING": "true",
        "ANSIBLE_PYTHON_INTERPRETER": str(ANSIBLE / "bin/python"),
        "ANSIBLE_STDOUT_CALLBACK": "records",
    }
