"""What the exporter tells its server, and where: a record for each volume, and the settings."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import msgspec

SETTINGS = "settings.json"
EXPORTS = "exports"
LOCKS = "locks"
KEY = "key"
RUN = "run"
CONTROL = "control"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that is published: the repository, the name space in it, and whether it may be written."""

    id: UUID
    repository: str
    namespace: str
    write: bool
    generation: int = 0


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the server is started with. `base`: the URL that clients are told, without a slash at its end."""

    bind: str
    port: int
    base: str
    processes: int
    certificate: str = ""
    key: str = ""


class Place(msgspec.Struct, frozen=True):
    """What of a published volume a URL leads to: the volume itself, or one of its snapshots."""

    volume: UUID
    snapshot: UUID | None = None

    @property
    def path(self) -> str:
        """Give the path of its URL."""
        return f"/{self.volume}.git" if self.snapshot is None else f"/{self.volume}/{self.snapshot}.git"


def read(folder: Path, volume: UUID) -> Record | None:
    """Give the record of a volume; None when it is not published."""
    try:
        return msgspec.json.decode((folder / EXPORTS / f"{volume}.json").read_bytes(), type=Record)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
