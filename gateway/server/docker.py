"""The Docker volume plugin on its socket and its address, and the file by which Docker finds the latter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path

import msgspec

from gateway.config import Address, ConfigError, Settings
from gateway.exports.mounts import MountsOptions
from gateway.frontends.docker.door import DockerDoor
from gateway.frontends.docker.mounting import settle
from gateway.frontends.docker.settings import DockerOptions
from gateway.frontends.docker.site import Site
from gateway.server.assembly import House
from gateway.server.duties import Duty, cancel, perform
from gateway.server.reach import Reach
from gateway.server.surroundings import Surroundings

NAME = "docker"
SETTLE_S = 60.0

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a listener on every address is called from here


def boot_id() -> str:
    """Give the id of the kernel's present run, as hexadecimal digits."""
    return _BOOT_ID.read_text(encoding="ascii").strip().replace("-", "")


@asynccontextmanager
async def docker(settings: Settings, house: House, shared: Surroundings, *, boot: str) -> AsyncIterator[dict[str, str]]:
    """Open the door that `[frontend.docker]` asks for; give its addresses by name, none without that table.

    What containers of an earlier boot left is settled before. `boot`: see
    `boot_id`. ConfigError as `docker_options` says; OSError when an address cannot be
    had.
    """
    options = docker_options(settings)
    if options is None:
        yield {}
        return
    site = _site(settings, options, house, boot=boot)
    await settle(house.core, site, shared.observer)
    door = DockerDoor(
        house.core,
        site,
        max_body_bytes=settings.limits.max_body_bytes,
        receive_timeout_s=settings.limits.receive_timeout_s,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(door.close)
        opened: dict[str, str] = {}
        if options.socket:
            opened[NAME] = await shared.listen(stack, NAME, door, Path(options.socket), tls=False)
        if options.listen:
            at = Address.parse(options.listen)
            opened[f"{NAME}-tcp"] = url = await shared.listen(stack, NAME, door, at, tls=options.tls)
            if options.discovery is not None:
                address = Address.parse(url.partition("://")[2])
                stack.enter_context(_discovered(settings, options, options.discovery, address))
        duty = Duty(name="docker_users", every_s=SETTLE_S, act=partial(settle, house.core, site, shared.observer))
        task = asyncio.create_task(perform(duty, house, shared.observer), name=duty.name)
        stack.push_async_callback(cancel, [task])
        yield opened


def docker_options(settings: Settings) -> DockerOptions | None:
    """Give the options of the door, None without that table; ConfigError for those that cannot be used.

    Volumes have to be mounted where `[export.mounts]` allows it, and others than
    this machine may come in over TLS only, and with a certificate unless `anonymous`.
    """
    options = settings.frontend.get(NAME)
    if not isinstance(options, DockerOptions):
        return None
    folder = _mounts(settings, options)
    allowed = _allowed(settings)
    if ".." in folder.parts or not any(folder.is_relative_to(path) for path in allowed):
        named = ", ".join(map(str, allowed))
        raise _wrong("mounts", f"{folder} is not below a path where this gateway may mount ({named})")
    if not options.socket and not options.listen:
        raise _wrong("listen", "there is no socket either, so nobody could come in")
    if options.discovery is not None and not options.listen:
        raise _wrong("discovery", "is for an address: Docker finds a socket by where it lies")
    reach = Reach(
        door=NAME,
        tls=options.tls,
        anonymous=options.anonymous,
        secured=options.tls and settings.tls.client_ca is not None,
        how="no tls.client_ca says who may come in: configure one",
    )
    if options.listen:
        reach.address("listen", options.listen)
    return options


def _wrong(key: str, reason: str) -> ConfigError:
    return ConfigError("configuration", reason, path=("frontend", NAME, key))


def _allowed(settings: Settings) -> tuple[Path, ...]:
    mounts = settings.export.get("mounts")
    if not isinstance(mounts, MountsOptions):
        raise _wrong("mounts", "there is no [export.mounts], which says where volumes may be mounted")
    return mounts.paths


def _mounts(settings: Settings, options: DockerOptions) -> Path:
    return _allowed(settings)[0] if options.mounts is None else options.mounts


def _site(settings: Settings, options: DockerOptions, house: House, *, boot: str) -> Site:
    mounting = house.core.publisher.mounting
    # `docker_options` saw the exporter's options.
    assert mounting is not None  # noqa: S101
    return Site(
        options=options,
        tenants=options.tenants or settings.tenants[:1],
        mounts=_mounts(settings, options),
        node=mounting.node,
        boot=boot,
    )


@contextmanager
def _discovered(settings: Settings, options: DockerOptions, folder: Path, address: Address) -> Iterator[None]:
    """Have Docker find the plugin for a `with` block; a file that somebody else wrote meanwhile stays."""
    text, suffix = _discovery(settings, options, address)
    path = folder / f"{options.name}{suffix}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    # One that a gateway left when it was killed would be found first, or could not be used.
    for other in (".spec", ".json"):
        path.with_name(f"{options.name}{other}").unlink(missing_ok=True)
    fresh = path.with_name(f".{options.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o644)
    fresh.replace(path)
    try:
        yield
    finally:
        with suppress(OSError, ValueError):
            if path.read_text(encoding="utf-8") == text:
                path.unlink()


def _discovery(settings: Settings, options: DockerOptions, address: Address) -> tuple[str, str]:
    """Give what the file says and how its name ends."""
    here = Address(_HERE.get(address.host, address.host), address.port)
    if not options.tls:
        return f"tcp://{here}\n", ".spec"
    told = {
        "Name": options.name,
        "Addr": f"https://{here}",
        "TLSConfig": {
            "InsecureSkipVerify": False,
            # A certificate that is its own authority, or the chain to one.
            "CAFile": str(settings.tls.certificate.absolute()),
            "CertFile": _absolute(options.client_certificate),
            "KeyFile": _absolute(options.client_key),
        },
    }
    return msgspec.json.format(msgspec.json.encode(told)).decode(), ".json"


def _absolute(path: Path | None) -> str:
    return "" if path is None else str(path.absolute())
