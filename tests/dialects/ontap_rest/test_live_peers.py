"""Peers over the wire, as far as one gateway is enough: offers, and every refusal in ONTAP's codes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from live_scene import SVMS, Door, door, refusal

from gateway.core.model import utc_now
from gateway.testing.live import LiveGateway, live_gateway

PEERS, SVM_PEERS = "/api/cluster/peers", "/api/svm/peers"
KNOWN = {"authentication": {"passphrase": "long enough"}}
GENERATED = {"authentication": {"generate_passphrase": True}}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path_factory.mktemp("peers"), extra='[peer]\nlisten = "127.0.0.1:0"\n') as running:
        yield running


@pytest.fixture
def ontap(gateway: LiveGateway) -> Iterator[Door]:
    with door(gateway) as opened:
        yield opened
        opened.must("DELETE", f"{PEERS}?uuid=*")


def offered(ontap: Door, **fields: Any) -> dict[str, Any]:
    """Make an offer, and give what is answered."""
    answer = ontap.ask("POST", PEERS, {**GENERATED, **fields})
    assert answer.status_code == 201, answer.text
    (record,) = answer.json()["records"]
    assert answer.headers["Location"] == f"{PEERS}/{record['uuid']}"
    assert isinstance(record, dict)
    return record


def test_an_offer_from_its_passphrase_to_its_end(ontap: Door) -> None:
    made = offered(ontap, name="dr", initial_allowed_svms=[{"name": "svm1"}], peer_applications=["snapmirror"])
    assert len(made["authentication"]["passphrase"]) >= 24
    shown = ontap.get(f"{PEERS}/{made['uuid']}?fields=**")
    assert (shown["name"], shown["status"]["state"], shown["encryption"]["state"]) == ("dr", "pending", "tls_psk")
    assert "passphrase" not in shown["authentication"]
    assert [svm["name"] for svm in shown["initial_allowed_svms"]] == ["svm1"]
    ontap.must("PATCH", f"{PEERS}/{made['uuid']}", {"name": "far", "remote": {"ip_addresses": ["192.0.2.1:4000"]}})
    assert ontap.names("remote.ip_addresses=192.0.2.1:4000", PEERS) == ["far"]
    ontap.must("PATCH", f"{PEERS}/{made['uuid']}", {"initial_allowed_svms": []})
    ontap.must("DELETE", f"{PEERS}/{made['uuid']}")
    assert refusal(ontap.ask("GET", f"{PEERS}/{made['uuid']}")) == (404, "4")


@pytest.mark.parametrize(
    ("given", "lasts"),
    [("PT30M", timedelta(minutes=30)), ("P1D", timedelta(days=1)), ("", timedelta(hours=1))],
)
def test_how_long_an_offer_stands(ontap: Door, given: str, lasts: timedelta) -> None:
    expiry = {"expiry_time": given} if given else {}
    made = offered(ontap, authentication={"generate_passphrase": True, **expiry})
    expires = datetime.fromisoformat(made["authentication"]["expiry_time"])
    assert timedelta() <= utc_now() + lasts - expires < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({**KNOWN}, (400, "4656069")),
        ({"remote": {"ip_addresses": ["192.0.2.1"]}}, (400, "4653236")),
        ({"remote": {"ip_addresses": ["192.0.2.1"]}, "authentication": {"passphrase": "short"}}, (400, "4653236")),
        ({"remote": {"ip_addresses": ["192.0.2.1:0"]}, **KNOWN}, (400, "4653368")),
        ({"remote": {"ip_addresses": ["192.0.2.1"] * 17}, **KNOWN}, (400, "4653368")),
        ({**GENERATED, "encryption": {"proposed": "none"}}, (400, "4653419")),
        ({**GENERATED, "peer_applications": ["flexcache"]}, (400, "262144017")),
        ({**GENERATED, "initial_allowed_svms": [{"name": "never"}]}, (404, "2621462")),
        ({**GENERATED, "name": "taken"}, (409, "4653075")),
        ({"authentication": {"generate_passphrase": True, "expiry_time": "soon"}}, (400, "262197")),
        ({"authentication": {"generate_passphrase": True, "expiry_time": "P8D"}}, (400, "262197")),
        ({"authentication": {"generate_passphrase": True, "passphrase": "long enough"}}, (400, "4656077")),
        ({**GENERATED, "local_network": {"netmask": "255.0.0.0"}}, (400, "262144017")),
    ],
)
def test_offers_that_cannot_be(ontap: Door, body: dict[str, Any], expected: tuple[int, str]) -> None:
    offered(ontap, name="taken")
    assert refusal(ontap.ask("POST", PEERS, body)) == expected
    assert ontap.names("", PEERS) == ["taken"]


def test_a_cluster_is_no_peer_of_itself(gateway: LiveGateway, ontap: Door) -> None:
    own = {"ip_addresses": [urlsplit(gateway.addresses["peer"]).netloc]}
    assert refusal(ontap.ask("POST", PEERS, {**KNOWN, "remote": own})) == (400, "4653058")
    assert ontap.names("", PEERS) == []


def test_who_does_not_answer_is_waited_for(ontap: Door) -> None:
    # Nobody listens at the port of this very gateway's door for peers that it speaks TLS with.
    http = {"ip_addresses": [urlsplit(str(ontap.client.base_url)).netloc]}
    ontap.must("POST", PEERS, {**KNOWN, "name": "late", "remote": http})
    (shown,) = ontap.get(f"{PEERS}?fields=**")["records"]
    assert (shown["authentication"]["state"], shown["status"]["state"]) == ("pending", "pending")


def test_peers_of_svms_need_a_cluster(ontap: Door) -> None:
    ontap.must("POST", f"{SVMS}?return_timeout=60", {"name": "dr"})
    far = {"svm": {"name": "svm1"}, "peer": {"svm": {"name": "dr"}, "cluster": {"name": "never"}}}
    assert refusal(ontap.ask("POST", SVM_PEERS, far)) == (404, "26345575")
    near = {"svm": {"name": "svm1"}, "peer": {"svm": {"name": "dr"}}}
    assert refusal(ontap.ask("POST", SVM_PEERS, near)) == (409, "9896086")
    body = {
        "source": {"path": "svm1:src", "cluster": {"name": "never"}},
        "destination": {"path": "svm1:dst"},
    }
    assert refusal(ontap.ask("POST", "/api/snapmirror/relationships", body)) == (404, "13303886")


def test_a_gateway_that_is_to_have_no_peers(tmp_path_factory: pytest.TempPathFactory) -> None:
    with live_gateway(tmp_path_factory.mktemp("alone")) as alone, door(alone) as ontap:
        assert refusal(ontap.ask("POST", PEERS, GENERATED)) == (400, "262144017")
        assert ontap.names("", PEERS) == []
