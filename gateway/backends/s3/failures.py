"""What an object store answers, in the core's words: the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import msgspec
import structlog
from botocore import exceptions as boto

from gateway.core.errors import Busy, GatewayError, OutOfSpace, Timeout, Unavailable

log = structlog.get_logger(__name__)

Failure = Callable[[str], GatewayError]
"""Gives the error, given the pool's name."""

RETRY_AFTER_S = 5
ABSENT = frozenset({"NoSuchKey", "NoSuchVersion", "NotFound", "404"})
"""What is said of an object that is not there. Of a bucket HEAD says no more than the number, too."""
PRECONDITION = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412"})


def unavailable(reason: str) -> Failure:
    """Give the failure that says that the pool cannot be used."""
    return lambda pool: Unavailable(what=pool, reason=reason)


def busy(pool: str) -> GatewayError:
    """Give the error that asks for another try."""
    return Busy(what=pool, retry_after=RETRY_AFTER_S)


def out_of_space(pool: str) -> GatewayError:
    """Give the error that says that there is no room."""
    return OutOfSpace(pool=pool)


def timeout(pool: str) -> GatewayError:
    """Give the error that says that no answer came."""
    return Timeout(what=pool)


_KEYS = unavailable("the store refuses the keys")
CODES: Mapping[str, Failure] = {
    "AccessDenied": unavailable("the store does not permit it to these keys"),
    "403": unavailable("the store does not permit it to these keys"),
    "AllAccessDisabled": unavailable("the store does not permit it to these keys"),
    "AccountProblem": _KEYS,
    "AuthorizationHeaderMalformed": unavailable("the store is in another region, or refuses the keys"),
    "ExpiredToken": unavailable("the keys were temporary, and are not valid any more"),
    "InvalidAccessKeyId": _KEYS,
    "InvalidToken": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "RequestTimeTooSkewed": unavailable("the clocks of the store and of this machine differ by too much"),
    "RequestExpired": unavailable("the clocks of the store and of this machine differ by too much"),
    "NoSuchBucket": unavailable("the bucket is gone"),
    "InvalidBucketName": unavailable("the store takes no bucket of that name"),
    "PermanentRedirect": unavailable("the bucket is in another region"),
    "SlowDown": busy,
    "503": busy,
    "429": busy,
    "ServiceUnavailable": busy,
    "Throttling": busy,
    "ThrottlingException": busy,
    "RequestLimitExceeded": busy,
    "TooManyRequests": busy,
    "OperationAborted": busy,
    "RequestTimeout": timeout,
    "504": timeout,
    "QuotaExceeded": out_of_space,
    "InsufficientStorage": out_of_space,
    "507": out_of_space,
}
"""The code of an error, or the number of an answer that has none -> the error. Anything else: Unavailable."""

CLASSES: tuple[tuple[type[Exception], Failure], ...] = (
    (boto.ConnectTimeoutError, timeout),
    (boto.ReadTimeoutError, timeout),
    (boto.SSLError, unavailable("the store's certificate is not trusted")),
    (boto.ConnectionError, unavailable("the store cannot be reached")),
    (boto.ConnectionError, unavailable("the store cannot be reached")),
    (boto.HTTPClientError, unavailable("the store cannot be reached")),
    (boto.NoCredentialsError, unavailable("there are no keys for the store")),
    (boto.PartialCredentialsError, unavailable("there are no keys for the store")),
    (boto.BotoCoreError, unavailable("what the store answered could not be read")),
)
"""What the client raises without an answer -> the error; the first that fits."""


def code_of(error: boto.ClientError) -> str:
    """Give the code of an answer that is an error; texts are for people and may be missing."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_absent(error: boto.ClientError) -> bool:
    """Tell whether an answer says that there is no such object, or no such version of it."""
    return code_of(error) in ABSENT


def failure(pool: str, error: Exception) -> GatewayError:
    """Give the error that an answer, or the lack of one, means; the store's own words go to the log."""
    if isinstance(error, boto.ClientError):
        code = code_of(error)
        log.warning("store refused", pool=pool, operation=error.operation_name, code=code)
        return CODES.get(code, unavailable("the store failed"))(pool)
    log.warning("store failed", pool=pool, error=type(error).__name__)
    return next((found(pool) for kind, found in CLASSES if isinstance(error, kind)), Unavailable(what=pool))


@contextmanager
def translated(pool: str) -> Iterator[None]:
    """Turn everything that the client raises in the body into an error of the core."""
    try:
        yield
    except (boto.ClientError, boto.BotoCoreError) as error:
        raise failure(pool, error) from error
    except msgspec.DecodeError as error:
        raise Unavailable(what=pool, reason="a document of the gateway is damaged") from error
