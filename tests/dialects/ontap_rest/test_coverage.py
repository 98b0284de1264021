"""Nothing is served that no test touches: a walk through the door goes everywhere, and its answers are as published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from jsonschema import Draft4Validator, FormatChecker

from gateway.cli import main
from gateway.frontends.ontap_rest.coverage import braced, coverage
from gateway.frontends.ontap_rest.endpoint import Route
from gateway.frontends.ontap_rest.openapi import document, path_of
from gateway.frontends.ontap_rest.release import Release
from gateway.frontends.ontap_rest.schema import Verb
from gateway.frontends.ontap_rest.settable import SETTABLE
from gateway.frontends.ontap_rest.shape import blueprint, documented, load_shown
from gateway.testing.ontap.codes import UNPROVOKED, in_sources, said
from gateway.testing.ontap.refusals import REFUSALS
from gateway.testing.ontap.steps import STEPS
from gateway.testing.ontap.walk import NEWEST, Walk, walked
from gateway.testing.pages import ontap

ROOT = Path(__file__).parents[3]
TABLE = blueprint(NEWEST)
BY_NAME = {route.endpoint.resource.name: route.endpoint.resource for route in TABLE.values()}

ELSEWHERE: Mapping[str, str] = {
    "cluster_peer": "tests/clients/test_netapp_sdk_peers.py",
    "file_clone": "tests/clients/test_netapp_sdk_files.py",
    "svm_peer": "tests/clients/test_netapp_sdk_peers.py",
}
"""Resources of which the walk's gateway has no record, and the tests that ask for what it therefore cannot."""
FIELDS_ELSEWHERE = {("snapmirror_relationship", "POST"): ["source.cluster.name", "source.cluster.uuid"]}


class Judge:
    """Holds answers against the document that the door publishes, and gathers what is wrong."""

    def __init__(self) -> None:
        self._document = json.loads(document(TABLE, load_shown(), release=NEWEST, product="volume-gateway"))
        self._validators: dict[str, Draft4Validator] = {}
        self.seen = 0
        self.wrong: list[str] = []

    def __call__(self, route: Route, verb: Verb, answer: httpx.Response) -> None:
        self.seen += 1
        said = self._document["paths"][path_of(route)][verb.value.lower()]["responses"]
        found = said.get(str(answer.status_code), said["default"])
        media = answer.headers["content-type"]
        schema = found["content"][media]["schema"]
        key = json.dumps(schema)
        if key not in self._validators:
            whole = {**schema, "components": self._document["components"]}
            self._validators[key] = Draft4Validator(whole, format_checker=FormatChecker())
        errors = self._validators[key].iter_errors(answer.json())
        self.wrong += [f"{answer.request.method} {answer.request.url}: {_place(e)}: {e.message[:200]}" for e in errors]


def _place(error: Any) -> str:
    return ".".join(map(str, error.absolute_path))


def _resource(template: str) -> str:
    return TABLE[template].endpoint.resource.name


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge()


@pytest.fixture(scope="module")
def walk(judge: Judge, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    return walked(tmp_path_factory.mktemp("walk"), (*STEPS, *REFUSALS), judge)


def test_every_verb_of_every_route_is_asked(walk: Walk) -> None:
    served = {(route.template, verb) for route in TABLE.values() for verb in route.verbs}
    missing = {(template, verb) for template, verb in served - walk.touched if _resource(template) not in ELSEWHERE}
    assert not missing, "add steps to gateway/testing/ontap/steps.py"
    assert all((ROOT / place).exists() for place in ELSEWHERE.values())


def test_every_field_that_is_carried_out_is_sent(walk: Walk) -> None:
    unsent = {
        (name, verb.value): sorted(missing)
        for (name, verb), settable in SETTABLE.items()
        if name in BY_NAME.keys() - ELSEWHERE.keys()
        and (missing := settable.intersection(documented(BY_NAME[name], verb)) - walk.sent[name, verb])
    }
    assert unsent == FIELDS_ELSEWHERE, "add steps to gateway/testing/ontap/steps.py"


def test_what_answers_show_is_what_is_written_down(walk: Walk) -> None:
    assert ontap.record(walk) == (ROOT / "gateway/frontends/ontap_rest/shown.json").read_text(), "run `make docs`"


def test_answers_are_as_published(walk: Walk, judge: Judge) -> None:
    assert len(walk.touched) < judge.seen
    assert judge.wrong == []


def test_every_code_that_the_door_answers_is_asked_for(walk: Walk) -> None:
    asked = walk.codes | in_sources(ROOT / "tests")
    assert said() - asked == UNPROVOKED.keys() - asked, "add requests to gateway/testing/ontap/refusals.py"
    assert said() >= UNPROVOKED.keys()


def test_every_refusal_that_was_meant_came(walk: Walk) -> None:
    assert {step.refused for step in REFUSALS} <= walk.codes


def test_the_command_tells_of_the_release_that_the_configuration_picks(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[backend.memory]\n[tls]\nenabled = false\n[ontap]\nrelease = "9.12.1"\n')
    shown = CliRunner().invoke(main, ["check", "--config", str(config), "--coverage"])
    assert shown.exit_code == 0, shown.output
    assert shown.output.splitlines()[0].split() == ["PATH", "VERB", "SERVED", "CONFIRMED", "REFUSED", "UNKNOWN"]
    told = CliRunner().invoke(main, ["check", "--config", str(config), "--coverage", "--json"])
    lines = {(line["path"], line["verb"]): line for line in json.loads(told.output)}
    volumes = lines["/api/storage/volumes[/{uuid}]", "GET"]
    assert "nas.path" in volumes["served"]
    assert "snapshot_directory_access_enabled" in volumes["unknown"]
    assert lines["/api/storage/aggregates[/{uuid}]", "DELETE"]["offered"] is False


def test_no_field_is_in_two_columns() -> None:
    for line in coverage(Release.parse("9.12.1")):
        names = [*line.served, *line.confirmed, *line.refused, *line.unknown]
        assert len(names) == len(set(names)), (line.path, line.verb)


def test_names_are_written_in_the_grammar_of_fields() -> None:
    assert braced(["a", "b.c", "b.d.e", "b.d.f", "g.h"]) == ["a", "b.{c,d.{e,f}}", "g.h"]
