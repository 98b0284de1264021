"""What generic gRPC tools ask of a server: its definitions, and whether it is well."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from gateway.testing.live import LiveGateway


@pytest.fixture
def channel(gateway: LiveGateway) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(gateway.addresses["openstorage"].removeprefix("grpc://")) as opened:
        yield opened


def test_services_and_their_definitions_are_found_by_reflection(channel: grpc.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="openstorage.api.OpenStorageVolume"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="openstorage.api.VolumeSpec"),
    ]
    listed, volume, spec = stub.ServerReflectionInfo(iter(asked))
    names = {service.name for service in listed.list_services_response.service}
    assert {"openstorage.api.OpenStorageVolume", "grpc.health.v1.Health"} <= names
    found = FileDescriptorProto.FromString(volume.file_descriptor_response.file_descriptor_proto[0])
    assert "Create" in [method.name for service in found.service for method in service.method]
    messages = FileDescriptorProto.FromString(spec.file_descriptor_response.file_descriptor_proto[0])
    assert "VolumeSpec" in [message.name for message in messages.message_type]


@pytest.mark.parametrize("service", ["", "openstorage.api.OpenStorageVolume"])
def test_it_is_serving(channel: grpc.Channel, service: str) -> None:
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
