"""A live door to ask with plain HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx

from gateway.testing.live import ACCOUNT, PASSWORD, LiveGateway

VOLUMES = "/api/storage/volumes"
SNAPSHOTS = "/api/storage/volumes/{}/snapshots"
POLICIES = "/api/protocols/nfs/export-policies"
JOBS = "/api/cluster/jobs"
SVMS = "/api/svm/svms"
MISSING = "00000000-0000-4000-8000-000000000000"


class Door:
    """Requests to one gateway. `must` gives the JSON of an answer that has to be a success."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def ask(self, verb: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Send a request; a body is JSON, `bytes` are sent as they are. `_` in a header's name stands for `-`."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, bytes):
            return self.client.request(verb, path, content=body, headers=sent)
        return self.client.request(verb, path, json=body, headers=sent)

    def must(self, verb: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = self.ask(verb, path, body, **headers)
        assert answer.is_success, answer.text
        return answer.json()

    def get(self, path: str, **headers: str) -> Any:
        return self.must("GET", path, **headers)

    def names(self, query: str = "", path: str = VOLUMES) -> list[str]:
        return [record["name"] for record in self.get(f"{path}?{query}")["records"]]

    def job(self, answer: Any) -> dict[str, Any]:
        """Follow the job of an answer to its end, as clients do: the link without its `/api`."""
        href = answer["job"]["_links"]["self"]["href"]
        assert href.startswith("/api/")
        while True:
            found: dict[str, Any] = self.get(f"{href}?fields=**")
            if found["state"] in {"success", "failure"}:
                return found

    def volume(self, name: str, **fields: Any) -> str:
        """Create a volume and give its uuid."""
        body = {"name": name, "svm.name": "svm1", "aggregates": [{"name": "memory"}], **fields}
        answer = self.ask("POST", f"{VOLUMES}?return_timeout=60", body)
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"].rpartition("/")[2]

    def snapshot(self, volume: str, name: str) -> str:
        answer = self.ask("POST", f"{SNAPSHOTS.format(volume)}?return_timeout=60", {"name": name})
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"].rpartition("/")[2]

    def leave_nothing(self) -> None:
        for query in ("clone.is_flexclone=true", "name=*"):
            self.must("DELETE", f"{VOLUMES}?{query}&return_timeout=60")
        self.must("DELETE", f"{POLICIES}?name=!default")
        self.must("DELETE", f"{SVMS}?name=!svm1")


@contextlib.contextmanager
def door(gateway: LiveGateway, account: str = ACCOUNT) -> Iterator[Door]:
    with httpx.Client(
        base_url=gateway.url, auth=(account, PASSWORD), trust_env=False, verify=False, timeout=60
    ) as client:
        yield Door(client)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Give status and code of a refusal, whose body is an ONTAP error and nothing else."""
    error = answer.json()["error"]
    assert set(error) <= {"message", "code", "target", "arguments"}
    assert isinstance(error["code"], str)
    assert error["code"].isdigit()
    return answer.status_code, error["code"]
