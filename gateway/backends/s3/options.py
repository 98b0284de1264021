"""What the operator says about a pool in an object store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from gateway.core.secret import AccessKeys

_CONTROL = "-control"


class S3Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a pool in an object store.

    bucket: the bucket that holds the objects; it has to be there.
    endpoint: the store's URL; empty is AWS.
    region: what the store calls its region.
    prefix: every key of the pool begins with it, so that several pools share a bucket.
    credentials: the keys of the store. NAME_ACCESS_KEY, NAME_SECRET_KEY and, of temporary ones, NAME_SESSION_TOKEN
        are read from the environment, or access_key, secret_key and session_token from a TOML file; with none,
        the machine's own.
    control_bucket: where the gateway keeps its own documents; a bucket of that name is made if it can. Empty:
        the bucket's name with `-control`.
    addressing: whether the bucket is in the path of a URL or in its host.
    public_endpoint: the URL at which clients reach the store, when it is another one.
    ca: certificates by which the store is trusted; none are the system's.
    threads: how many requests may be under way at once.
    """

    bucket: str
    endpoint: str = ""
    region: str = "us-east-1"
    prefix: str = ""
    credentials: AccessKeys | None = None
    control_bucket: str = ""
    addressing: Literal["path", "virtual"] = "path"
    public_endpoint: str = ""
    ca: Path | None = None
    threads: Annotated[int, msgspec.Meta(ge=1, le=128)] = 16

    def __post_init__(self) -> None:
        if not self.bucket:
            raise ValueError("bucket: must not be empty")
        if self.control == self.bucket:
            raise ValueError("control_bucket: must be another one: the other keeps old versions of what is in it")
        if self.prefix.startswith("/") or any(part in {".", ".."} for part in self.prefix.split("/")):
            raise ValueError("prefix: must not begin with a slash, and have no '.' or '..' between slashes")

    @property
    def control(self) -> str:
        """The bucket of the gateway's own documents."""
        return self.control_bucket or f"{self.bucket}{_CONTROL}"
