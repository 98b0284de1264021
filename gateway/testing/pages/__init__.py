"""The pages about pools, made from what drivers say of themselves and what opened pools turn out to be.

Two steps, both done by `make docs`. An instance of every driver that can be
opened here (see `subjects`) is opened, and its capability record is kept as
`docs/backends/<driver>.json`. Pages, index and matrix are rendered from those
records, docstrings, options and needs, which takes no substrate and no root.

To add a driver: one entry in `subjects.SUBJECTS`, then `make docs`.
"""

from __future__ import annotations

from gateway.testing.pages.record import Record, keep, kept, take
from gateway.testing.pages.subjects import SUBJECTS, Instance, Subject
from gateway.testing.pages.tree import files, page_of, record_of

__all__ = ["SUBJECTS", "Instance", "Record", "Subject", "files", "keep", "kept", "page_of", "record_of", "take"]
