"""The release that the door says it is: what it reports, and what it does not know yet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from live_scene import SVMS, VOLUMES, Door, door, refusal

from gateway.config import RELEASES
from gateway.frontends.ontap_rest.release import DEFAULT_RELEASE, Release
from gateway.frontends.ontap_rest.rules import REQUIRED
from gateway.frontends.ontap_rest.schema import load_schema
from gateway.testing.live import live_gateway

OLD = '[ontap]\nrelease = "9.12.1"\n'


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with live_gateway(tmp_path_factory.mktemp("old"), extra=OLD) as gateway, door(gateway) as found:
        yield found


def test_the_release_of_the_configuration_is_reported(old: Door) -> None:
    version = old.get("/api/cluster?fields=version")["version"]
    assert (version["generation"], version["major"], version["minor"]) == (9, 12, 1)
    assert version["full"].startswith("NetApp Release 9.12.1:")
    (node,) = old.get("/api/cluster/nodes?fields=version")["records"]
    assert node["version"] == version


def test_later_fields_are_unknown_everywhere(old: Door) -> None:
    late = "snapshot_directory_access_enabled"
    volume = old.volume("v1")
    assert refusal(old.ask("GET", f"{VOLUMES}?fields={late}")) == (400, "262197")
    assert refusal(old.ask("GET", f"{VOLUMES}?{late}=true")) == (400, "262179")
    assert refusal(old.ask("GET", f"{VOLUMES}?order_by={late}")) == (400, "262268")
    assert refusal(old.ask("PATCH", f"{VOLUMES}/{volume}", {late: False})) == (400, "262179")
    assert late not in old.get(f"{VOLUMES}/{volume}?fields=**")
    assert old.get(f"{VOLUMES}/{volume}?fields=name,{late}&ignore_unknown_fields=true")["name"] == "v1"


def test_later_objects_are_unknown_whole(old: Door) -> None:
    assert refusal(old.ask("GET", f"{SVMS}?fields=qos_policy_group_template")) == (400, "262197")
    assert "allowed" not in old.get(f"{SVMS}?fields=s3&name=svm1")["records"][0]["s3"]


def test_every_release_keeps_keys_and_knows_more_than_the_one_before() -> None:
    before: set[tuple[str, str]] = set()
    for text in RELEASES:
        schema = load_schema(Release.parse(text))
        known = {(name, path) for name, resource in schema.items() for path in resource.fields}
        keys = [(name, key, resource) for name, resource in schema.items() for key in resource.keys]
        # What the path of the collection says need not be a field.
        assert {(name, key) for name, key, resource in keys if f"{{{key}}}" not in resource.collection} <= known
        assert before <= known
        before = known
    assert before == {(name, path) for name, resource in load_schema().items() for path in resource.fields}


def test_no_release_requires_what_it_does_not_know() -> None:
    for text in RELEASES:
        schema = load_schema(Release.parse(text))
        for name, needs in REQUIRED.items():
            for needed in needs:
                assert any(schema[name].leaves(path) for path in needed.paths), (text, name, needed.paths)


def test_releases_are_read_and_written() -> None:
    assert [str(Release.parse(text)) for text in RELEASES] == [*RELEASES]
    assert sorted(map(Release.parse, RELEASES)) == [*map(Release.parse, RELEASES)]
    assert str(DEFAULT_RELEASE) in RELEASES
