"""What a step of the walk through the ONTAP door is, and what steps are made with."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.frontends.ontap_rest.schema import Verb

OF_SVM = {"svm": {"name": "svm1"}}
BASE: dict[str, Any] = {**OF_SVM, "aggregates": [{"name": "memory"}], "size": "64MB"}


class Step(msgspec.Struct, frozen=True):
    """One request below `/api`. `{name}` in path and body stands for what another step kept, `{name_key}` for its key.

    `keep`: the name for the path of what was made, as `Location` tells it, or
    of the one record that was read. `refused`: the code of the refusal that has
    to come. `patient`: asked again until it finds something.
    """

    verb: Verb
    path: str
    body: Any = None
    keep: str = ""
    query: str = ""
    refused: str = ""
    patient: bool = False


def get(path: str, query: str = "", keep: str = "", *, refused: str = "") -> Step:
    """Give a step that reads."""
    return Step(Verb.GET, path, query=query, keep=keep, refused=refused)


def make(path: str, body: Any, keep: str = "", *, query: str = "", refused: str = "") -> Step:
    """Give a step that makes something."""
    return Step(Verb.POST, path, body, keep=keep, query=query, refused=refused)


def change(path: str, body: Any, query: str = "", *, refused: str = "") -> Step:
    """Give a step that changes something."""
    return Step(Verb.PATCH, path, body, query=query, refused=refused)


def remove(path: str, query: str = "", *, refused: str = "") -> Step:
    """Give a step that removes something."""
    return Step(Verb.DELETE, path, query=query, refused=refused)
