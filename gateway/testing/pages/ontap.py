"""The coverage page of the ONTAP door, and the record of what its answers show."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from gateway.frontends.ontap_rest.coverage import Coverage, braced, coverage, summary
from gateway.frontends.ontap_rest.shape import SHOWN
from gateway.testing.ontap.codes import UNPROVOKED, said, unsaid
from gateway.testing.ontap.steps import STEPS
from gateway.testing.ontap.walk import Walk, walked
from gateway.testing.pages.page import rows

_PLACE = Path("gateway/frontends/ontap_rest", SHOWN)
_HEAD = """<!-- Made by `make docs`. -->

# What the ONTAP REST door serves

A line per verb of every resource, with numbers of documented fields; below are their names, in the grammar
of `fields`. `gateway check --coverage` prints the same for the release that a configuration picks.

* **served**: shown in answers, or carried out by a body
* **confirmed**: taken in a body when they say what is so anyway, else refused
* **refused**: documented, without a counterpart here; answers never show them, and in queries they are `null`
* **unknown**: of a later release than the one that is reported
"""


def page() -> str:
    """Give the page."""
    lines = coverage()
    table = rows(
        ["path", "verb", "served", "confirmed", "refused", "unknown"],
        [[f"`{path}`", *rest] for path, *rest in summary(lines)],
    )
    return "\n".join([_HEAD, table, *_names(lines), *_codes()])


def _codes() -> Iterator[str]:
    missing = unsaid()
    total = sum(map(len, missing.values()))
    yield "## Error codes\n"
    yield f"The door answers {len(said())} codes. {total} that documents and clients know are not among them:\n"
    yield rows(["because", "codes"], [[why, ", ".join(codes)] for why, codes in missing.items()])
    yield "Tests ask for every code that it answers, but for these:\n"
    yield rows(["code", "because"], list(UNPROVOKED.items())).rstrip()
    yield ""


def keep(root: Path) -> None:
    """Write down what a walk through the door shows, below `root`."""
    with tempfile.TemporaryDirectory() as folder:
        (root / _PLACE).write_text(record(walked(Path(folder), STEPS)))


def record(walk: Walk) -> str:
    """Give the record of what a walk showed."""
    shown = {name: sorted(walk.shown[name]) for name in sorted(walk.resources)}
    return msgspec.json.format(msgspec.json.encode(shown), indent=1).decode() + "\n"


def _names(lines: Sequence[Coverage]) -> Iterator[str]:
    path = ""
    for line in lines:
        if line.path != path:
            path = line.path
            yield f"## `{path}`\n"
        for word in ("served", "confirmed", "refused", "unknown") if line.offered else ():
            names = braced(getattr(line, word))
            if names:
                yield f"{line.verb}, {word}: {', '.join(f'`{name}`' for name in names)}\n"
