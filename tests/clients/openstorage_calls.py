"""The official openstorage client as a program: run by the interpreter that has it.

stdin: a line of JSON per call, `[target, call, request, metadata, timeout]`;
stdout: a line per call, `[status, details, response]`. Requests and responses
are protobuf's JSON with the names of the definitions. A call is `Service/Call`;
A stream gives a list of responses. With a list of requests
they are made at once, and the line has a list of answers.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format
from openstorage import api_pb2, api_pb2_grpc


def main() -> None:
    channels: dict[str, grpc.Channel] = {}
    for line in sys.stdin:
        target, name, request, metadata, timeout, ca = json.loads(line)
        if target not in channels:
            channels[target] = _channel(target, ca)
        make = _together if isinstance(request, list) else _call
        sys.stdout.write(json.dumps(make(channels[target], name, request, metadata, timeout)) + "\n")
        sys.stdout.flush()


def _channel(target: str, ca: str) -> grpc.Channel:
    scheme, _, address = target.partition("://")
    if scheme == "grpcs":
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(Path(ca).read_bytes()))
    return grpc.insecure_channel(address if scheme == "grpc" else target)


def _together(channel: grpc.Channel, name: str, requests: list[Any], metadata: Any, timeout: float) -> list[Any]:
    with ThreadPoolExecutor(len(requests)) as threads:
        return list(threads.map(lambda request: _call(channel, name, request, metadata, timeout), requests))


def _call(channel: grpc.Channel, name: str, request: Any, metadata: Any, timeout: float) -> list[Any]:
    service, _, method = name.partition("/")
    described = api_pb2.DESCRIPTOR.services_by_name[service].methods_by_name[method]
    message = getattr(api_pb2, described.input_type.name)()
    json_format.ParseDict(request, message)
    stub = getattr(getattr(api_pb2_grpc, f"{service}Stub")(channel), method)
    try:
        answer = stub(message, metadata=[tuple(pair) for pair in metadata], timeout=timeout)
        if described.server_streaming:
            return ["OK", "", [_as_dict(part) for part in answer]]
        return ["OK", "", _as_dict(answer)]
    except grpc.RpcError as error:
        return [error.code().name, error.details(), None]


def _as_dict(message: Any) -> Any:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


if __name__ == "__main__":
    main()
