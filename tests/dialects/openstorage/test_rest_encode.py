"""Answers and errors as bytes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode
from openstorage_samples import filled
from rest_scene import METHODS

from gateway.frontends.openstorage.call import SdkError
from gateway.frontends.openstorage.pb import alerts_pb2, cluster_pb2, pool_pb2, volume_pb2, volume_spec_pb2
from gateway.frontends.openstorage.rest.encode import (
    HTTP_STATUS,
    MESSAGES_SLICE,
    SLICE,
    error_body,
    error_line,
    pieces,
    result_line,
)
from gateway.frontends.openstorage.schema import Method


def written(message: Message) -> bytes:
    return b"".join(pieces(message))


@pytest.mark.parametrize(
    ("message", "body"),
    [
        (volume_pb2.SdkVolumeDeleteResponse(), b"{}"),
        (volume_pb2.SdkVolumeCreateResponse(volume_id="v"), b'{"volume_id":"v"}'),
        (volume_pb2.SdkVolumeEnumerateResponse(volume_ids=["a", "b"]), b'{"volume_ids":["a","b"]}'),
        (
            cluster_pb2.SdkClusterInspectCurrentResponse(
                cluster=cluster_pb2.StorageCluster(status="STATUS_OK", id="i", name="n")
            ),
            b'{"cluster":{"status":"STATUS_OK","id":"i","name":"n"}}',
        ),
        (
            volume_spec_pb2.VolumeSpec(size=1 << 30, ha_level=1, format="FS_TYPE_EXT4", encrypted=False, block_size=0),
            b'{"size":"1073741824","format":"FS_TYPE_EXT4","ha_level":"1"}',
        ),
        (
            volume_pb2.Volume(ctime=Timestamp(seconds=1714972089, nanos=250_000_000)),
            b'{"ctime":"2024-05-06T05:08:09.250Z"}',
        ),
        (volume_pb2.Volume(source=volume_pb2.Source()), b'{"source":{}}'),
        (volume_spec_pb2.VolumeSpec(format=4711), b'{"format":4711}'),
        (pool_pb2.StorageResource(seq_read=float("nan"), seq_write=1.5), b'{"seq_write":1.5,"seq_read":"NaN"}'),
        (volume_pb2.VolumeLocator(volume_labels={"b": "2"}), b'{"volume_labels":{"b":"2"}}'),
    ],
)
def test_bodies_are_written_as_the_reference_does(message: Message, body: bytes) -> None:
    assert written(message) == body


@pytest.mark.parametrize("method", METHODS, ids=lambda each: each.path)
def test_every_response_is_written_whole(method: Method) -> None:
    response = filled(method.response.DESCRIPTOR)
    assert json.loads(written(response)) == MessageToDict(response, preserving_proto_field_name=True)


@pytest.mark.parametrize("count", [SLICE, SLICE + 1, 3 * SLICE, 3 * SLICE + 7])
def test_a_long_list_is_written_in_pieces(count: int) -> None:
    response = volume_pb2.SdkVolumeEnumerateResponse(volume_ids=[f'"{number}' for number in range(count)])
    found = list(pieces(response))
    assert len(found) == (1 if count == SLICE else 4 + -(-count // SLICE))
    assert json.loads(b"".join(found)) == {"volume_ids": [f'"{number}' for number in range(count)]}


def test_long_lists_stand_beside_what_else_there_is() -> None:
    many = MESSAGES_SLICE * 2 + 1
    message: Any = volume_pb2.Catalog(
        name="n", path="/", children=[volume_pb2.Catalog(name=f"{n}") for n in range(many)]
    )
    assert json.loads(written(message)) == {
        "name": "n",
        "path": "/",
        "children": [{"name": f"{n}"} for n in range(many)],
    }
    response = filled(volume_pb2.SdkVolumeInspectWithFiltersResponse.DESCRIPTOR)
    response.volumes.extend([response.volumes[0]] * many)
    response.volumes.add()
    assert json.loads(written(response)) == MessageToDict(response, preserving_proto_field_name=True)


def test_every_code_has_its_status() -> None:
    assert set(HTTP_STATUS) == set(StatusCode)
    table = {code.name: int(status) for code, status in HTTP_STATUS.items()}
    assert table == {
        "OK": 200,
        "CANCELLED": 408,
        "UNKNOWN": 500,
        "INTERNAL": 500,
        "DATA_LOSS": 500,
        "INVALID_ARGUMENT": 400,
        "FAILED_PRECONDITION": 400,
        "OUT_OF_RANGE": 400,
        "DEADLINE_EXCEEDED": 504,
        "NOT_FOUND": 404,
        "ALREADY_EXISTS": 409,
        "ABORTED": 409,
        "PERMISSION_DENIED": 403,
        "UNAUTHENTICATED": 401,
        "RESOURCE_EXHAUSTED": 429,
        "UNIMPLEMENTED": 501,
        "UNAVAILABLE": 503,
    }


def test_errors() -> None:
    error = SdkError(StatusCode.ALREADY_EXISTS, 'volume "v" exists')
    assert error_body(error) == b'{"error":"volume \\"v\\" exists","code":6,"message":"volume \\"v\\" exists"}'
    assert error_body(SdkError(StatusCode.INTERNAL, "")) == b'{"code":13}'
    assert error_line(error) == (
        b'{"error":{"grpc_code":6,"http_code":409,"message":"volume \\"v\\" exists","http_status":"Conflict"}}\n'
    )


def test_a_line_of_a_stream() -> None:
    alert = alerts_pb2.Alert(id=7, severity="SEVERITY_TYPE_ALARM", timestamp=datetime(2024, 1, 1, tzinfo=UTC))
    line = b"".join(result_line(alerts_pb2.SdkAlertsEnumerateWithFiltersResponse(alerts=[alert])))
    assert line == (
        b'{"result":{"alerts":[{"id":"7","severity":"SEVERITY_TYPE_ALARM","timestamp":"2024-01-01T00:00:00Z"}]}}\n'
    )
