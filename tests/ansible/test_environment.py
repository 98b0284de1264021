"""The environment holds the collection that the tests are written for, beside what the gateway has, too."""

from __future__ import annotations

import json
from pathlib import Path

from ansible_scene import ANSIBLE, HERE


def test_the_collection_is_the_one_that_the_tests_are_for() -> None:
    manifest = ANSIBLE / "collections/ansible_collections/netapp/ontap/MANIFEST.json"
    assert json.loads(manifest.read_text())["collection_info"]["version"] == "23.2.0"


def test_what_both_environments_have_is_the_same() -> None:
    ours, theirs = (locked(path) for path in (HERE.parents[1] / "requirements.lock", HERE / "requirements.lock"))
    assert {name: ours[name] for name in ours.keys() & theirs} == {name: theirs[name] for name in ours.keys() & theirs}


def locked(path: Path) -> dict[str, str]:
    return dict(line.lower().split("==") for line in path.read_text().splitlines() if "==" in line)
