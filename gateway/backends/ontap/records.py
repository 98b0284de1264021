"""What the cluster tells about its objects, as far as we ask."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gateway.client.records import Nas, PoolSpace, Ref, Space


class Clone(msgspec.Struct, frozen=True):
    """Whether a volume still shares with its parent."""

    is_flexclone: bool = False
    split_initiated: bool = False


class FlexVol(msgspec.Struct, frozen=True, kw_only=True):
    """A volume of the cluster."""

    uuid: str
    name: str
    size: int = 0
    state: str = "online"
    create_time: str = ""
    nas: Nas = Nas()
    space: Space = Space()
    clone: Clone = Clone()
    svm: Ref = Ref()
    style: str = "flexvol"
    type: str = "rw"
    is_svm_root: bool = False
    tags: tuple[str, ...] = msgspec.field(default=(), name="_tags")


FLEXVOL = "uuid,name,size,state,create_time,nas.path,space.used,clone.is_flexclone,clone.split_initiated,_tags"
STRANGER = f"{FLEXVOL},svm.name,style,type,is_svm_root"


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of the cluster."""

    uuid: str
    name: str
    volume: Ref = Ref()
    comment: str = ""
    size: int = 0
    create_time: datetime | None = None


COPY = "uuid,name,volume.name,volume.uuid,comment,size,create_time"


class Version(msgspec.Struct, frozen=True):
    """A release."""

    generation: int = 0
    major: int = 0
    minor: int = 0


class ClusterFacts(msgspec.Struct, frozen=True):
    """The cluster itself."""

    name: str = ""
    version: Version = Version()


class Svm(msgspec.Struct, frozen=True, kw_only=True):
    """An SVM. No aggregates: it may use all of them."""

    uuid: str
    name: str
    state: str = ""
    aggregates: tuple[Ref, ...] = ()


class Aggregate(msgspec.Struct, frozen=True, kw_only=True):
    """An aggregate."""

    uuid: str
    name: str
    state: str = ""
    space: PoolSpace = PoolSpace()


class License(msgspec.Struct, frozen=True, kw_only=True):
    """A package that may be used, or not."""

    name: str
    state: str = ""


class Address(msgspec.Struct, frozen=True):
    """Where an interface is."""

    address: str = ""


class Interface(msgspec.Struct, frozen=True, kw_only=True):
    """An interface of an SVM."""

    uuid: str
    name: str
    ip: Address = Address()
    enabled: bool = True
    state: str = "up"
