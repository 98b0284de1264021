"""What the cluster's refusals mean to the core. Its texts go to the log, its codes are told on.

A refusal that says nothing about what was asked for (an account without the
right, an answer in HTML, a code that nobody knows) is the pool's: Unavailable.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import msgspec
import structlog

from gateway.backends.ontap.descriptions import Damaged
from gateway.client.wire import ClientError
from gateway.core.errors import (
    AlreadyExists,
    Busy,
    GatewayError,
    InUse,
    InvalidState,
    LimitExceeded,
    NotFound,
    Timeout,
    Unavailable,
    Unsupported,
)

log = structlog.get_logger(__name__)

UNAUTHORIZED, FORBIDDEN, TOO_MANY, UNAVAILABLE = 401, 403, 429, 503


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What the cluster was asked about: a `kind` of object, which one, and what was to happen to it."""

    pool: str
    kind: str = "pool"
    ref: str = ""
    action: str = ""


Meaning = Callable[[Subject, ClientError], GatewayError]


def _not_found(at: Subject, _error: ClientError) -> GatewayError:
    return NotFound(kind=at.kind, ref=at.ref)


def _exists(at: Subject, _error: ClientError) -> GatewayError:
    return AlreadyExists(kind=at.kind, name=at.ref, field="id")


def _busy(at: Subject, _error: ClientError) -> GatewayError:
    return Busy(what=at.pool)


def _state(at: Subject, error: ClientError) -> GatewayError:
    return InvalidState(kind=at.kind, ref=at.ref, state=f"refused by the cluster ({error.code})", action=at.action)


def _unsupported(at: Subject, error: ClientError) -> GatewayError:
    reason = f"the cluster refuses it (code {error.code})"
    return Unsupported(capability=at.action, backend=at.pool, reason=reason)


def _limit(limit: str) -> Meaning:
    return lambda _at, _error: LimitExceeded(limit=limit)


def _in_use(by: str) -> Meaning:
    return lambda at, _error: InUse(kind=at.kind, ref=at.ref, by=by, action=at.action)


def _refused(reason: str) -> Meaning:
    return lambda at, error: Unavailable(what=at.pool, reason=f"{reason} (code {error.code})")


MEANINGS: Mapping[str, Meaning] = {
    **dict.fromkeys(("4", "918235", "917525", "524601", "542797", "1638600"), _not_found),
    **dict.fromkeys(("1", "917526", "525059"), _exists),
    **dict.fromkeys(("7", "8", "262160", "13107406", "524486", "524481", "1638532"), _busy),
    **dict.fromkeys(("524479", "917533", "9437885", "524511", "524819", "1638461", "1638522", "1638590"), _state),
    **dict.fromkeys(
        ("3", "262155", "262144017", "787325", "918701", "918702", "918703", "1115127", "1638644", "9896093"),
        _unsupported,
    ),
    "524615": _in_use("clones"),
    "1638555": _in_use("clones"),
    "1638543": _in_use("clones"),
    "1638480": _in_use("clones"),
    "9437886": _in_use("expiry"),
    "917534": _limit("size"),
    "262200": _limit("size"),
    "525062": _limit("snapshots"),
    "262256": _refused("it refuses the tags that describe our volumes"),
    "263149": _refused("it has no room for the tags that describe our volumes"),
    "918252": _refused("the junction path cannot be used"),
    "918271": _refused("the export policy cannot be used"),
    "1703954": _refused("there is no such export policy"),
    "917508": _refused("there is no such aggregate"),
    "917506": _refused("there is no such SVM"),
    "2621462": _refused("there is no such SVM"),
    "6": _refused("its account may not do that"),
    "6691623": _refused("it does not accept our account"),
}
"""ONTAP's code -> what it means for what was asked."""


def meaning(at: Subject, error: ClientError) -> GatewayError:
    """Give the error of the core that a failure means."""
    log.warning(
        "cluster refused",
        pool=at.pool,
        kind=at.kind,
        ref=at.ref,
        action=at.action,
        status=error.status,
        code=error.code,
        target=error.target,
        text=error.message,
    )
    if error.late:
        return Timeout(what=at.pool)
    if error.unsent:
        reason = "the cluster's certificate is not trusted" if _distrusted(error) else "the cluster cannot be reached"
        return Unavailable(what=at.pool, reason=reason)
    found = MEANINGS.get(error.code)
    if found is not None:
        return found(at, error)
    return _nameless(at, error)


def _distrusted(error: BaseException) -> bool:
    cause = error.__cause__ or error.__context__
    return cause is not None and (isinstance(cause, ssl.SSLCertVerificationError) or _distrusted(cause))


def _nameless(at: Subject, error: ClientError) -> GatewayError:
    if error.status == UNAUTHORIZED:
        return Unavailable(what=at.pool, reason="the cluster does not accept our account")
    if error.status == FORBIDDEN:
        return Unavailable(what=at.pool, reason="the cluster refuses our account")
    if error.status in {TOO_MANY, UNAVAILABLE} and not error.code:
        return Busy(what=at.pool)
    if error.code:
        return Unavailable(what=at.pool, reason=f"the cluster refused (code {error.code})")
    if error.status:
        return Unavailable(what=at.pool, reason=f"the cluster gave no usable answer (HTTP status {error.status})")
    return Unavailable(what=at.pool, reason="the cluster gave no usable answer")


@contextmanager
def translated(at: Subject) -> Iterator[None]:
    """Turn every failure of the body into an error of the core."""
    try:
        yield
    except ClientError as error:
        raise meaning(at, error) from error
    except Damaged as error:
        raise Unavailable(what=at.pool, reason=f"the description of {at.kind} {at.ref} is damaged") from error
