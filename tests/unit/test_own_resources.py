from __future__ import annotations

from gateway.server.own import is_own


def test_which_paths_are_the_gateways_own() -> None:
    assert is_own("/metrics")
    assert is_own("/gateway/x")
    assert not is_own("/api/storage/volumes")
    assert not is_own("/metricsx")
