"""YAML that others wrote: plain data only, small, shallow, without aliases, tags and keys given twice."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from gateway.core import errors
from gateway.frontends.openstorage.spec.values import invalid

YAML_MAX = 32768
_DEPTH_MAX = 8


def load_yaml(text: str, *, field: str) -> object:
    """Give what the text says; InvalidArgument on `field` when it cannot be read, Unsupported without PyYAML."""
    if len(text) > YAML_MAX:
        raise invalid(field, f"has more than {YAML_MAX} characters")
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        reason = "needs the package PyYAML (pip install 'volume-gateway[yaml]')"
        raise errors.Unsupported(capability="yaml", reason=reason) from None
    try:
        _check_events(yaml, text, field)
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        _check_keys(yaml, node, field)
        return None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # A number or a date that cannot be one is a ValueError of Python's own.
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark is not None else ""
        raise invalid(field, f"is not YAML{place}") from None


def _check_events(yaml: ModuleType, text: str, field: str) -> None:
    """Refuse depth, aliases and tags before anything is built; the events come from a loop, not from recursion.

    PyYAML fails with errors of any kind on a value that is not what its tag says.
    """
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise invalid(field, "has an alias, which is not taken")
        if getattr(event, "tag", None) is not None:
            raise invalid(field, "has a tag, which is not taken")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH_MAX:
            raise invalid(field, "is nested too deeply")


def _check_keys(yaml: ModuleType, node: Any, field: str) -> None:
    """Refuse a key that is given twice: the loader would keep the last one and say nothing."""
    if isinstance(node, yaml.MappingNode):
        seen: set[tuple[str, str]] = set()
        for key, value in node.value:
            mark = (key.tag, str(key.value))
            if mark in seen:
                raise invalid(field, f"has the key {str(key.value)[:64]!r} twice")
            seen.add(mark)
            _check_keys(yaml, value, field)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(yaml, item, field)
