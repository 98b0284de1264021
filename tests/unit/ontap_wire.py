"""A cluster whose answers are scripted, on the wire below the client."""

from __future__ import annotations

from typing import Any

import httpx

from gateway.backends.ontap import OntapOptions
from gateway.core.secret import Secret

URL = "https://cluster.example"
JOB = "5f7b1f2c-0000-4000-8000-000000000001"


USUAL = {
    "url": URL,
    "user": "admin",
    "password": Secret("secret"),
    "svm": "svm1",
    "rate_per_s": 0.0,
    "patience_s": 60.0,
    "fingerprint": "0" * 64,  # to read the authorities of the system takes long
}


def options(**changes: Any) -> OntapOptions:
    return OntapOptions(**{**USUAL, **changes})


def refusal(code: str, message: str = "no", status: int = 400) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": message, "code": code}})


def records(*found: object, following: str = "") -> dict[str, object]:
    links = {"_links": {"next": {"href": following}}} if following else {}
    return {"records": list(found), "num_records": len(found), **links}


def accepted() -> httpx.Response:
    href = f"/api/cluster/jobs/{JOB}"
    return httpx.Response(202, json={"job": {"uuid": JOB, "_links": {"self": {"href": href}}}})


class Clock:
    """Time that passes only while somebody pauses."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
