"""Every file of the documentation that is made, wholly or between two marks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.core.capability import Capability
from gateway.server.drivers import Driver
from gateway.testing.pages import ontap
from gateway.testing.pages.calls import calls
from gateway.testing.pages.page import columns, notes_of, page, rows
from gateway.testing.pages.record import Record, kept
from gateway.testing.pages.resources import resources
from gateway.testing.pages.subjects import SUBJECTS
from gateway.testing.pages.words import first_sentence

BEGIN, END = "<!-- begin: made by `make docs` -->\n", "<!-- end: made by `make docs` -->\n"

_ROWS: Mapping[str, str] = {
    "resize": "resize",
    "shrink": "resize to less",
    "quota": "size is enforced",
    "thick": "space can be reserved",
    "permissions": "owner and mode",
    "snapshot": "snapshot",
    "crash_consistent": "snapshot is one instant",
    "snapshot_group": "snapshot of several volumes at one instant",
    "restore": "restore in place",
    "restore_keeps_newer": "restore keeps newer snapshots",
    "clone": "clone",
    "split": "split a clone",
    "replicate": "send and receive",
    "convert": "becomes a block volume while empty",
    "files": "single files are listed, renamed, deleted",
    "clone_file": "single files are cloned",
}
"""What the matrix shows of a capability record, in its words."""


def files(root: Path, drivers: Mapping[str, Driver]) -> dict[Path, str]:
    """Give the text of each file as it should be. ValueError when drivers, entries and records do not go together."""
    from gateway.testing.pages.openstack import tables  # noqa: PLC0415 - the machine of `make docs-zfs` has no oslo.config

    if missing := drivers.keys() ^ SUBJECTS.keys():
        raise ValueError(f"either no driver or no entry in SUBJECTS: {', '.join(sorted(missing))}")
    docs = root / "docs"
    records = {name: _records(docs, name) for name in SUBJECTS}
    made: dict[Path, str] = {}
    for name, subject in SUBJECTS.items():
        place = page_of(docs, name)
        notes = notes_of(place.read_text()) if place.exists() else ""
        made[place] = page(name, drivers[name], subject, records[name], notes=notes)
    made[docs / "backends.md"] = _between(docs / "backends.md", _index(drivers))
    made[docs / "native.md"] = _between(docs / "native.md", resources())
    made[docs / "ontap-coverage.md"] = ontap.page()
    made[docs / "openstorage.md"] = _between(docs / "openstorage.md", calls())
    made[docs / "openstack.md"] = _between(docs / "openstack.md", tables(records))
    made[root / "README.md"] = _between(root / "README.md", _matrix(records))
    return made


def page_of(docs: Path, driver: str) -> Path:
    """Give where a driver's page is."""
    return docs / "backends" / f"{driver}.md"


def record_of(docs: Path, driver: str) -> Path:
    """Give where a driver's records are kept."""
    return docs / "backends" / f"{driver}.json"


def _records(docs: Path, name: str) -> dict[str, Record]:
    found = kept(record_of(docs, name))
    wanted = SUBJECTS[name].instances
    if missing := wanted.keys() - found.keys():
        raise ValueError(f"no record of {name} {', '.join(sorted(missing))}: run `make docs` where it can be opened")
    return {title: found[title] for title in wanted}


def _between(path: Path, text: str) -> str:
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} has no place for what is made: it stands between {BEGIN.strip()} and {END.strip()}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def _index(drivers: Mapping[str, Driver]) -> str:
    return rows(
        ["driver", ""], [[f"[`{name}`](backends/{name}.md)", first_sentence(drivers[name])] for name in SUBJECTS]
    )


def _matrix(records: Mapping[str, Mapping[str, Record]]) -> str:
    able = dict(_columns(records))
    volatile = {name: any(record.volatile for record in found.values()) for name, found in records.items()}
    lasts = [_yes(on=not volatile[each.pool]) for each in able.values()]
    return rows(
        ["", *able],
        [
            *([words, *(_yes(on=each.can(name)) for each in able.values())] for name, words in _ROWS.items()),
            ["content survives a restart", *lasts],
        ],
    )


def _columns(records: Mapping[str, Mapping[str, Record]]) -> Iterator[tuple[str, Capability]]:
    for name, found in records.items():
        for title, able in columns(found).items():
            yield f"[`{name}`](docs/backends/{name}.md)<br>{title.replace(', ', '<br>')}", able


def _yes(*, on: bool) -> str:
    return "yes" if on else "-"
