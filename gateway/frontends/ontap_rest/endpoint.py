"""What an endpoint of the dialect is: a resource, where its records come from, and what its verbs do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from gateway.core.change import Started
from gateway.core.model import Job, Record
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.calls import Call
from gateway.frontends.ontap_rest.schema import Resource, Verb
from gateway.frontends.ontap_rest.sources import Source


class Keyed(msgspec.Struct, frozen=True):
    """What a synchronous write made, where it is no record of the core: the keys that its path ends in.

    `told` is shown of it this once, also to who does not ask for the record.
    """

    keys: tuple[str, ...]
    told: dict[str, Any] = {}


class Placed(msgspec.Struct, frozen=True):
    """A change that makes what is no record of the core, and the keys that its path will end in."""

    change: Started
    keys: tuple[str, ...]


Made = Started | Placed | Job | Record | Keyed | None
"""A change that goes on, one that is done and recorded as a job, or what a synchronous write made."""

Create = Callable[[Ask, Values], Awaitable[Made]]
Modify = Callable[[Ask, Any, Values], Awaitable[Made]]
Delete = Callable[[Ask, Any], Awaitable[Made]]
Unmake = Callable[[Ask, Any, Values], Awaitable[Made]]
PutBack = Callable[[Ask, Any, Any], Awaitable[Made]]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One resource of the dialect. Writers are None where the resource has no such verb.

    `operation` names what a write does, as errors and audit lines call it;
    `precheck` refuses a request before any record is looked for. `singleton`:
    there is one record and no collection. `listing`: a GET of a record's path
    gives a collection, too, as of what is in a directory. `instance` is what
    follows the collection's path in a record's; `instances` False: no record has
    a path. `readable` False: there is no GET. `refuses`: the code with which every write is
    refused, where none is carried out. `unmake` undoes a create where more than a
    delete is needed, `put_back` a modify that led from one record to another.
    """

    resource: Resource
    source: Source
    create: Create | None = None
    modify: Modify | None = None
    delete: Delete | None = None
    unmake: Unmake | None = None
    put_back: PutBack | None = None
    operation: Callable[[Ask, Values], str]
    precheck: Callable[[Ask, Values], None] | None = None
    singleton: bool = False
    listing: bool = False
    instance: str = "{}"
    instances: bool = True
    readable: bool = True
    refuses: str = ""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A path template and the endpoint behind it. `instance`: the last key names one record.

    `verbs` are those of the path, besides HEAD and OPTIONS; `calls` what each is to the roles.
    """

    template: str
    endpoint: Endpoint
    instance: bool
    verbs: tuple[Verb, ...]
    calls: Mapping[Verb, Call]

    @property
    def single(self) -> bool:
        """Tell whether a GET gives one record."""
        return self.instance and not self.endpoint.listing


_WORDS = {Verb.GET: "read", Verb.POST: "create", Verb.PATCH: "update", Verb.DELETE: "delete"}


def named(noun: str) -> Callable[[Ask, Values], str]:
    """Give what names writes of a resource that has one kind of each."""
    return lambda ask, _values: f"{noun}.{_WORDS[ask.verb]}"
