"""A walk through the ONTAP door that goes to everything there is, and what it met on its way.

The steps are in `steps`. `make docs` keeps what answers showed; tests
assert that nothing is served to which the walk does not go.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from gateway.config import RELEASES
from gateway.frontends.ontap_rest.endpoint import Route
from gateway.frontends.ontap_rest.paths import Router, segments
from gateway.frontends.ontap_rest.release import Release
from gateway.frontends.ontap_rest.schema import Verb
from gateway.frontends.ontap_rest.shape import blueprint, seen_in
from gateway.testing.live import ACCOUNT, PASSWORD, live_gateway
from gateway.testing.ontap.step import Step
from gateway.testing.ontap.unseen import unseen

NEWEST = Release.parse(RELEASES[-1])
NEWEST_IS_REPORTED = f'[ontap]\nrelease = "{NEWEST}"\n'
POOLS = '[backend.memory]\n\n[backend.second]\ndriver = "memory"\n'
PATIENCE_S = 60
_NAME = re.compile(r"\{([a-z0-9_]+)\}")

Judge = Callable[[Route, Verb, httpx.Response], None]


def _nobody(_route: Route, _verb: Verb, _answer: httpx.Response) -> None:
    """Find nothing wrong with an answer."""


class Walk:
    """What was asked, sent and shown, `keys` of a record of every kind, `places` of collections, and what steps `kept`.

    `judge` is given each answer with its route and verb.
    """

    def __init__(self, client: httpx.Client, judge: Judge = _nobody) -> None:
        self._client = client
        self._judge = judge
        self._table = blueprint(NEWEST)
        self._router = Router(self._table)
        self.resources = {route.endpoint.resource.name: route.endpoint.resource for route in self._table.values()}
        self.kept: dict[str, str] = {}
        self.places: dict[str, str] = {}
        self.touched: set[tuple[str, Verb]] = set()
        self.sent: dict[tuple[str, Verb], set[str]] = defaultdict(set)
        self.shown: dict[str, set[str]] = defaultdict(set)
        self.codes: set[str] = set()
        self.keys: dict[str, tuple[str, ...]] = {}

    def run(self, steps: Iterable[Step]) -> None:
        """Take the steps, and after each one look at the collection that it was about."""
        for step in steps:
            self._take(step)
        for route in self._table.values():
            if not route.instance:
                self._sweep(route)

    def _take(self, step: Step) -> None:
        path = _filled(step.path, self.kept)
        body = _filled(step.body, self.kept)
        wait = "" if step.verb is Verb.GET else f"return_timeout={PATIENCE_S}"
        query = "&".join(part for part in (_filled(step.query, self.kept), wait) if part)
        answer = self._ask(step.verb, f"{path}?{query}", body, refused=step.refused)
        deadline = time.monotonic() + PATIENCE_S
        while step.patient and not answer.json()["num_records"]:
            if time.monotonic() > deadline:
                raise AssertionError(f"{path}?{query} finds nothing")
            answer = self._ask(step.verb, f"{path}?{query}")
        if step.keep:
            self._keep(step.keep, answer)
        route = self._route(path)
        if isinstance(body, dict):
            sent = body["records"] if set(body) == {"records"} else [body]
            self.sent[route.endpoint.resource.name, step.verb] |= seen_in(sent, route.endpoint.resource)
        if step.refused:
            return
        if step.verb is Verb.GET or not route.instance or route.endpoint.singleton:
            self._look(path)
        else:
            self._look(path.rsplit("/", route.endpoint.instance.count("/") + 1)[0])

    def _keep(self, name: str, answer: httpx.Response) -> None:
        place = answer.headers.get("Location")
        if place is None:
            (record,) = answer.json()["records"]
            place = record["_links"]["self"]["href"]
        self.kept[name] = place.removeprefix("/api/")
        self.kept[f"{name}_key"] = place.rpartition("/")[2]

    def _sweep(self, route: Route) -> None:
        """Look at a collection once more, and change and delete what has no key there, which is nothing."""
        path = self.places.get(route.template, route.template)
        if "{}" in path or Verb.GET not in route.verbs:
            return
        self._look(path)
        self._ask_for_none(route, path)
        keys = route.endpoint.resource.keys
        for verb in {Verb.PATCH, Verb.DELETE}.intersection(route.verbs):
            if not keys or (route.template, verb) in self.touched:
                continue
            answer = self._ask(verb, f"{path}?{keys[-1]}=null", {})
            assert answer.json()["num_records"] == 0, path

    def _ask_for_none(self, route: Route, path: str) -> None:
        """Ask for a record of a collection that had none to look at, which has to be told."""
        template = f"{route.template}/{route.endpoint.instance}"
        if template in self._table and (template, Verb.GET) not in self.touched:
            one = route.endpoint.instance.replace("{}", str(UUID(int=1)))
            answer = self._client.get(f"/api/{path}/{one}")
            if answer.status_code != HTTPStatus.NOT_FOUND:
                raise AssertionError(f"{path}/{one}: {answer.text}")
            self.touched.add((template, Verb.GET))
            self._judge(self._table[template], Verb.GET, answer)

    def _look(self, path: str) -> None:
        route = self._route(path)
        if Verb.GET not in route.verbs:
            return
        answer = self._ask(Verb.GET, f"{path}?fields=**")
        records = [answer.json()] if route.single else answer.json()["records"]
        self.shown[route.endpoint.resource.name] |= seen_in(records, route.endpoint.resource)
        if not route.instance:
            self.places[route.template] = path
            for record in records[:1]:
                one = record["_links"]["self"]["href"].removeprefix("/api/")
                self._ask(Verb.GET, one)
                self._keys_of(one)

    def _keys_of(self, path: str) -> None:
        found = self._router.find(segments(path))
        if found is not None:
            self.keys[found.target.template] = found.keys

    def _ask(self, verb: Verb, path: str, body: object = None, *, refused: str = "") -> httpx.Response:
        if isinstance(body, bytes):
            answer = self._client.request(verb.value, f"/api/{path}", content=body)
        else:
            answer = self._client.request(verb.value, f"/api/{path}", json=body)
        code = answer.json()["error"]["code"] if answer.is_error else ""
        self.codes.add(code)
        if code != refused:
            raise AssertionError(f"{verb} {path} {body}: {answer.status_code} {answer.text}")
        route = self._route(path.partition("?")[0])
        self.touched.add((route.template, verb))
        self._judge(route, verb, answer)
        return answer

    def _route(self, path: str) -> Route:
        found = self._router.find(segments(path))
        if found is None:
            raise AssertionError(f"no route for {path}")
        return found.target


def walked(folder: Path, steps: Iterable[Step], judge: Judge = _nobody) -> Walk:
    """Walk through a gateway of its own of the newest release, with two pools in memory.

    It exports nothing, which would take programs, and has no peer; see `unseen`.
    """
    with (
        live_gateway(folder, pools=POOLS, extra=NEWEST_IS_REPORTED) as gateway,
        httpx.Client(base_url=gateway.url, auth=(ACCOUNT, PASSWORD), trust_env=False, timeout=PATIENCE_S * 2) as client,
    ):
        walk = Walk(client, judge)
        walk.run(steps)
    for name, records in unseen().items():
        walk.shown[name] |= seen_in(records, walk.resources[name])
    return walk


def _filled(value: Any, kept: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _NAME.sub(lambda found: kept[found[1]], value)
    if isinstance(value, dict):
        return {_filled(name, kept): _filled(inner, kept) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(item, kept) for item in value]
    return value
