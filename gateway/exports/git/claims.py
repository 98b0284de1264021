"""Locks of files, as git-lfs has them: who works on what, per volume. Everything here blocks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec

from gateway.exports.git.lfs import Problem
from gateway.exports.process import write_atomically

_LIMIT = 100
_NUMBER = re.compile(r"[0-9]{1,9}\Z")


class Owner(msgspec.Struct, frozen=True):
    """Who has a lock: the user by whose name he logged in."""

    name: str


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One lock, in the words of git-lfs."""

    id: str
    path: str
    locked_at: datetime
    owner: Owner


class NewClaim(msgspec.Struct, frozen=True):
    """What a client asks for."""

    path: str


class Release(msgspec.Struct, frozen=True):
    """How a client gives a lock up. `force`: although it is somebody else's."""

    force: bool = False


class Page(msgspec.Struct, frozen=True):
    """Which part of a list a client wants."""

    cursor: str = ""
    limit: int = _LIMIT


class Claims:
    """The locks of one volume, in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def make(self, wanted: NewClaim, user: str) -> tuple[int, dict[str, Any]]:
        """Make a lock; give status and answer."""
        claims = self._read()
        there = next((claim for claim in claims if claim.path == wanted.path), None)
        if there is not None:
            return 409, {"lock": there, "message": "already locked"}
        made = Claim(id=str(uuid4()), path=wanted.path, locked_at=datetime.now(UTC), owner=Owner(user))
        self._write([*claims, made])
        return 201, {"lock": made}

    def found(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """List locks, all or those with a path or an id."""
        claims = [
            claim
            for claim in self._read()
            if asked.get("path", claim.path) == claim.path and asked.get("id", claim.id) == claim.id
        ]
        limit = asked.get("limit", "")
        part, following = _page(claims, Page(asked.get("cursor", ""), int(limit) if _NUMBER.match(limit) else _LIMIT))
        return {"locks": part, **following}

    def verified(self, page: Page, user: str) -> dict[str, Any]:
        """List locks, a user's and the others'."""
        part, following = _page(self._read(), page)
        ours = [claim for claim in part if claim.owner.name == user]
        return {"ours": ours, "theirs": [claim for claim in part if claim not in ours], **following}

    def release(self, key: str, wanted: Release, user: str) -> dict[str, Any]:
        """Give up a lock."""
        claims = self._read()
        there = next((claim for claim in claims if claim.id == key), None)
        if there is None:
            raise Problem(404, "no such lock")
        if there.owner.name != user and not wanted.force:
            raise Problem(403, "somebody else has it")
        self._write([claim for claim in claims if claim is not there])
        return {"lock": there}

    def _read(self) -> list[Claim]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[Claim])
        except FileNotFoundError:
            return []

    def _write(self, claims: list[Claim]) -> None:
        self._path.parent.mkdir(exist_ok=True)
        write_atomically(self._path, msgspec.json.encode(claims), durable=True)


def claims_of(folder: Path, volume: UUID) -> Claims:
    """Give the locks of a volume, below a folder."""
    return Claims(folder / f"{volume}.json")


def _page(claims: list[Claim], page: Page) -> tuple[list[Claim], dict[str, str]]:
    """Give a part of a list, and what leads to the next one."""
    start = int(page.cursor) if _NUMBER.match(page.cursor) else 0
    end = start + max(1, min(page.limit, _LIMIT))
    return claims[start:end], {"next_cursor": str(end)} if end < len(claims) else {}
