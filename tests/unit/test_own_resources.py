from __future__ import annotations

from gateway.core import errors
from gateway.server import own


def test_every_error_has_a_status() -> None:
    assert set(own._STATUS) == set(errors.tree().values())


def test_which_paths_are_the_gateways_own() -> None:
    assert own.OwnResources.has("/metrics")
    assert own.OwnResources.has("/gateway/x")
    assert not own.OwnResources.has("/api/storage/volumes")
    assert not own.OwnResources.has("/metricsx")


def test_the_words_of_a_substrate_are_not_told() -> None:
    response = own._failed(errors.Unavailable(what="pool p", reason="/dev/sdx: input/output error"))
    assert response.status == 503
    assert response.body == b'{"error":{"code":"Unavailable","message":"Unavailable: what pool p"}}'
