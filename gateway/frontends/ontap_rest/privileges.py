"""Path rules: what a role of this dialect allows, said by paths and access levels. Pure.

The rule with the longest path that a request's path begins with decides, part
by part; where none does, nothing is allowed. What is compared is the route
that was found and its keys in their one canonical form, never the text that
was sent, so that no other way to write a path leads around a rule.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from uuid import UUID

import msgspec

from gateway.frontends.ontap_rest.schema import Verb

ANY = "*"
"""Any key where a rule has it, every key where a request has it."""

_ROOT = "api"
_KEY = "{}"
_OTHER = ""
"""Stands for a key that no rule names."""
_NAMED_MAX = 50
"""Keys that two roles may name to be compared; of roles with more none is taken to cover the other."""
_NOTHING: frozenset[Verb] = frozenset()


class Access(enum.StrEnum):
    """What a rule allows; the words of the dialect."""

    NONE = "none"
    READONLY = "readonly"
    READ_CREATE = "read_create"
    READ_MODIFY = "read_modify"
    READ_CREATE_MODIFY = "read_create_modify"
    ALL = "all"


VERBS: Mapping[Access, frozenset[Verb]] = {
    Access.NONE: _NOTHING,
    Access.READONLY: frozenset({Verb.GET}),
    Access.READ_CREATE: frozenset({Verb.GET, Verb.POST}),
    Access.READ_MODIFY: frozenset({Verb.GET, Verb.PATCH}),
    Access.READ_CREATE_MODIFY: frozenset({Verb.GET, Verb.POST, Verb.PATCH}),
    Access.ALL: frozenset({Verb.GET, Verb.POST, Verb.PATCH, Verb.DELETE}),
}
"""The methods of each level; HEAD and OPTIONS are as GET."""


class Privilege(msgspec.Struct, frozen=True):
    """One rule. `path` is canonical: `/api/...`, as `rule_path` gives it."""

    path: str
    access: Access

    @property
    def parts(self) -> tuple[str, ...]:
        """The path's parts below the root."""
        return tuple(self.path.split("/")[2:])


class UnknownPathError(Exception):
    """No path that begins so is served."""


class BadPathError(Exception):
    """The text is no path, or names a key that no rule can be about."""


def rule_path(text: str, templates: Iterable[str]) -> str:
    """Give the canonical form of a rule's path; BadPathError or UnknownPathError when it can be none.

    It begins as a served path does. A key in it is `*` or a uuid, and more
    follows it: a record itself is ruled by its collection's path.
    """
    parts = [part for part in text.split("/") if part]
    if not text.startswith("/") or parts[:1] != [_ROOT]:
        raise BadPathError
    wanted = parts[1:]
    found: tuple[str, ...] | None = None
    for template in templates:
        pattern = template.split("/")
        if len(pattern) < len(wanted) or (wanted and pattern[len(wanted) - 1] == _KEY):
            continue
        fitted = [_fitted(part, place) for part, place in zip(wanted, pattern, strict=False)]
        if None not in fitted:
            found = tuple(part for part in fitted if part is not None)
            break
    if found is None:
        raise UnknownPathError
    return "/".join(("", _ROOT, *found))


def request_parts(template: str, keys: Sequence[str]) -> tuple[str, ...]:
    """Give a request's path as rules are compared with it: the route's template with its keys, canonical."""
    rest = iter(keys)
    return tuple(_canonical(next(rest)) if part == _KEY else part for part in template.split("/"))


def granted(privileges: Sequence[Privilege], parts: Sequence[str]) -> frozenset[Verb]:
    """Give what the rules allow at a path. A path with `*` for a key allows what is allowed for every key."""
    wild = [place for place, part in enumerate(parts) if part == ANY]
    if not wild:
        return _granted(privileges, parts)
    rules = [privilege.parts for privilege in privileges]
    choices = [{ANY, *(rule[place] for rule in rules if len(rule) > place)} for place in wild]
    allowed = VERBS[Access.ALL]
    for chosen in product(*choices):
        concrete = list(parts)
        for place, part in zip(wild, chosen, strict=True):
            concrete[place] = part
        allowed &= _granted(privileges, concrete)
    return allowed


def covers(wide: Sequence[Privilege], narrow: Sequence[Privilege]) -> bool:
    """Tell whether some rules allow nothing that others do not allow as well, whatever the keys are."""
    paths = {privilege.parts for privilege in (*wide, *narrow)}
    named = {part for parts in paths for part in parts if _is_uuid(part)}
    if len(named) > _NAMED_MAX:
        return False
    return all(_granted(narrow, parts) <= _granted(wide, parts) for parts in _spelled(paths, (*named, _OTHER)))


def _spelled(paths: Iterable[tuple[str, ...]], keys: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Give the paths, those with `*` with every one of the keys instead."""
    for parts in paths:
        yield from product(*[keys if part == ANY else (part,) for part in parts])


def _granted(privileges: Iterable[Privilege], parts: Sequence[str]) -> frozenset[Verb]:
    best, verbs = (-1, 0), _NOTHING
    for privilege in privileges:
        rule = privilege.parts
        if len(rule) <= len(parts) and all(mine in (ANY, theirs) for mine, theirs in zip(rule, parts, strict=False)):
            rank = len(rule), sum(part != ANY for part in rule)
            if rank > best:
                best, verbs = rank, VERBS[privilege.access]
    return verbs


def _fitted(part: str, place: str) -> str | None:
    """Give a rule's part as it is kept if it fits the template's."""
    if place != _KEY:
        return part if part == place else None
    if part == ANY:
        return part
    return _canonical(part) if _is_uuid(part) else None


def _canonical(key: str) -> str:
    """Give a key in its one form: uuids may be written in several ways that lead to the same record."""
    try:
        return str(UUID(key))
    except ValueError:
        return key


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
