"""An iSCSI initiator: the tools of libiscsi, qemu's block layer on the same library, and the library itself."""

from __future__ import annotations

import ctypes
import ctypes.util
import re
import subprocess
from typing import Any

from exporter_scene import run

_NORMAL_SESSION = 2


class Initiator:
    """One initiator and the portal it knows. `login` is a user and a password."""

    def __init__(self, name: str, port: int, login: tuple[str, str] | None = None) -> None:
        self.name = name
        self._portal = f"127.0.0.1:{port}"
        self._login = login

    def image(self, target: str, lun: int) -> list[str]:
        """Give what qemu's tools want to know of a unit."""
        options = f"driver=iscsi,transport=tcp,portal={self._portal},target={target},lun={lun}"
        options += f",initiator-name={self.name}"
        if self._login is None:
            return ["--image-opts", options]
        user, password = (text.replace(",", ",,") for text in self._login)
        secret = f"secret,id=password,data={password}"
        return ["--object", secret, "--image-opts", f"{options},user={user},password-secret=password"]

    def io(self, target: str, lun: int, *commands: str) -> subprocess.CompletedProcess[str]:
        told = [word for command in commands for word in ("-c", command)]
        return run("qemu-io", *self.image(target, lun), *told)

    def tool(self, name: str, target: str, lun: int, *more: str) -> subprocess.CompletedProcess[str]:
        return run(name, "-i", self.name, *more, f"iscsi://{self._user()}{self._portal}/{target}/{lun}")

    def size(self, target: str, lun: int) -> int:
        done = self.tool("iscsi-readcapacity16", target, lun)
        found = re.search(r"Total size:(\d+)", done.stdout)
        assert found is not None, done.stdout + done.stderr
        return int(found[1])

    def reaches(self, target: str, lun: int) -> bool:
        return self.tool("iscsi-readcapacity16", target, lun).returncode == 0

    def sees(self) -> dict[str, list[int]]:
        """Give the targets that are shown to the initiator, and the units that are disks."""
        done = run("iscsi-ls", "-i", self.name, "-s", f"iscsi://{self._user()}{self._portal}")
        found: dict[str, list[int]] = {}
        for line in done.stdout.splitlines():
            if target := re.match(r"Target:(\S+)", line):
                units = found.setdefault(target[1], [])
            elif (unit := re.match(r"Lun:(\d+)\s+Type:DIRECT_ACCESS", line)) is not None:
                units.append(int(unit[1]))
        return found

    def proves(self, target: str, lun: int, *, own: tuple[str, str]) -> bool:
        """Tell whether it can log in while it wants the target to prove itself with `own`."""
        library = _library()
        context = library.iscsi_create_context(self.name.encode())
        try:
            assert self._login is not None
            library.iscsi_set_targetname(context, target.encode())
            library.iscsi_set_session_type(context, _NORMAL_SESSION)
            library.iscsi_set_initiator_username_pwd(context, *(text.encode() for text in self._login))
            library.iscsi_set_target_username_pwd(context, *(text.encode() for text in own))
            return library.iscsi_full_connect_sync(context, self._portal.encode(), lun) == 0
        finally:
            library.iscsi_destroy_context(context)

    def _user(self) -> str:
        return f"{self._login[0]}%{self._login[1]}@" if self._login else ""


def _library() -> Any:
    name = ctypes.util.find_library("iscsi")
    assert name is not None, "the package libiscsi-bin brings it"
    library = ctypes.CDLL(name)
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    library.iscsi_create_context.restype = pointer
    for function, arguments in {
        "iscsi_create_context": (text,),
        "iscsi_set_targetname": (pointer, text),
        "iscsi_set_session_type": (pointer, ctypes.c_int),
        "iscsi_set_initiator_username_pwd": (pointer, text, text),
        "iscsi_set_target_username_pwd": (pointer, text, text),
        "iscsi_full_connect_sync": (pointer, text, ctypes.c_int),
        "iscsi_destroy_context": (pointer,),
    }.items():
        getattr(library, function).argtypes = arguments
    return library
