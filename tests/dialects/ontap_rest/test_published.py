"""Requests that are generated from the document that the door publishes: no crash, no hang, answers as published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway.frontends.ontap_rest.openapi import path_of
from gateway.frontends.ontap_rest.schema import Verb
from gateway.frontends.ontap_rest.shape import blueprint
from gateway.testing.live import ACCOUNT, PASSWORD, live_gateway
from gateway.testing.ontap.steps import STEPS
from gateway.testing.ontap.walk import NEWEST, NEWEST_IS_REPORTED, PATIENCE_S, POOLS, Walk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CHECKS: Sequence[CheckFunction] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
BOUNDED = settings(
    max_examples=2,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
"""The same few requests in every run; `test_fuzz` draws many more, and stranger ones."""


class Asked:
    """What came of the requests."""

    def __init__(self, url: str, known: Mapping[str, Mapping[str, str]]) -> None:
        self._url = url
        self._known = known
        self._turn = count()
        self.statuses: set[tuple[str, int]] = set()
        self.wrong: list[str] = []

    def ask(self, case: Any) -> None:
        """Send a request, every other one to a record that there is, and hold the answer against the document."""
        if next(self._turn) % 2:
            case.path_parameters.update(self._known.get(case.path, {}))
        answer = case.call(base_url=self._url, auth=(ACCOUNT, PASSWORD), timeout=PATIENCE_S)
        self.statuses.add((case.method, answer.status_code))
        try:
            case.validate_response(answer, checks=CHECKS)
        except schemathesis.errors.FailureGroup as error:
            self.wrong.append(f"{case.method} {answer.request.url}: {error}")


def test_whatever_is_asked_the_answer_is_as_published(tmp_path: Path) -> None:
    with (
        live_gateway(tmp_path, pools=POOLS, extra=NEWEST_IS_REPORTED) as gateway,
        httpx.Client(base_url=gateway.url, auth=(ACCOUNT, PASSWORD), trust_env=False, timeout=PATIENCE_S) as client,
    ):
        walk = Walk(client)
        walk.run(STEPS)
        published = client.get("/docs/api/openapi.json").json()
        asked = Asked(gateway.url, _known(walk))
        for operation in _operations(published):
            BOUNDED(given(case=operation.as_strategy())(asked.ask))()
        assert client.get("/api/cluster").is_success
    assert asked.wrong == []
    assert {("GET", 200), ("POST", 400), ("PATCH", 200), ("DELETE", 200)} <= asked.statuses


def _operations(published: Any) -> Sequence[Any]:
    """Give every operation, those that delete last."""
    schema = schemathesis.openapi.from_dict(published)
    found = [each.ok() for each in schema.get_all_operations()]
    return sorted(found, key=lambda operation: operation.method.upper() == Verb.DELETE)


def _known(walk: Walk) -> Mapping[str, Mapping[str, str]]:
    """Give keys that exist, by path and name."""
    known: dict[str, Mapping[str, str]] = {}
    for template, route in blueprint(NEWEST).items():
        path = path_of(route)
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        whole = next((keys for other, keys in walk.keys.items() if other.startswith(template)), ())
        known[path] = dict(zip(names, whole, strict=False))
    return known
