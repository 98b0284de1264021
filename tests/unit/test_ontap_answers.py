"""What a cluster may answer, scripted: every class of error, HTML, silence, jobs, pages, certificates."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
from ontap_wire import JOB, URL, Clock, accepted, options, records, refusal

from gateway.backends.ontap.cluster import VOLUMES, Cluster
from gateway.backends.ontap.failures import MEANINGS, Subject, meaning, translated
from gateway.backends.ontap.records import FlexVol
from gateway.backends.ontap.transport import Bucket, GuardedTransport, trust
from gateway.client import Client, ClientError
from gateway.client.flows import fetch
from gateway.core import errors
from gateway.core.model import utc_now
from gateway.server.certificate import write_self_signed

AT = Subject(pool="pool", kind="volume", ref="v", action="resize")
FOUND = FlexVol(uuid="u1", name="gw_x", size=20 << 20)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster(clock: Clock) -> Iterator[Cluster]:
    made = Cluster("pool", options(), clock=clock, pause=clock.pause)
    yield made
    made.close()


@pytest.fixture
def wire() -> Iterator[respx.MockRouter]:
    with respx.mock(base_url=URL, assert_all_called=False) as router:
        yield router


def failed(act: Callable[[], object]) -> errors.GatewayError:
    with pytest.raises(errors.GatewayError) as caught, translated(AT):
        act()
    return caught.value


# --- errors ---


@pytest.mark.parametrize("code", MEANINGS)
def test_every_code_means_an_error_of_the_core(code: str) -> None:
    found = meaning(AT, ClientError(400, code, "the cluster's own words"))
    assert type(found) in errors.tree().values()
    assert "own words" not in str(found)
    if isinstance(found, errors.Unavailable | errors.Unsupported | errors.InvalidState):
        assert code in str(found)


@pytest.mark.parametrize(
    ("answer", "kind", "word"),
    [
        (refusal("4", status=404), errors.NotFound, ""),
        (refusal("917526", status=409), errors.AlreadyExists, ""),
        (refusal("524615", status=409), errors.InUse, "clones"),
        (refusal("917534"), errors.LimitExceeded, "size"),
        (refusal("1115127"), errors.Unsupported, "1115127"),
        (refusal("6", status=403), errors.Unavailable, "account"),
        (refusal("6691623", status=401), errors.Unavailable, "account"),
        (refusal("99999999", status=500), errors.Unavailable, "99999999"),
        (httpx.Response(401), errors.Unavailable, "account"),
        (httpx.Response(403, html="<html>"), errors.Unavailable, "account"),
        (httpx.Response(502, html="<html>Bad gateway</html>"), errors.Unavailable, "502"),
        (httpx.Response(503, html="<html>"), errors.Busy, ""),
        (httpx.Response(200, html="<html>Sign in</html>"), errors.Unavailable, "usable"),
        (httpx.Response(200, content=b""), errors.Unavailable, "usable"),
        (httpx.Response(200, json=[1]), errors.Unavailable, "usable"),
        (httpx.Response(200, json={"job": 5}), errors.Unavailable, "usable"),
        (httpx.Response(302, headers={"Location": "https://elsewhere.example/"}), errors.Unavailable, "302"),
        (httpx.ConnectError("refused"), errors.Unavailable, "reached"),
        (httpx.ReadTimeout("late"), errors.Timeout, ""),
        (httpx.RemoteProtocolError("cut"), errors.Unavailable, "usable"),
    ],
)
def test_a_change_that_is_refused(
    wire: respx.MockRouter, cluster: Cluster, answer: Any, kind: type[errors.GatewayError], word: str
) -> None:
    route = wire.patch(f"{VOLUMES}/u1").mock(
        **({"side_effect": answer} if isinstance(answer, Exception) else {"return_value": answer})
    )
    error = failed(lambda: cluster.set_volume(FOUND, {"size": 1}))
    assert type(error) is kind
    assert word in str(error)
    assert "secret" not in str(error)
    assert route.call_count == 1, "a change is never sent twice"


def test_a_change_that_was_not_begun_is_asked_for_again(wire: respx.MockRouter, cluster: Cluster, clock: Clock) -> None:
    route = wire.patch(f"{VOLUMES}/u1").mock(
        side_effect=[refusal("13107406", status=409), refusal("13107406", status=409), httpx.Response(200, json={})]
    )
    cluster.set_volume(FOUND, {"size": 1})
    assert route.call_count == 3
    assert clock.pauses == [0.25, 0.5]
    route.mock(return_value=refusal("13107406", status=409))
    assert isinstance(failed(lambda: cluster.set_volume(FOUND, {"size": 1})), errors.Busy)
    assert route.call_count == 9


def test_what_is_gone_already_is_removed(wire: respx.MockRouter, cluster: Cluster) -> None:
    wire.delete(f"{VOLUMES}/u1").mock(return_value=refusal("4", status=404))
    cluster.remove_volume(FOUND)


@pytest.mark.parametrize(
    ("silence", "kind"),
    [(httpx.ReadTimeout("late"), errors.Timeout), (httpx.RemoteProtocolError("reset"), errors.Unavailable)],
)
def test_what_was_made_although_no_answer_came_is_made(
    wire: respx.MockRouter, cluster: Cluster, silence: httpx.TransportError, kind: type[errors.GatewayError]
) -> None:
    made = wire.post(VOLUMES).mock(side_effect=silence)
    there = httpx.Response(200, json=records({"uuid": "u1", "name": "gw_x"}))
    wire.get(path=VOLUMES).mock(side_effect=[httpx.Response(200, json=records()), there])
    cluster.make_volume({"name": "gw_x"})
    assert made.call_count == 1
    wire.get(path=VOLUMES).mock(return_value=httpx.Response(200, json=records()))
    assert isinstance(failed(lambda: cluster.make_volume({"name": "gw_x"})), kind)


# --- jobs ---


def job(state: str, **more: object) -> httpx.Response:
    return httpx.Response(200, json={"uuid": JOB, "state": state, "message": "", **more})


def test_a_job_is_looked_at_less_and_less_often_until_it_ends(
    wire: respx.MockRouter, cluster: Cluster, clock: Clock
) -> None:
    sent = wire.patch(f"{VOLUMES}/u1").mock(return_value=accepted())
    looked = wire.get(f"/api/cluster/jobs/{JOB}").mock(
        side_effect=[*[job("queued")] * 2, *[job("running")] * 6, job("success")]
    )
    cluster.set_volume(FOUND, {"size": 1})
    assert sent.calls[0].request.url.params["return_timeout"] == "15"
    assert looked.call_count == 9
    assert clock.pauses == sorted(clock.pauses)
    assert clock.pauses[-1] == 1.0


def test_an_answer_that_waited_for_its_job_needs_no_look(wire: respx.MockRouter, cluster: Cluster) -> None:
    wire.post(VOLUMES).mock(return_value=httpx.Response(201, json=json.loads(accepted().content)))
    cluster.make_volume({"name": "gw_x"})


@pytest.mark.parametrize(
    ("answer", "kind", "word"),
    [
        (job("failure", code=917534, error={"message": "small", "code": "917534"}), errors.LimitExceeded, "size"),
        (job("failure", code=460770), errors.Unavailable, "460770"),
        (job("failure"), errors.Unavailable, ""),
        (job("cancelled"), errors.Unavailable, ""),
        (refusal("4", status=404), errors.Unavailable, ""),
        (httpx.Response(200, html="<html>"), errors.Unavailable, "usable"),
    ],
)
def test_a_job_that_fails(
    wire: respx.MockRouter, cluster: Cluster, answer: httpx.Response, kind: type[errors.GatewayError], word: str
) -> None:
    wire.patch(f"{VOLUMES}/u1").mock(return_value=accepted())
    wire.get(f"/api/cluster/jobs/{JOB}").mock(return_value=answer)
    error = failed(lambda: cluster.set_volume(FOUND, {"size": 1}))
    assert type(error) is kind, "a job that is forgotten is no volume that is missing"
    assert word in str(error)


def test_a_job_that_does_not_end_is_given_up(wire: respx.MockRouter, cluster: Cluster, clock: Clock) -> None:
    wire.patch(f"{VOLUMES}/u1").mock(return_value=accepted())
    wire.get(f"/api/cluster/jobs/{JOB}").mock(return_value=job("running"))
    assert isinstance(failed(lambda: cluster.set_volume(FOUND, {"size": 1})), errors.Timeout)
    assert 60 <= sum(clock.pauses) < 62


def test_a_look_at_a_job_survives_a_broken_connection(wire: respx.MockRouter, cluster: Cluster) -> None:
    wire.patch(f"{VOLUMES}/u1").mock(return_value=accepted())
    wire.get(f"/api/cluster/jobs/{JOB}").mock(
        side_effect=[
            httpx.RemoteProtocolError("cut"),
            httpx.Response(503, headers={"Retry-After": "7"}),
            job("success"),
        ]
    )
    cluster.set_volume(FOUND, {"size": 1})


# --- pages ---


def test_pages_are_followed_to_the_end(wire: respx.MockRouter, cluster: Cluster) -> None:
    pages = wire.get(path=VOLUMES).mock(
        side_effect=[
            httpx.Response(200, json=records({"uuid": "1", "name": "gw_a"}, following=f"{VOLUMES}?start.uuid=1")),
            httpx.Response(200, json=records(following=f"{VOLUMES}?start.uuid=2")),
            httpx.Response(200, json=records({"uuid": "3", "name": "gw_c"})),
        ]
    )
    assert [found.uuid for found in cluster.flexvols("gw_*")] == ["1", "3"]
    assert pages.calls[0].request.url.params["svm.name"] == "svm1"
    assert str(pages.calls[2].request.url) == f"{URL}{VOLUMES}?start.uuid=2"


@pytest.mark.parametrize("href", ["https://elsewhere.example/api/x", "//elsewhere.example/api", "/other"])
def test_a_next_page_that_is_elsewhere_is_not_asked_for(wire: respx.MockRouter, cluster: Cluster, href: str) -> None:
    wire.get(path=VOLUMES).mock(return_value=httpx.Response(200, json=records(following=href)))
    assert isinstance(failed(lambda: list(cluster.flexvols("gw_*"))), errors.Unavailable)


# --- silence ---


def test_a_cluster_that_does_not_answer_is_left_alone_for_a_while(
    wire: respx.MockRouter, cluster: Cluster, clock: Clock
) -> None:
    route = wire.get("/api/cluster").mock(side_effect=httpx.ConnectError("refused"))
    ask = lambda: cluster.get("/api/cluster", dict, fields="name")
    assert "reached" in str(failed(ask))
    assert route.call_count == 3
    assert "left alone" in str(failed(ask))
    assert route.call_count == 3, "nobody asked"
    clock.now += 31
    assert "reached" in str(failed(ask))
    assert route.call_count == 4, "one that tried"
    clock.now += 31
    route.mock(return_value=httpx.Response(200, json={}))
    ask()
    route.mock(side_effect=[httpx.ConnectError("refused"), httpx.Response(200, json={})])
    ask()


def test_an_answer_that_drips_is_not_waited_for(clock: Clock) -> None:
    class Drip(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                clock.now += 10
                yield b" "

    inner = httpx.MockTransport(lambda _request: httpx.Response(200, stream=Drip()))
    guarded = GuardedTransport(inner, what="pool", rate_per_s=0, rest_s=30, clock=clock, pause=clock.pause)
    with Client(URL, timeout_s=30, transport=guarded) as client, pytest.raises(ClientError) as caught:
        client.run(_get("/api/cluster"))
    assert caught.value.late
    assert clock.now == 40


def test_an_answer_without_end_is_cut_off(clock: Clock) -> None:
    class Flood(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield bytes(1 << 24)

    inner = httpx.MockTransport(lambda _request: httpx.Response(200, stream=Flood()))
    guarded = GuardedTransport(inner, what="pool", rate_per_s=0, rest_s=30, clock=clock, pause=clock.pause)
    with Client(URL, transport=guarded) as client, pytest.raises(ClientError):
        client.run(_get("/api/cluster"))


def _get(path: str) -> Any:
    return fetch(path, dict, fields="name")


def test_requests_are_sent_at_a_bounded_rate(clock: Clock) -> None:
    bucket = Bucket(10, clock=clock, pause=clock.pause)
    for _ in range(30):
        bucket.take()
    assert clock.now == pytest.approx(2.0)
    clock.now += 100
    before = clock.now
    for _ in range(10):
        bucket.take()
    assert clock.now == before, "as many as a second's worth at once"


# --- whom to trust ---


@contextmanager
def tls_server(folder: Path) -> Iterator[tuple[int, str, list[bytes]]]:
    """Give the port of a server, the fingerprint of its certificate, and what it is sent."""
    write_self_signed(certificate=folder / "cert.pem", key=folder / "key.pem", names=(), now=utc_now(), overwrite=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert((folder / "cert.pem").read_text())).hexdigest()
    heard: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(plain, server_side=True) as secure:
                    heard.append(secure.recv(65536))
                    secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            except OSError:
                continue

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1], fingerprint, heard
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_pinned_certificate_is_looked_at_before_anything_is_sent(tmp_path: Path) -> None:
    with tls_server(tmp_path) as (port, fingerprint, heard):
        colons = ":".join(fingerprint[at : at + 2].upper() for at in range(0, 64, 2))
        for pin in (fingerprint, colons):
            made = Cluster("pool", options(url=f"https://127.0.0.1:{port}", fingerprint=pin))
            assert made.get("/api/cluster", dict, fields="name") == {}
            made.close()
        assert len(heard) == 2
        heard.clear()
        for wrong in ({}, {"fingerprint": ""}):
            made = Cluster("pool", options(url=f"https://127.0.0.1:{port}", **wrong), pause=lambda _s: None)
            assert "not trusted" in str(failed(lambda made=made: made.get("/api/cluster", dict, fields="name")))
            made.close()
        assert [sent for sent in heard if sent] == [], "the password went nowhere"
        made = Cluster("pool", options(url=f"https://localhost:{port}", fingerprint="", ca=tmp_path / "cert.pem"))
        assert made.get("/api/cluster", dict, fields="name") == {}
        made.close()


def test_a_password_does_not_go_over_plain_http_to_elsewhere() -> None:
    with pytest.raises(errors.Unavailable, match="https"):
        Cluster("pool", options(url="http://cluster.example"))
    Cluster("pool", options(url="http://127.0.0.1:1")).close()
    for url in ("cluster.example", "ftp://cluster.example", "https://"):
        with pytest.raises(errors.Unavailable, match="no address"):
            Cluster("pool", options(url=url))


def test_a_ca_that_is_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    assert isinstance(trust("00" * 32, None), ssl.SSLContext)
    with pytest.raises(errors.Unavailable, match=r"ca\.pem"):
        Cluster("pool", options(fingerprint="", ca=tmp_path / "ca.pem"))
    with pytest.raises(errors.Unavailable, match=r"none\.pem"):
        Cluster("pool", options(fingerprint="", ca=tmp_path / "none.pem"))
