"""The ONTAP door over a core in this process, with accounts in a file and in the catalog."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from gateway.config import Address, LimitSettings, LogSettings
from gateway.core.context import Core
from gateway.core.observer import SilentObserver
from gateway.frontends.native.door import NativeDoor
from gateway.frontends.ontap_rest.door import OntapDoor
from gateway.observe import AccessLog, FileTrail, Metrics
from gateway.server.auth import Accounts
from gateway.server.callers import AccountsAndTokens
from gateway.server.failures import Failures
from gateway.server.http import Listener
from gateway.server.own import OwnResources, beside
from gateway.server.pace import Pace
from gateway.server.passwords import hash_password
from gateway.server.tokens import Tokens
from gateway.server.watch import Ledger, Watch
from gateway.testing.cores import core_on, memory_pool

ROOT = ("root", "operator-1")
OWN = ("uma", "operator-1")
GOOD = "horse-battery-1"
DENIED, UNKNOWN, GONE = (403, "6"), (401, "6691623"), (404, "4")


class Scene:
    """A door with the file's accounts `root` (admin), `eve` (readonly) and `uma` (user)."""

    def __init__(self, core: Core, client: httpx.AsyncClient, accounts: Accounts, trail: FileTrail) -> None:
        self.core = core
        self.client = client
        self.accounts = accounts
        self.trail = trail
        self.log, self.url = bytearray(), ""

    async def call(
        self, who: tuple[str, str] | None, verb: str, path: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(verb, path, json=body, auth=who or httpx.USE_CLIENT_DEFAULT, headers=given)

    async def ask(
        self, who: tuple[str, str] | None, verb: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, str]:
        """Give the status, and the code of a refusal."""
        answer = await self.call(who, verb, path, body, **headers)
        return answer.status_code, answer.json().get("error", {}).get("code", "")

    async def get(self, path: str, who: tuple[str, str] = ROOT) -> Any:
        answer = await self.call(who, "GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def make(self, path: str, **body: Any) -> str:
        """Make something as the operator; give where it is."""
        answer = await self.call(ROOT, "POST", f"/api{path}", body)
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"]

    async def account(self, name: str, role: str = "admin", **more: Any) -> tuple[str, str]:
        """Make an account; give name and password."""
        await self.make("/security/accounts", name=name, password=GOOD, role={"name": role}, **more)
        return name, GOOD

    async def role(self, name: str, rules: dict[str, str], **more: Any) -> str:
        privileges = [{"path": path, "access": access} for path, access in rules.items()]
        return await self.make("/security/roles", name=name, privileges=privileges, **more)


def file_account(name: str, role: str) -> str:
    return f'[account.{name}]\npassword = "{hash_password(ROOT[1], n=16, r=1, p=1)}"\nrole = "{role}"\n'


@asynccontextmanager
async def security_scene(
    folder: Path,
    *,
    failures: Failures | None = None,
    pace: Pace | None = None,
    tenants: tuple[str, ...] = ("svm1", "svm2"),
    more: str = "",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Scene]:
    """Give a scene; its door is closed at the end."""
    path = folder / "accounts.toml"
    path.write_text(
        file_account("root", "admin") + file_account("eve", "readonly") + file_account("uma", "user") + more
    )
    accounts = Accounts.load(path, failures=failures)
    trail = FileTrail(folder / "audit.jsonl")
    tokens = Tokens.load({}, SilentObserver())
    callers = AccountsAndTokens(accounts, tokens, pace=pace)
    log = bytearray()
    try:
        async with core_on(folder, [memory_pool()], tenants=tenants) as core:
            trail.open()
            accounts.consult(core)
            door = OntapDoor(
                core,
                callers,
                name="unit",
                addresses=(),
                max_body_bytes=1 << 20,
                receive_timeout_s=30,
                observer=SilentObserver(),
                accounts=accounts,
                trail=trail,
            )
            await door.open()
            native = NativeDoor(core, callers, max_body_bytes=1 << 20, receive_timeout_s=30, answer_timeout_s=30)
            metrics = Metrics()
            own = OwnResources(core, metrics, callers, native)
            access = AccessLog(LogSettings(access_sample=1), log.extend)
            ledger = Ledger("ontap", metrics=metrics, access=access, trail=trail)
            handle = beside(
                Watch(ledger, own.handle, refuse=native.refuse, observer=SilentObserver()).handle,
                Watch(ledger, door.handle, refuse=door.refuse, observer=SilentObserver()).handle,
            )
            listener = Listener(handle, Address("127.0.0.1", 0), limits=LimitSettings(), refuse=door.refuse, tls=tls)
            await listener.start()
            url = f"{'https' if tls else 'http'}://{listener.address}"
            try:
                async with httpx.AsyncClient(base_url=url, verify=False, trust_env=False, timeout=60) as client:
                    scene = Scene(core, client, accounts, trail)
                    scene.log, scene.url = log, url
                    yield scene
            finally:
                await listener.stop()
    finally:
        trail.close()
        accounts.close()
        await tokens.close()
