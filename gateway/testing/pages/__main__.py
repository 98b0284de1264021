"""`python -m gateway.testing.pages`: opens what can be opened here, keeps the records, and writes the pages."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from gateway.server.drivers import Driver, drivers
from gateway.testing.pages.record import keep, kept, take
from gateway.testing.pages.subjects import SUBJECTS, Subject
from gateway.testing.pages.tree import files, record_of


def main(root: Path) -> None:
    """Bring every made file below `root` up to date."""
    known = drivers()
    for name, subject in SUBJECTS.items():
        _record(name, known[name], subject, record_of(root / "docs", name))
    for place, text in files(root, known).items():
        place.write_text(text)


def _record(name: str, driver: Driver, subject: Subject, place: Path) -> None:
    """Keep what can be opened here, and leave what was kept of the rest."""
    records = {title: record for title, record in kept(place).items() if title in subject.instances}
    for title, instance in subject.instances.items():
        if instance.here(root=os.geteuid() == 0):
            with tempfile.TemporaryDirectory() as folder:
                records[title] = take(name, driver, instance, Path(folder))
        else:
            sys.stderr.write(f"{name} {title}: cannot be opened here, so its kept record is used\n")
    keep(place, records)


main(Path.cwd())
