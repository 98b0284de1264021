"""A live door with LUNs, asked with plain HTTP."""

from __future__ import annotations

from typing import Any

from live_scene import SVMS, VOLUMES, Door

MIB = 1 << 20
LUNS = "/api/storage/luns"
IGROUPS = "/api/protocols/san/igroups"
MAPS = "/api/protocols/san/lun-maps"
SERVICES = "/api/protocols/san/iscsi/services"
CREDENTIALS = "/api/protocols/san/iscsi/credentials"
HOST = "iqn.1993-08.org.debian:01:host1"
OTHER_HOST = "eui.0123456789abcdef"
POOLS = """
[backend.memory]

[backend.blocks]
driver = "memory"
kinds = ["block"]
step = 4096

[backend.files]
driver = "memory"
kinds = ["filesystem"]
"""


class San:
    """What a test makes through the door."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.svm = door.get(f"{SVMS}?name=svm1")["records"][0]["uuid"]

    def lun(self, path: str, size: int = 64 * MIB, pool: str = "memory", **fields: Any) -> str:
        """Create a LUN, its volume first, and give its uuid."""
        self.door.volume(path.split("/")[2], aggregates=[{"name": pool}])
        return self.fill(path, size, **fields)

    def fill(self, path: str, size: int = 64 * MIB, **fields: Any) -> str:
        body = {"name": path, "svm.name": "svm1", "os_type": "linux", "space.size": size, **fields}
        answer = self.door.ask("POST", f"{LUNS}?return_timeout=60", body)
        assert answer.status_code == 202, answer.text
        return answer.headers["Location"].rpartition("/")[2]

    def group(self, name: str, *hosts: str, **fields: Any) -> str:
        body = {"name": name, "svm.name": "svm1", "os_type": "linux", **fields}
        if hosts:
            body["initiators"] = [{"name": host} for host in hosts]
        answer = self.door.ask("POST", IGROUPS, body)
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"].rpartition("/")[2]

    def map(self, lun: str, group: str, **fields: Any) -> Any:
        body = {"svm.name": "svm1", "lun.uuid": lun, "igroup.uuid": group, **fields}
        return self.door.must("POST", f"{MAPS}?return_records=true", body)["records"][0]

    def service(self, **fields: Any) -> None:
        self.door.must("POST", SERVICES, {"svm.name": "svm1", **fields})

    def leave_nothing(self) -> None:
        self.door.must("DELETE", f"{IGROUPS}?name=*&allow_delete_while_mapped=true")
        self.door.must("DELETE", f"{CREDENTIALS}?initiator=!default")
        self.door.must("PATCH", f"{SERVICES}?enabled=true", {"enabled": False})
        self.door.must("DELETE", f"{SERVICES}?enabled=false")
        self.door.leave_nothing()


def everything(door: Door) -> dict[str, Any]:
    """Give all that a refusal must leave as it is."""
    paths = (VOLUMES, LUNS, IGROUPS, MAPS, SERVICES, CREDENTIALS, SVMS)
    return {path: door.get(f"{path}?fields=**")["records"] for path in paths}
