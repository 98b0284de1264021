"""The environment holds the services in the versions that the drivers are for, beside this distribution."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("distribution", "release"), [("cinder", "29."), ("manila", "23."), ("glance", "33.")])
def test_services_are_those_that_the_drivers_are_for(distribution: str, release: str) -> None:
    assert version(distribution).startswith(release)


def test_what_both_environments_have_is_the_same() -> None:
    ours, theirs = (
        dict(line.lower().split("==") for line in path.read_text().splitlines() if "==" in line)
        for path in (ROOT / "requirements.lock", ROOT / "tests/openstack/requirements.lock")
    )
    assert {name: ours[name] for name in ours.keys() & theirs} == {name: theirs[name] for name in ours.keys() & theirs}
