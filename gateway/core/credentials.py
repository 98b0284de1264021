"""Use cases of credentials: accounts at object stores, where copies of volumes can be kept.

Secret keys go into the catalog's settings and nowhere else: not into a
document, a job, a log line or a pool's manifest. A rebuilt catalog therefore
has credentials without keys; no store takes them until the keys are set again.

A credential that its store does not take is not kept.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import msgspec

from gateway.core import documents, errors
from gateway.core.backend import SignBackend, SnapshotBackend, VolumeBackend
from gateway.core.context import Core
from gateway.core.model import Document, utc_now
from gateway.core.mover import PlaceBackend
from gateway.core.ownership import Access, Ownership, changed, may, owned
from gateway.core.secret import AccessKeys, Secret
from gateway.core.volumes import check_name, check_rights, check_text

KIND = "credential"
"""The kind of documents that hold them, named by their ids."""

_TEXT_MAX = 1024
_SCHEMES = ("http", "https")


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """How a store is reached and who it is asked as. `endpoint`: its host, or its URL.

    plain: without TLS, where the endpoint is no URL.
    virtual: the bucket is in the host of a URL, not in its path.
    machine: it is this machine's own account; there are no keys then.
    bucket: all that the credential is for; empty: any bucket of the account.
    storage_class, encryption: what the store is to do with objects, in its own words.
    """

    endpoint: str
    region: str
    access_key: str = ""
    plain: bool = False
    virtual: bool = False
    machine: bool = False
    bucket: str = ""
    storage_class: str = ""
    encryption: str = ""

    @property
    def url(self) -> str:
        """The store's URL."""
        scheme = "" if "://" in self.endpoint else "http://" if self.plain else "https://"
        return f"{scheme}{self.endpoint}".rstrip("/")

    @property
    def place(self) -> str:
        """The bucket's URL: accounts with the same one reach the same objects."""
        return f"{self.url}/{self.bucket}"


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A named account. `secret_id` names the setting that holds its secret key."""

    id: UUID
    name: str
    created: datetime
    account: Account
    secret_id: UUID | None = None
    ownership: Ownership | None = None


class ObjectStores(Protocol):
    """Reaches stores that are no pools of this gateway."""

    async def check(self, account: Account, keys: AccessKeys | None) -> None:
        """Log in at a store, and see the account's bucket, or any. Nothing is written.

        No keys: the machine's own account. Unavailable with the reason, Busy or Timeout when it fails.
        """

    def vault(self, account: Account, keys: AccessKeys | None, prefix: str) -> AbstractAsyncContextManager[Vault]:
        """Open what is kept below a prefix of the account's bucket, for a block; Unavailable with the reason."""


class Vault(VolumeBackend, SnapshotBackend, PlaceBackend, SignBackend, Protocol):
    """A pool of objects outside of this gateway's own pools, in which copies of volumes are volumes."""


async def create(
    core: Core, name: str, account: Account, *, secret: Secret | None, ownership: Ownership | None = None
) -> Credential:
    """Keep a credential, which is its maker's. PermissionDenied when the store does not take it."""
    check_name("name", name)
    check_rights(ownership)
    _check(core, account, secret)
    await _prove(core, account, secret)
    credential = Credential(
        id=uuid4(),
        name=name,
        created=utc_now(),
        account=account,
        secret_id=await _keep(core, secret),
        ownership=owned(core.caller, ownership),
    )
    try:
        await documents.create(core, KIND, str(credential.id), _body(credential))
    except errors.GatewayError:
        await _forget(core, credential)
        raise
    return credential


async def update(
    core: Core,
    credential: Credential,
    *,
    name: str,
    account: Account,
    secret: Secret | None = None,
    ownership: Ownership | None = None,
) -> None:
    """Change a credential; secret and ownership stay where they are None.

    PermissionDenied when the store does not take what it would be, or without the right to administer it.
    """
    check_name("name", name)
    check_rights(ownership)
    async with core.changes.locks.holding(credential.id):
        document, before = await _document(core, credential.id)
        _permit(core, before, Access.ADMIN, action="update")
        known = secret or (None if account.machine else await _secret(core, before))
        _check(core, account, known)
        await _prove(core, account, known)
        rights = before.ownership if ownership is None else changed(core.caller, before.ownership, ownership)
        after = msgspec.structs.replace(before, name=name, account=account, ownership=rights)
        if secret is not None or account.machine:
            after = msgspec.structs.replace(after, secret_id=await _keep(core, secret))
        try:
            await documents.replace(core, document, _body(after))
        except errors.GatewayError:
            await _forget(core, after, but=before)
            raise
        await _forget(core, before, but=after)


async def get(core: Core, ref: str) -> Credential:
    """Give the credential of an id or a name that the caller may read.

    NotFound; InvalidArgument when several have the name; PermissionDenied.
    """
    found = [each for each in await _all(core) if ref in {str(each.id), each.name}]
    exact = next((each for each in found if str(each.id) == ref), None)
    if not found:
        raise errors.NotFound(kind="Credential", ref=ref[:64])
    if exact is None and len(found) > 1:
        raise errors.InvalidArgument(field="credential_id", value=ref[:64], reason="is the name of several")
    credential = exact or found[0]
    _permit(core, credential, Access.READ, action="use")
    return credential


