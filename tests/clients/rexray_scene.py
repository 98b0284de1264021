"""Machines with the stock REX-Ray client on them, each in namespaces of its own."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

LIMIT_S = 60
HOME = Path(pwd.getpwuid(0).pw_dir)
"""Where the client keeps its known hosts: the home of the user database, whatever HOME says."""

STAND_IN = """\
#!/bin/sh
# For the NFS client that kernels of containers lack: it is written down what is asked for, and something is mounted
# in its name, so that the table of mounts has it.
echo "$@" >> "$REXRAY_HOME/mounted"
case "$1" in
    *:/*) exec /bin/mount -t tmpfs "$1" "$2" ;;
    *) exec /bin/mount "$@" ;;
esac
"""

BOOT = """\
hostname "$NAME"
touch "$REXRAY_HOME/rexray"
/bin/mount --bind "$PROGRAM" "$REXRAY_HOME/rexray"
/bin/mount -t tmpfs home "$USER_HOME"
if [ -n "$ADDRESS" ]; then
    ip link set lo up
    ip address add "$ADDRESS/32" dev lo
fi
echo up
exec cat
"""


class Host:
    """A machine, for a `with` block: its name, its mounts and its user's home go when it does.

    `settings` are the client's. `address`: it has no network but this one, and reaches UNIX sockets only.
    """

    def __init__(self, program: Path, folder: Path, name: str, *, address: str = "", **settings: Any) -> None:
        self.folder = folder
        self.name = name
        self._isolated = ["--net"] if address else []
        self.known_hosts = HOME / ".rexray/known_hosts"
        (folder / "bin").mkdir(parents=True)
        stand_in = folder / "bin/mount"
        stand_in.write_text(STAND_IN)
        stand_in.chmod(0o755)
        self._environment = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "REXRAY_HOME": str(folder),
            "PROGRAM": str(program),
            "NAME": name,
            "ADDRESS": address,
            "USER_HOME": str(HOME),
        }
        self.configure(**settings)

    def configure(self, **settings: Any) -> None:
        """Give the client other settings."""
        (self.folder / "config.yml").write_text(json.dumps({"libstorage": settings}))

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--uts", *self._isolated, "--propagation", "private", "sh", "-e", "-c", BOOT],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"up\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=LIMIT_S)

    def run(self, *command: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program on it."""
        inside = ["nsenter", "--target", str(self._process.pid), "--mount", "--uts", "--net", *command]
        return subprocess.run(
            inside,
            env=self._environment,
            input=answer,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )

    def try_rexray(self, *words: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        """Run the client."""
        config = str(self.folder / "config.yml")
        return self.run(str(self.folder / "rexray"), *words, "--config", config, answer=answer)

    def rexray(self, *words: str) -> str:
        done = self.try_rexray(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def told(self, *words: str) -> Any:
        """Give what the client prints as JSON."""
        return json.loads(self.rexray(*words, "--format", "json"))

    def listed(self, *words: str) -> dict[str, Any]:
        """Give the volumes that the client lists, by their names."""
        return {each["name"]: each for each in self.told("volume", "ls", *words)}

    def fails(self, *words: str) -> str:
        """Run the client, which has to fail; give all that it says."""
        done = self.try_rexray(*words)
        assert done.returncode != 0, done.stdout
        return done.stdout + done.stderr

    def mounted(self) -> dict[str, str]:
        """Give the sources of what is mounted on it by their mount points."""
        table = self.run("cat", "/proc/self/mountinfo").stdout.splitlines()
        return {line.split(" ")[4]: line.partition(" - ")[2].split(" ")[1] for line in table}

    def asked_to_mount(self) -> Sequence[str]:
        """Give what the client wanted mounted so far."""
        written = self.folder / "mounted"
        return written.read_text().splitlines() if written.exists() else []
