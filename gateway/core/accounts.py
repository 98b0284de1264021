"""Use cases of accounts that callers make, beside those of the operator's file. They touch no substrate.

What an account may is said by a role that its door knows. Names are unique
over all tenants, because who logs in tells nothing but a name. Hashes of
passwords are in documents of their own, of which the pools keep no copy: a
rebuilt catalog has accounts that let nobody in until a password is set.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Protocol
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from gateway.core import errors
from gateway.core.catalog import drop, put
from gateway.core.context import Core
from gateway.core.documents import all_of
from gateway.core.model import Document, Tenant, utc_now
from gateway.core.secret import Secret
from gateway.core.volumes import check_name, check_text

KIND, SECRET_KIND = "account", "account.password"
"""The kinds of documents that hold accounts, and the hashes of their passwords, under the same name."""

_COMMENT_MAX = 4096


class Method(enum.StrEnum):
    """How somebody proves to be who an account is of."""

    PASSWORD = "password"  # noqa: S105 - the word for it
    CERTIFICATE = "certificate"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Who may come in. `tenant_id`: it sees that tenant only. `role` is a name that its door knows."""

    name: str
    role: str
    tenant_id: UUID | None = None
    comment: str = ""
    locked: bool = False
    methods: tuple[Method, ...] = (Method.PASSWORD,)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An account as the catalog has it. `stamp` changes with anything that decides who is let in."""

    account: Account
    document: Document
    secret: Document | None = None

    @property
    def stamp(self) -> tuple[int, int]:
        """The revisions of both documents."""
        return self.document.revision, 0 if self.secret is None else self.secret.revision

    @property
    def password_hash(self) -> str:
        """The hash of its password; empty: it has none."""
        return "" if self.secret is None else self.secret.body


class LocalAccounts(Protocol):
    """What the server does for the accounts of a door: the operator's file, hashes, and who is kept out for a time."""

    def names(self) -> Sequence[tuple[str, str]]:
        """Give the accounts of the operator's file: names and their roles there."""

    def barred(self, name: str) -> bool:
        """Tell whether an account is kept out for a time, because its password was wrong too often."""

    def forgive(self, name: str) -> None:
        """Let it in again."""

    async def hashed(self, password: Secret) -> str:
        """Give the hash of a password as it is kept; InvalidArgument for one that cannot be used."""

    async def matches(self, password: Secret, kept: str) -> bool:
        """Tell whether a password is the one of a hash."""


class NoLocalAccounts:
    """Where there is no file and nobody is kept out."""

    def names(self) -> Sequence[tuple[str, str]]:
        """Give nobody."""
        return ()

    def barred(self, name: str) -> bool:
        """Keep nobody out."""
        del name
        return False

    def forgive(self, name: str) -> None:
        """Do nothing."""

    async def hashed(self, password: Secret) -> str:
        """Refuse every password: nobody could check it."""
        del password
        raise errors.Unsupported(capability="passwords", reason="nothing here checks them")

    async def matches(self, password: Secret, kept: str) -> bool:
        """Tell that it is not."""
        del password, kept
        return False


def account_id(name: str, kind: str = KIND) -> UUID:
    """Give the id of the document of an account, or of its password; names never change."""
    return uuid5(NAMESPACE_URL, f"{kind}:{name}")


async def named(core: Core, name: str) -> Kept | None:
    """Give an account as it was at the last `Known.renew` or later; None when there is none, or its tenant is gone."""
    key, secret_key = account_id(name), account_id(name, SECRET_KIND)
    found = await core.known.get_many(Document, {key, secret_key})
    document = found.get(key)
    if document is None:
        return None
    account = _read(document)
    if account.tenant_id is not None and not await core.known.get_many(Tenant, {account.tenant_id}):
        return None
    return Kept(account=account, document=document, secret=found.get(secret_key))


async def everyone(core: Core) -> list[Kept]:
    """Give all accounts by name, but those whose tenant is gone."""
    secrets = {document.name: document for document in await all_of(core, SECRET_KIND)}
    found = [
        Kept(account=_read(document), document=document, secret=secrets.get(document.name))
        for document in await all_of(core, KIND)
    ]
    there = await core.known.get_many(Tenant, {kept.account.tenant_id for kept in found if kept.account.tenant_id})
    return [kept for kept in found if kept.account.tenant_id is None or kept.account.tenant_id in there]


async def create(core: Core, account: Account, password_hash: str = "") -> Account:
    """Make an account. AlreadyExists for its name."""
    _check(account)
    gone = await _of_gone_tenant(core, account.name)
    if gone:
        await core.catalog.commit(drop(*gone))
    try:
        await core.catalog.commit(put(*_documents(account, password_hash)))
    except errors.AlreadyExists:
        raise errors.AlreadyExists(kind="account", name=account.name, field="name") from None
    await core.manifest.write()
    return account


async def update(core: Core, kept: Kept, account: Account, password_hash: str | None = None) -> None:
    """Change an account, and its password where there is a new one. StaleRevision when it has changed meanwhile."""
    _check(account)
    document = msgspec.structs.replace(kept.document, body=_body(account))
    written = [document]
    if password_hash is not None:
        present = kept.secret or _document(SECRET_KIND, account.name, "", passing=True)
        written.append(msgspec.structs.replace(present, body=password_hash))
    await core.catalog.commit(put(*written))
    await core.manifest.write()


async def delete(core: Core, kept: Kept) -> None:
    """Remove an account with its password. StaleRevision when it has changed meanwhile."""
    await core.catalog.commit(drop(*_present(kept.document, kept.secret)))
    await core.manifest.write()


async def forget_accounts(core: Core, tenant_id: UUID) -> None:
    """Remove the accounts of a tenant that went. They let nobody in any more; this gives their names back."""
    for document in await all_of(core, KIND):
        if _read(document).tenant_id == tenant_id:
            secret = await core.catalog.get(Document, account_id(document.name, SECRET_KIND))
            with suppress(errors.StaleRevision):  # somebody else gives it a new owner
                await core.catalog.commit(drop(*_present(document, secret)))


async def _of_gone_tenant(core: Core, name: str) -> list[Document]:
    """Give what is left of an account of that name whose tenant is gone."""
    document = await core.catalog.get(Document, account_id(name))
    if document is None:
        secret = await core.catalog.get(Document, account_id(name, SECRET_KIND))
        return _present(secret)
    tenant_id = _read(document).tenant_id
    if tenant_id is None or await core.catalog.get(Tenant, tenant_id) is not None:
        return []
    return _present(document, await core.catalog.get(Document, account_id(name, SECRET_KIND)))


def _present(*documents: Document | None) -> list[Document]:
    return [document for document in documents if document is not None]


def _documents(account: Account, password_hash: str) -> Iterable[Document]:
    yield _document(KIND, account.name, _body(account))
    if password_hash:
        yield _document(SECRET_KIND, account.name, password_hash, passing=True)


def _document(kind: str, name: str, body: str, *, passing: bool = False) -> Document:
    return Document(id=account_id(name, kind), kind=kind, name=name, created=utc_now(), body=body, passing=passing)


def _read(document: Document) -> Account:
    return msgspec.json.decode(document.body, type=Account)


def _body(account: Account) -> str:
    return msgspec.json.encode(account).decode()


def _check(account: Account) -> None:
    check_name("name", account.name)
    if ":" in account.name:
        raise errors.InvalidArgument(field="name", value=account.name[:64], reason="holds a colon")
    check_text("comment", account.comment, _COMMENT_MAX)
    if not account.methods:
        raise errors.InvalidArgument(field="methods", reason="an account needs a way to come in")