async def readable(core: Core) -> list[Credential]:
    """Give the credentials that the caller may read, the oldest first."""
    found = [each for each in await _all(core) if may(core.caller, each.ownership, Access.READ)]
    return sorted(found, key=lambda each: each.created)


async def delete(core: Core, credential: Credential) -> None:
    """Forget a credential and its key. NotFound when somebody else was first."""
    async with core.changes.locks.holding(credential.id):
        _, present = await _document(core, credential.id)
        _permit(core, present, Access.ADMIN, action="delete")
        await documents.delete(core, KIND, str(credential.id))
        await _forget(core, present)


async def refusal(core: Core, credential: Credential) -> str:
    """Ask the store, and give why it does not take the credential; empty when it does."""
    secret = await _secret(core, credential)
    if secret is None and not credential.account.machine:
        return "its secret key is not known any more"
    return await _refusal(core, credential.account, secret)


async def keys_of(core: Core, credential: Credential) -> AccessKeys | None:
    """Give the keys by which a store knows a credential; None of the machine's own account."""
    if credential.account.machine:
        return None
    secret = await _secret(core, credential)
    if secret is None:
        raise errors.Unavailable(what=f"credential {credential.id}", reason="its secret key is not known any more")
    return AccessKeys(credential.account.access_key, secret)


def secret_key(secret_id: UUID) -> str:
    """Give the name of the catalog's setting that holds a secret key."""
    return f"credential/{secret_id}"


async def _prove(core: Core, account: Account, secret: Secret | None) -> None:
    reason = await _refusal(core, account, secret)
    if reason:
        raise errors.PermissionDenied(action=f"the store {account.url}: {reason}")


async def _refusal(core: Core, account: Account, secret: Secret | None) -> str:
    if core.stores is None:
        raise errors.Unsupported(capability="credentials", backend="gateway", reason="nothing reaches object stores")
    keys = None if secret is None else AccessKeys(account.access_key, secret)
    try:
        await core.stores.check(account, keys)
    except errors.Unavailable as error:
        return str(error.reason or "it cannot be used")
    except errors.Timeout:
        return "it does not answer in time"
    except errors.Busy:
        return "it is busy"
    return ""


def _check(core: Core, account: Account, secret: Secret | None) -> None:
    for field in ("access_key", "region", "bucket", "storage_class", "encryption"):
        text = getattr(account, field)
        check_text(field, text, _TEXT_MAX)
        if not text.isascii() or any(not character.isprintable() or character.isspace() for character in text):
            raise errors.InvalidArgument(field=field, reason="holds what no store has in it")
    _check_endpoint(account)
    if secret is not None and not 1 <= len(secret.reveal()) <= _TEXT_MAX:
        raise errors.InvalidArgument(field="secret_key", reason="too long")
    if account.machine:
        # Whoever uses it reaches all that this machine may.
        if core.caller is not None and not core.caller.administrator:
            raise errors.PermissionDenied(action="the machine's own account")
        if account.access_key or secret is not None:
            raise errors.InvalidArgument(field="access_key", reason="there are no keys with the machine's own account")
    elif not account.access_key or secret is None:
        missing = "secret_key" if account.access_key else "access_key"
        raise errors.InvalidArgument(field=missing, value="", reason="must not be empty")


def _check_endpoint(account: Account) -> None:
    wrong = errors.InvalidArgument(field="endpoint", value="", reason="must be a host, with its port, or a URL of both")
    check_text("endpoint", account.endpoint, _TEXT_MAX)
    try:
        url = urlsplit(account.url)
        named = bool(url.hostname) and url.port != 0
    except ValueError:
        raise wrong from None
    clean = (
        account.endpoint.isascii() and account.endpoint.isprintable() and not set(account.endpoint) & set(' ,@?#\\"')
    )
    if not named or not clean or url.scheme not in _SCHEMES:
        raise wrong


def _permit(core: Core, credential: Credential, access: Access, *, action: str) -> None:
    if not may(core.caller, credential.ownership, access):
        raise errors.PermissionDenied(action=f"{action} credential {credential.id}")


async def _all(core: Core) -> list[Credential]:
    return [_read(document) for document in await documents.all_of(core, KIND)]


async def _document(core: Core, credential_id: UUID) -> tuple[Document, Credential]:
    document = await documents.named(core, KIND, str(credential_id))
    if document is None:
        raise errors.NotFound(kind="Credential", ref=str(credential_id))
    return document, _read(document)


def _read(document: Document) -> Credential:
    return msgspec.json.decode(document.body, type=Credential)


def _body(credential: Credential) -> str:
    return msgspec.json.encode(credential).decode()


async def _secret(core: Core, credential: Credential) -> Secret | None:
    found = None if credential.secret_id is None else await core.catalog.setting(secret_key(credential.secret_id))
    return Secret(found) if found else None


async def _keep(core: Core, secret: Secret | None) -> UUID | None:
    """Keep a secret under a name of its own: what names it is changed at once with all that goes with it."""
    if secret is None:
        return None
    secret_id = uuid4()
    await core.catalog.put_setting(secret_key(secret_id), secret.reveal())
    return secret_id


async def _forget(core: Core, credential: Credential, *, but: Credential | None = None) -> None:
    if credential.secret_id is not None and (but is None or but.secret_id != credential.secret_id):
        await core.catalog.put_setting(secret_key(credential.secret_id), "")
