from __future__ import annotations

import re
import subprocess
from pathlib import Path

import structlog

from gateway.core.errors import InvalidArgument, Timeout, Unavailable

log = structlog.get_logger(__name__)

SERVICE = "org.ganesha.nfsd"
OBJECT = "/org/ganesha/nfsd/ExportMgr"
INTERFACE = "org.ganesha.nfsd.exportmgr"
REPLY_LIMIT_S = 20

# only the owner of the socket's directory (mode 0700) reaches the bus, so the policy may be open
CONFIGURATION = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"""

_EXPORT = re.compile(r'uint16 (\d+)\s+string "([^\n]*)"')
_ERROR = re.compile(r"Error ([\w.]+): ?(.*)", re.DOTALL)


class Refused(Exception):  # noqa: N818
    """The server answered, and declined. Never leaves this package."""


class Bus:
    """Calls of ganesha's export interface. Every call starts one short program; use it from a worker thread."""

    def __init__(self, address: str) -> None:
        self._address = address

    def _call(self, method: str, *args: str, limit_s: int = REPLY_LIMIT_S) -> str:
        argv = (
            "dbus-send",
            f"--bus={self._address}",
            "--print-reply",
            f"--reply-timeout={limit_s * 1000}",
            f"--dest={SERVICE}",
            OBJECT,
            f"{INTERFACE}.{method}",
            *args,
        )
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=limit_s + 5, check=False)
        except subprocess.TimeoutExpired as error:
            raise Timeout(what="nfs", after=limit_s) from error
        except OSError as error:
            raise Unavailable(what="nfs", reason="dbus-send cannot be run") from error
        if done.returncode == 0:
            return done.stdout
        found = _ERROR.search(done.stderr)
        name = found[1].rpartition(".")[2] if found else ""
        if name in ("NoReply", "Timeout", "TimedOut"):
            raise Timeout(what="nfs", after=limit_s)
        if found is None or name in ("ServiceUnknown", "NameHasNoOwner", "Disconnected", "NoServer"):
            raise Unavailable(what="nfs", reason="the export server does not answer")
        raise Refused(found[2].strip())

    def exports(self, *, limit_s: int = REPLY_LIMIT_S) -> dict[int, str]:
        """Give the active exports: number to local path. The pseudo root (number 0) is left out."""
        try:
            text = self._call("ShowExports", limit_s=limit_s)
        except Refused as refused:
            raise Unavailable(what="nfs", reason="the export server gave no list") from refused
        return {int(number): path for number, path in _EXPORT.findall(text) if number != "0"}

    def _apply(self, method: str, number: int, stanza: Path) -> None:
        """Apply the stanza in the file. Idempotent only as far as the server is."""
        try:
            text = self._call(method, f"string:{stanza}", f"string:EXPORT(Export_Id={number})")
        except Refused as refused:
            log.warning("nfs export refused", method=method, number=number, detail=str(refused))
            raise Unavailable(what="nfs", reason="the export server refused the export") from refused
        if "Errors found" in text:
            # it took the export but left out what it could not read: fewer rules than asked for
            log.warning("nfs export incomplete", method=method, number=number, detail=text.strip())
            self.remove(number)
            raise InvalidArgument(field="rules", reason="the export server does not understand a rule")

    def add(self, number: int, stanza: Path) -> None:
        """Make an export live."""
        self._apply("AddExport", number, stanza)

    def update(self, number: int, stanza: Path) -> None:
        """Change the rules of a live export."""
        self._apply("UpdateExport", number, stanza)

    def remove(self, number: int) -> None:
        """End an export. Unknown number: succeeds."""
        try:
            self._call("RemoveExport", f"uint16:{number}")
        except Refused as refused:
            if "not found" not in str(refused):
                log.warning("nfs export not removed", number=number, detail=str(refused))
                raise Unavailable(what="nfs", reason="the export server kept the export") from refused
