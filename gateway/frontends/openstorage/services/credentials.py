"""Credentials: accounts at the stores that hold cloud backups. Secrets go in and are never shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from grpc import StatusCode

from gateway.core import backup_schedules, credentials, errors
from gateway.core.credentials import Account, Credential
from gateway.core.ownership import Ownership
from gateway.core.secret import Secret
from gateway.frontends.openstorage.call import Call, SdkError, refuse, required
from gateway.frontends.openstorage.ownerships import ownership_message, read_ownership
from gateway.frontends.openstorage.pb import credentials_pb2 as pb

_WHAT = "credential id"


async def create(call: Call, request: pb.SdkCredentialCreateRequest) -> pb.SdkCredentialCreateResponse:
    """Keep an account at a store, which is its maker's. PERMISSION_DENIED unless the store takes it."""
    name = required(request.name, "credential name")
    asked = _asked(request)
    account = _account(request, asked)
    if not account.machine:
        required(account.access_key, "access key")
        required(asked.secret_key, "secret key")
    required(account.region, "region")
    required(account.endpoint, "endpoint")
    made = await credentials.create(call.core, name, account, secret=_secret(asked), ownership=_ownership(request))
    return pb.SdkCredentialCreateResponse(credential_id=str(made.id))


async def update(call: Call, request: pb.SdkCredentialUpdateRequest) -> pb.SdkCredentialUpdateResponse:
    """Change an account. Texts that are empty stay as they are; flags are as they are given."""
    present = await credentials.get(call.core, required(request.credential_id, _WHAT))
    wanted = request.update_req
    asked = _asked(wanted)
    await credentials.update(
        call.core,
        present,
        name=wanted.name or present.name,
        account=_account(wanted, asked, present.account),
        secret=_secret(asked),
        ownership=_ownership(wanted),
    )
    return pb.SdkCredentialUpdateResponse()


async def enumerate_(call: Call, _request: pb.SdkCredentialEnumerateRequest) -> pb.SdkCredentialEnumerateResponse:
    """Give the ids of the credentials that the caller may read."""
    found = await credentials.readable(call.core)
    return pb.SdkCredentialEnumerateResponse(credential_ids=[str(each.id) for each in found])


async def inspect(call: Call, request: pb.SdkCredentialInspectRequest) -> pb.SdkCredentialInspectResponse:
    """Give what was kept, without its secrets."""
    found = await credentials.get(call.core, required(request.credential_id, _WHAT))
    return _message(found)


async def delete(call: Call, request: pb.SdkCredentialDeleteRequest) -> pb.SdkCredentialDeleteResponse:
    """Forget a credential. NOT_FOUND when there is none; FAILED_PRECONDITION while backups are made by it."""
    found = await credentials.get(call.core, required(request.credential_id, _WHAT))
    await backup_schedules.require_unused(call.core, found)
    await credentials.delete(call.core, found)
    return pb.SdkCredentialDeleteResponse()


async def validate(call: Call, request: pb.SdkCredentialValidateRequest) -> pb.SdkCredentialValidateResponse:
    """Log in at the store; INTERNAL with the reason when it does not take the credential."""
    found = await credentials.get(call.core, required(request.credential_id, _WHAT))
    reason = await credentials.refusal(call.core, found)
    if reason:
        raise SdkError(StatusCode.INTERNAL, f"Failed to validate credential {found.id}: {reason}")
    return pb.SdkCredentialValidateResponse()


async def delete_references(
    call: Call, request: pb.SdkCredentialDeleteReferencesRequest
) -> pb.SdkCredentialDeleteReferencesResponse:
    """Forget the schedules that use a credential. One that does not exist is no error, as in the reference."""
    ref = required(request.credential_id, _WHAT)
    with suppress(errors.NotFound):
        await backup_schedules.forget(call.core, await credentials.get(call.core, ref))
    return pb.SdkCredentialDeleteReferencesResponse()


def _asked(request: pb.SdkCredentialCreateRequest) -> pb.SdkAwsCredentialRequest:
    """Give the account at an S3 store; end the call for any other, which nobody here could log in at."""
    kind = request.WhichOneof("credential_type")
    if kind is None:
        refuse("Unknown credential type")
    for field, reason in _REFUSED.items():
        if getattr(request, field):
            refuse(f"{field}: {reason}")
    if kind != _AWS:
        _OTHERS[kind](getattr(request, kind))
    return request.aws_credential


def _account(
    request: pb.SdkCredentialCreateRequest, asked: pb.SdkAwsCredentialRequest, before: Account | None = None
) -> Account:
    """Give the account that is asked for; with `before`, what is empty is as it was."""
    machine = request.iam_policy
    kept = before or Account(endpoint="", region="")
    return Account(
        endpoint=asked.endpoint or kept.endpoint,
        region=asked.region or kept.region,
        access_key=asked.access_key or ("" if machine else kept.access_key),
        plain=asked.disable_ssl,
        virtual=asked.disable_path_style,
        machine=machine,
        bucket=request.bucket or kept.bucket,
        storage_class=request.s3_storage_class or kept.storage_class,
        encryption=asked.server_side_encryption or kept.encryption,
    )


def _secret(asked: pb.SdkAwsCredentialRequest) -> Secret | None:
    return Secret(asked.secret_key) if asked.secret_key else None


def _ownership(request: pb.SdkCredentialCreateRequest) -> Ownership | None:
    return read_ownership(request.ownership) if request.HasField("ownership") else None


def _message(credential: Credential) -> pb.SdkCredentialInspectResponse:
    account = credential.account
    shown = pb.SdkCredentialInspectResponse(
        credential_id=str(credential.id),
        name=credential.name,
        bucket=account.bucket,
        iam_policy=account.machine,
        aws_credential=pb.SdkAwsCredentialResponse(
            access_key=account.access_key,
            endpoint=account.endpoint,
            region=account.region,
            disable_ssl=account.plain,
            disable_path_style=account.virtual,
            s3_storage_class=account.storage_class,
            server_side_encryption=account.encryption,
        ),
    )
    if credential.ownership is not None:
        shown.ownership.CopyFrom(ownership_message(credential.ownership))
    return shown


def _azure(asked: pb.SdkAzureCredentialRequest) -> NoReturn:
    required(asked.account_key, "account key")
    required(asked.account_name, "account name")
    _nowhere("Azure")


def _google(asked: pb.SdkGoogleCredentialRequest) -> NoReturn:
    required(asked.json_key, "JSON key")
    required(asked.project_id, "project id")
    _nowhere("Google Cloud")


def _nfs(asked: pb.SdkNfsCredentialRequest) -> NoReturn:
    required(asked.server, "NFS server")
    _nowhere("an NFS server")


def _nowhere(where: str) -> NoReturn:
    """End the call as for a store that takes no credential: none is kept that was not tried."""
    text = f"Credentials could not be validated: this gateway logs in at S3 stores only, not at {where}"
    raise SdkError(StatusCode.PERMISSION_DENIED, text)


_AWS = "aws_credential"
_OTHERS: Mapping[str, Callable[[Any], NoReturn]] = {
    "azure_credential": _azure,
    "google_credential": _google,
    "nfs_credential": _nfs,
}
_REFUSED: Mapping[str, str] = {
    "encryption_key": "what is kept in a store cannot be encrypted here",
    "use_proxy": "there is no proxy",
}
"""Fields that would say more than is done -> why."""
