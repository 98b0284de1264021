"""The bytes of requests."""

from __future__ import annotations

import base64
import json
from uuid import UUID

from gateway.testing.live import ACCOUNT, PASSWORD

_BASIC = base64.b64encode(f"{ACCOUNT}:{PASSWORD}".encode()).decode()
_HEAD = f"Host: localhost\r\nAuthorization: Basic {_BASIC}\r\nAccept: application/json\r\n"
SVM = "svm1"


def get(path: str) -> bytes:
    """Give a GET of a path."""
    return f"GET {path} HTTP/1.1\r\n{_HEAD}\r\n".encode()


def get_volume(volume: UUID) -> bytes:
    """Give a GET of a volume."""
    return get(f"/api/storage/volumes/{volume}")


def send(method: str, path: str, body: object) -> bytes:
    """Give a request with a JSON body."""
    content = json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\n{_HEAD}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def create_volume(name: str, *, pool: str) -> bytes:
    """Give the creation of a volume, answered when it is over."""
    body = {"name": name, "svm": {"name": SVM}, "aggregates": [{"name": pool}], "size": 1 << 30}
    return send("POST", "/api/storage/volumes?return_timeout=60", body)


def create_snapshot(volume: UUID | str, name: str) -> bytes:
    """Give the creation of a snapshot, answered when it is over."""
    return send("POST", f"/api/storage/volumes/{volume}/snapshots?return_timeout=60", {"name": name})


def clone_volume(parent: str, snapshot: str, name: str) -> bytes:
    """Give the cloning of a snapshot, answered when it is over."""
    body = {
        "name": name,
        "svm": {"name": SVM},
        "clone": {"is_flexclone": True, "parent_volume": {"name": parent}, "parent_snapshot": {"name": snapshot}},
    }
    return send("POST", "/api/storage/volumes?return_timeout=60", body)
