"""What the protocol definitions say of each call: types, streaming, HTTP mapping.

The facts are in the descriptors of `pb`, which `make proto` makes of `proto/`;
`load_schema` reads them once at start and the result is passed to whoever needs it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import ModuleType

import msgspec
from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.frontends.openstorage.pb import (
    alerts_pb2,
    bucket_pb2,
    cloud_backup_pb2,
    cluster_domains_pb2,
    cluster_pair_pb2,
    cluster_pb2,
    credentials_pb2,
    diags_pb2,
    filesystem_check_pb2,
    filesystem_trim_pb2,
    identity_pb2,
    job_pb2,
    migrate_pb2,
    mount_attach_pb2,
    node_pb2,
    objectstore_pb2,
    pool_pb2,
    role_pb2,
    schedule_policy_pb2,
    storage_policy_pb2,
    volume_pb2,
)

_VERSION = identity_pb2.SdkVersion
SDK_VERSION: tuple[int, int, int] = (_VERSION.Major, _VERSION.Minor, _VERSION.Patch)
"""The revision of the definitions: major, minor, patch."""

_PREFIX = "OpenStorage"
_FIELD_IN_PATH = re.compile(r"\{([^}]+)\}")
_MODULES: tuple[ModuleType, ...] = (
    alerts_pb2,
    bucket_pb2,
    cloud_backup_pb2,
    cluster_domains_pb2,
    cluster_pair_pb2,
    cluster_pb2,
    credentials_pb2,
    diags_pb2,
    filesystem_check_pb2,
    filesystem_trim_pb2,
    identity_pb2,
    job_pb2,
    migrate_pb2,
    mount_attach_pb2,
    node_pb2,
    objectstore_pb2,
    pool_pb2,
    role_pb2,
    schedule_policy_pb2,
    storage_policy_pb2,
    volume_pb2,
)


class HttpRule(msgspec.Struct, frozen=True, kw_only=True):
    """How a call is made over HTTP. `path` has fields of the request in braces, each one segment of the path.

    With `whole_body` the body is the request as JSON. Without it there is no
    body, whatever the verb, and fields that are not in the path come from the query.
    """

    verb: str
    path: str
    whole_body: bool

    @property
    def path_fields(self) -> tuple[str, ...]:
        """Give the fields of the request that the path holds, in its order."""
        return tuple(_FIELD_IN_PATH.findall(self.path))


class Method(msgspec.Struct, frozen=True, kw_only=True):
    """One call. `path` is what gRPC sends: `/openstorage.api.OpenStorageVolume/Create`.

    `streams`: the response is any number of messages. A request is always one.
    """

    name: str
    path: str
    request: type[Message]
    response: type[Message]
    streams: bool
    http: HttpRule

    @property
    def rule_name(self) -> str:
        """Give the name that rules of roles have for it."""
        return self.name.lower()


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One service with its methods by name. `full_name` has the package in front."""

    name: str
    full_name: str
    methods: Mapping[str, Method]

    @property
    def rule_name(self) -> str:
        """Give the name that rules of roles have for it: `OpenStorageMountAttach` is `mountattach`."""
        return self.name.removeprefix(_PREFIX).lower()


Schema = Mapping[str, Service]
"""Name of a service, without the package -> the service."""


def load_schema() -> Schema:
    """Give every service of the definitions, whether it is served or not."""
    described = (service for module in _MODULES for service in module.DESCRIPTOR.services_by_name.values())
    return {service.name: _service(service) for service in described}


def _service(described: ServiceDescriptor) -> Service:
    return Service(
        name=described.name,
        full_name=described.full_name,
        methods={method.name: _method(method) for method in described.methods},
    )


def _method(described: MethodDescriptor) -> Method:
    return Method(
        name=described.name,
        path=f"/{described.containing_service.full_name}/{described.name}",
        request=GetMessageClass(described.input_type),
        response=GetMessageClass(described.output_type),
        streams=described.server_streaming,
        http=_http(described),
    )


def _http(described: MethodDescriptor) -> HttpRule:
    rule = described.GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    return HttpRule(verb=verb.upper(), path=getattr(rule, verb), whole_body=rule.body == "*")
