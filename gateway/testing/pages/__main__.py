"""Keeps records of the pools that can be opened here, and writes the pages.

Without arguments everything, below the working directory. With `ontap` only
what tells of the ONTAP REST door. With `NAME MODULE:CLASS FOLDER` only the
record of that driver, as `FOLDER/NAME.json`: for machines that have the
substrate and little else.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib.metadata import EntryPoint
from pathlib import Path

from gateway.server.drivers import GROUP, Driver, drivers
from gateway.testing.pages import ontap
from gateway.testing.pages.record import keep, kept, take
from gateway.testing.pages.subjects import SUBJECTS
from gateway.testing.pages.tree import files, record_of


def everything(root: Path) -> None:
    """Bring every made file below `root` up to date."""
    known = drivers()
    for name in SUBJECTS:
        record(name, known[name], record_of(root / "docs", name))
    ontap.keep(root)
    for place, text in files(root, known).items():
        place.write_text(text)


def record(name: str, driver: Driver, place: Path) -> None:
    """Keep what can be opened here, and leave what was kept of the rest."""
    instances = SUBJECTS[name].instances
    records = {title: found for title, found in kept(place).items() if title in instances}
    for title, instance in instances.items():
        if instance.here(root=os.geteuid() == 0):
            with tempfile.TemporaryDirectory() as folder:
                records[title] = take(name, driver, instance, Path(folder))
        else:
            sys.stderr.write(f"{name} {title}: cannot be opened here, so its kept record is used\n")
    keep(place, records)


match sys.argv[1:]:
    case []:
        everything(Path.cwd())
    case ["ontap"]:
        ontap.keep(Path.cwd())
        (Path.cwd() / "docs" / "ontap-coverage.md").write_text(ontap.page())
    case [name, where, folder]:
        record(name, EntryPoint(name, where, GROUP).load(), Path(folder) / f"{name}.json")
    case _:
        sys.exit(__doc__)
