"""A systemd unit that grants a configured gateway just what its pools and exports need."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gateway.config import Address, Settings
from gateway.core.needs import Need, NeedKind, listening
from gateway.server.drivers import needs_of

USER = "gateway"
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
_MOUNTS = "CAP_SYS_ADMIN"
_PLAIN = re.compile(r"[^\s\"'\\;]+")
_PLACES = (NeedKind.WRITABLE, NeedKind.MOUNT)

_HARDENING: Mapping[str, str] = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "ProtectClock": "yes",
    "ProtectHostname": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectControlGroups": "yes",
    "ProtectProc": "invisible",
    "LockPersonality": "yes",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "SystemCallArchitectures": "native",
    "LimitNOFILE": "1048576",
    "UMask": "0077",
}
"""What every gateway can do without."""

_LOOSENED: Mapping[str, Mapping[str, str]] = {
    # Mounts that the gateway makes have to be seen by the export servers and by whoever mounts locally.
    _MOUNTS: {"PrivateTmp": "no", "ProtectKernelTunables": "no"},
}
"""Kernel capability -> what of the hardening gets in the way of using it."""

_NAMESPACING = frozenset(
    {
        "PrivateTmp",
        "ProtectControlGroups",
        "ProtectHome",
        "ProtectHostname",
        "ProtectKernelLogs",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "ProtectProc",
        "ProtectSystem",
    }
)
"""What gives a service a mount name space of its own, from which no mount gets out to the host (systemd.exec(5))."""

_FAMILIES: Mapping[str, str] = {"/dev/loop-control": "block-loop", "/dev/zfs": "block-zvol"}
"""Device node -> the devices that it makes, which systemd would keep from us for naming just the node."""


def unit(settings: Settings, configs: Sequence[Path], *, program: str) -> str:
    """Give the text of a unit for `gateway serve` with these configuration files, run by the user `gateway`."""
    needs = [need for needs in needs_of(settings).values() for need in needs] + [*listening(settings.address.port)]
    if settings.peer.listen:
        needs += listening(Address.parse(settings.peer.listen).port)
    return "\n".join([*_head(), *_service(settings, needs, configs, program), *_tail()])


def _head() -> Iterator[str]:
    yield "# Made by `gateway unit` from the configuration: make it anew when pools or exports change."
    yield f"# The user has to exist: useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin {USER}"
    yield "[Unit]"
    yield "Description=Volume gateway"
    yield "Wants=network-online.target"
    yield "After=network-online.target local-fs.target zfs.target"
    yield ""


def _service(settings: Settings, needs: Sequence[Need], configs: Sequence[Path], program: str) -> Iterator[str]:
    arguments = [argument for config in configs for argument in ("--config", str(config.absolute()))]
    yield "[Service]"
    # A dollar begins a variable in commands only.
    yield f"ExecStart={' '.join(_word(word).replace('$', '$$') for word in [program, 'serve', *arguments])}"
    yield "ExecReload=kill -HUP $MAINPID"
    yield "Restart=on-failure"
    yield f"User={USER}"
    yield f"Group={USER}"
    # Export servers serve on while the gateway restarts, and are adopted.
    yield "KillMode=process"
    capabilities = sorted({need.name for need in _of(needs, NeedKind.CAPABILITY)})
    held = " ".join(capabilities)
    yield f"CapabilityBoundingSet={held}"
    yield f"AmbientCapabilities={held}"
    hardening = _hardening(capabilities, program)
    on_host = bool(_of(needs, NeedKind.SHARED))
    if on_host:
        yield "# Others on this host use what the gateway mounts: nothing may give it a mount name space of its own."
        hardening = {name: value for name, value in hardening.items() if name not in _NAMESPACING}
    for name, value in hardening.items():
        yield f"{name}={value}"
    for node in dict.fromkeys(need.name for need in _of(needs, NeedKind.DEVICE)):
        yield from (f"DeviceAllow={name} rw" for name in (node, _FAMILIES.get(node)) if name is not None)
    own = (settings.data_dir.absolute(), settings.catalog_file.absolute().parent)
    writable = [*map(str, own), *(need.name for kind in _PLACES for need in _of(needs, kind))]
    for path in () if on_host else dict.fromkeys(writable):
        yield f"ReadWritePaths={_word(path)}"
    yield from dict.fromkeys(f"# {need.name}: {need.why}" for need in _of(needs, NeedKind.CAPABILITY))
    yield ""


def _tail() -> Iterator[str]:
    yield "[Install]"
    yield "WantedBy=multi-user.target"
    yield ""


def _hardening(capabilities: Sequence[str], program: str) -> dict[str, str]:
    values = dict(_HARDENING)
    if any(Path(program).is_relative_to(home) for home in _HOMES):
        values["ProtectHome"] = "read-only"
    for name in capabilities:
        values |= _LOOSENED.get(name, {})
    return values


def _word(text: str) -> str:
    """Give a text as systemd reads it as one word."""
    escaped = text.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    return escaped if _PLAIN.fullmatch(text) else f'"{escaped}"'


def _of(needs: Sequence[Need], kind: NeedKind) -> list[Need]:
    return [need for need in needs if need.kind is kind]
