"""Long answers of the SDK go over the wire as if they had been encoded at once."""

from __future__ import annotations

import pytest

from gateway.frontends.openstorage.pb import role_pb2, volume_pb2
from gateway.frontends.openstorage.wire import encoded


@pytest.mark.parametrize("count", [0, 1, 10_000, 10_001, 35_000])
async def test_a_list_is_whole_and_in_its_order(count: int) -> None:
    ids = [f"id {number}" for number in range(count)]
    whole = volume_pb2.SdkVolumeEnumerateResponse(volume_ids=ids).SerializeToString()
    assert await encoded(volume_pb2.SdkVolumeEnumerateResponse(volume_ids=ids)) == whole


async def test_what_is_beside_a_long_list_is_not_lost() -> None:
    rule = role_pb2.SdkRule(services=["s"], apis=[str(number) for number in range(10_001)])
    assert role_pb2.SdkRule.FromString(await encoded(role_pb2.SdkRule.FromString(rule.SerializeToString()))) == rule
    role = role_pb2.SdkRole(name="n", rules=[rule])
    assert role_pb2.SdkRole.FromString(await encoded(role)) == role
