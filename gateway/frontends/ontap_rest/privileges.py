"""Path rules: what a role of this dialect allows, said by paths and access levels. Pure.

The rule with the longest path that a request's path begins with decides, part
by part; where none does, nothing is allowed. What is compared is the route
that was found and its keys in their one canonical form, never the text that
was sent, so that no other way to write a path leads around a rule.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, product
from uuid import UUID

import msgspec

from gateway.frontends.ontap_rest.schema import Verb

ANY = "*"
"""Any key where a rule has it, every key where a request has it."""

_ROOT = "api"
_KEY = "{}"
_OTHER = ""
"""Stands for a key that no rule names."""
_SPELLED_MAX = 1000
"""Paths at which two roles are compared; of those that would need more none is taken to cover the other."""
_NOTHING: frozenset[Verb] = frozenset()

Rule = tuple[tuple[str, ...], frozenset[Verb]]
"""The parts of a path and what is allowed there."""


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
    rules = _read(privileges)
    wild = [place for place, part in enumerate(parts) if part == ANY]
    allowed = _granted(rules, [_OTHER if part == ANY else part for part in parts])
    if wild:
        # Whatever the keys are, the rule that decides is one that decides for the keys that it names itself.
        keys = [_keys(rule, wild) for rule, _ in rules]
        every = (_OTHER,) * len(wild)
        for named in set(keys):
            path = list(parts)
            for place, key in zip(wild, named, strict=True):
                path[place] = key
            # Those about another key need no look, of which there may be many.
            near = rules if len(wild) > 1 else [rules[n] for n, mine in enumerate(keys) if mine in (named, every)]
            allowed &= _granted(near, path)
    return allowed


def covers(wide: Sequence[Privilege], narrow: Sequence[Privilege]) -> bool:
    """Tell whether some rules allow nothing that others do not allow as well, whatever the keys are."""
    theirs, ours = _read(wide), _read(narrow)
    paths = {parts for parts, _ in (*theirs, *ours)}
    spelled: set[tuple[str, ...]] = set()
    for parts in paths:
        spelled.update(islice(_spelled(parts, paths), _SPELLED_MAX + 1))
        if len(spelled) > _SPELLED_MAX:
            return False
    return all(_granted(ours, parts) <= _granted(theirs, parts) for parts in spelled)


def _spelled(parts: tuple[str, ...], paths: Iterable[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Give a path, for each `*` in it with every key that another one names there, and with one that none names."""
    choices = [
        ({other[place] for other in paths if len(other) > place and _is_uuid(other[place])} | {_OTHER})
        if part == ANY
        else {part}
        for place, part in enumerate(parts)
    ]
    return product(*choices)


def _read(privileges: Iterable[Privilege]) -> list[Rule]:
    return [(privilege.parts, VERBS[privilege.access]) for privilege in privileges]


def _granted(rules: Iterable[Rule], parts: Sequence[str]) -> frozenset[Verb]:
    best, verbs = (-1, 0), _NOTHING
    for rule, allowed in rules:
        if len(rule) <= len(parts) and all(mine in (ANY, theirs) for mine, theirs in zip(rule, parts, strict=False)):
            rank = len(rule), sum(part != ANY for part in rule)
            if rank > best:
                best, verbs = rank, allowed
    return verbs


def _keys(rule: Sequence[str], places: Iterable[int]) -> tuple[str, ...]:
    """Give the keys that a rule names at some places."""
    return tuple(rule[place] if len(rule) > place and rule[place] != ANY else _OTHER for place in places)


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
