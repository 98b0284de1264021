"""The other end of `test_openstorage_wire.py`, run by the interpreter that has the official client.

stdin: `[[message type, hex], ...]`, messages that we wrote. stdout: `read`, each of
them as it was understood and as it is written again; `written`, messages that the
client filled; `services`, what it knows of each call. JSON on both.
"""

from __future__ import annotations

import json
import sys

from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from openstorage import api_pb2
from openstorage_samples import as_bytes, as_dict, message_types, samples

FILE = api_pb2.DESCRIPTOR
TYPES = {described.full_name: described for described in message_types(FILE.message_types_by_name.values())}


def read(name: str, written: str) -> list[object]:
    message = GetMessageClass(TYPES[name]).FromString(bytes.fromhex(written))
    return [name, as_bytes(message).hex(), as_dict(message)]


def call(method: MethodDescriptor) -> list[object]:
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    return [
        method.input_type.full_name,
        method.output_type.full_name,
        method.server_streaming,
        [verb.upper(), getattr(rule, verb), rule.body],
    ]


def main() -> None:
    written = [
        [name, as_bytes(message).hex(), as_dict(message)]
        for name, described in TYPES.items()
        for message in samples(described)
    ]
    answer = {
        "read": [read(*each) for each in json.load(sys.stdin)],
        "written": written,
        "services": {
            f"/{service.full_name}/{method.name}": call(method)
            for service in FILE.services_by_name.values()
            for method in service.methods
        },
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
