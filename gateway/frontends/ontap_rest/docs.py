"""`/docs/api`: the OpenAPI document, and a page made from it that works without a script."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from gateway.frontends.ontap_rest.answer import Answer
from gateway.frontends.ontap_rest.endpoint import Route
from gateway.frontends.ontap_rest.errors import no_endpoint, no_verb
from gateway.frontends.ontap_rest.openapi import assemble, components
from gateway.frontends.ontap_rest.release import Release
from gateway.frontends.ontap_rest.shape import load_shown
from gateway.frontends.ontap_rest.sources import PRODUCT

ROOT = ("docs", "api")
DOCUMENT = "openapi.json"
ROUTE = "docs/api"

_READS = frozenset({"GET", "HEAD"})
_HEADERS: Mapping[str, str] = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
_STYLE = (
    "body{font:15px/1.5 sans-serif;margin:2em auto;max-width:70em;padding:0 1em}"
    "summary{cursor:pointer}code{font-size:14px}td{padding:0 1em 0 0;vertical-align:top}"
    "h2{margin:1.5em 0 .2em}details{margin:.2em 0 .2em 1em}"
)


class Docs:
    """Answers what is asked about the door itself. Both texts are made when somebody wants to read them."""

    def __init__(self, table: Mapping[str, Route], release: Release) -> None:
        self._table = table
        self._release = release
        self._kept: dict[str, Answer] = {}

    async def answer(self, method: str, path: Sequence[str]) -> Answer:
        """Give the document or the page; `path` is what follows ROOT. WireError for anything else."""
        if tuple(path) not in {(), (DOCUMENT,)}:
            raise no_endpoint()
        if method not in _READS:
            raise no_verb()
        if not self._kept:
            self._kept = await self._made()
        return self._kept[path[0] if path else ""]

    async def _made(self) -> dict[str, Answer]:
        parts: dict[str, msgspec.Raw] = {}
        for name, schema in components(self._table, load_shown()):
            parts[name] = schema
            await asyncio.sleep(0)
        text = assemble(self._table, parts, release=self._release, product=PRODUCT)
        document = msgspec.json.decode(text)
        pieces: list[str] = []
        for piece in page(document):
            pieces.append(piece)
            await asyncio.sleep(0)
        shown = "".join(pieces).encode()
        return {
            DOCUMENT: Answer(status=200, body=text, headers={"Content-Type": "application/json"}),
            "": Answer(status=200, body=shown, headers={"Content-Type": "text/html; charset=utf-8", **_HEADERS}),
        }


def page(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the page in pieces, one per path."""
    title = html.escape(document["info"]["title"])
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
    yield f'<p>Release {html.escape(document["info"]["version"])}, as <a href="/docs/api/{DOCUMENT}">OpenAPI 3</a>. '
    yield f"{html.escape(document['info']['description'])}</p>"
    for path, operations in document["paths"].items():
        yield f"<h2><code>{html.escape(path)}</code></h2>"
        for verb, operation in operations.items():
            if verb != "parameters":
                yield from _operation(document, verb.upper(), operation)
    yield "</body></html>"


def _operation(document: Mapping[str, Any], verb: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<details><summary><b>{verb}</b></summary>"
    names = [
        f"<code>{html.escape(each['name'])}</code>" for each in operation["parameters"] if each["name"] != "filter"
    ]
    yield f"<p>Parameters: {', '.join(names)}</p>"
    body = operation.get("requestBody")
    if body:
        yield from _table("Body", document, body["content"]["application/json"]["schema"])
    if verb == "GET":
        yield from _table("Answer", document, _answered(operation))
    yield "</details>"


def _answered(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = operation["responses"]["200"]["content"]["application/json"]["schema"]
    return {"$ref": schema["$ref"].removesuffix("_records")}


def _table(title: str, document: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    named = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    yield f"<p>{title}:</p><table>"
    for path, leaf in _leaves(named, ""):
        yield f"<tr><td><code>{html.escape(path)}</code></td><td>{html.escape(_words(leaf))}</td></tr>"
    yield "</table>"


def _leaves(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, inner in schema["properties"].items():
        here = f"{path}.{name}" if path else name
        below = inner.get("items", inner)
        if "properties" in below:
            yield from _leaves(below, here)
        elif name != "_links":
            yield here, inner


def _words(leaf: Mapping[str, Any]) -> str:
    if leaf["type"] == "array":
        return f"array of {_words(leaf['items'])}"
    said = [leaf.get("format", leaf["type"])]
    if "enum" in leaf:
        said.append(" | ".join(map(str, leaf["enum"])))
    for least, most, what in (("minimum", "maximum", ""), ("minLength", "maxLength", " characters")):
        if least in leaf or most in leaf:
            said.append(f"{leaf.get(least, '')}..{leaf.get(most, '')}{what}")
    return ", ".join(said)
