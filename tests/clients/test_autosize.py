"""A volume of a running gateway that is written to by somebody, and grows by itself."""

from __future__ import annotations

from sdk_scene import MIB, OWN_WARNINGS, sdk, seen, volume

from gateway.testing.live import live_gateway

pytestmark = OWN_WARNINGS


def test_a_volume_grows_while_it_is_written_to(tmp_path):
    pool = tmp_path / "pool"
    pool.mkdir()
    pools = f'[backend.plain]\ndriver = "directory"\npath = "{pool}"\n'
    with live_gateway(tmp_path / "gateway", pools=pools, periods={"space": 0.05}) as gateway, sdk(gateway):
        made = volume("grows", "plain", 20 * MIB, autosize={"mode": "grow", "maximum": 64 * MIB})
        assert (made.size, seen("grows").autosize.mode) == (20 * MIB, "grow")
        (pool / "volumes" / made.uuid / "data" / "file").write_bytes(bytes(19 * MIB))
        while (size := seen("grows").size) * 85 < 19 * MIB * 100:
            pass
        assert size < 64 * MIB
