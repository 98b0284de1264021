"""Who may use the routes of the cluster: those whose role is the administrator's, as soon as tokens are asked for.

The SDK alone knows who that is, and it says so of a call that only an
administrator may make: creating a role, since whoever may do that can give
himself every right. The call asks for no role in particular. Rights come
before the request's content there, so it ends with PERMISSION_DENIED for
others, with INVALID_ARGUMENT for an administrator, and it changes nothing.
While no issuer of tokens is configured everybody is an administrator.
"""

from __future__ import annotations

from grpc import StatusCode

from gateway.frontends.openstorage.older.answer import Refused
from gateway.frontends.openstorage.older.client import Client
from gateway.frontends.openstorage.older.encode import rpc_error
from gateway.frontends.openstorage.pb import role_pb2

_PROBE = "OpenStorageRole/Create"
_ADMITTED = frozenset({StatusCode.INVALID_ARGUMENT, StatusCode.UNIMPLEMENTED})
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


async def require_administrator(sdk: Client) -> None:
    """Refuse everybody else: 401 when nobody is proven to call, 403 when it is somebody."""
    error = await sdk.probe(_PROBE, role_pb2.SdkRoleCreateRequest())
    if error is None or error.code in _ADMITTED:
        return
    if error.code is StatusCode.PERMISSION_DENIED and sdk.authorization is None:
        # The SDK takes whoever brings no token for a guest; here it is nobody.
        raise Refused(401, "Access denied token is empty", headers=_CHALLENGE)
    if error.code is StatusCode.UNAUTHENTICATED:
        raise Refused(401, error.text, headers=_CHALLENGE)
    if error.code is StatusCode.PERMISSION_DENIED:
        raise Refused(403, "Access denied, user must have admin access")
    raise Refused(500, rpc_error(error))
