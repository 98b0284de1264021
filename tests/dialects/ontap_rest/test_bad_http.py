"""What is wrong below the dialect: framing, connections, slow and silent clients."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from wire_scene import BASIC, UNSAMPLED, Caller, Wire, check, everything, request, resident

from gateway.testing.live import LiveGateway, live_gateway

MEGABYTE = 1 << 20
HURRY = "[limits]\nreceive_timeout_s = 0.5\nmax_connections = 60\nshutdown_timeout_s = 5\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    with live_gateway(tmp_path_factory.mktemp("http"), periods=UNSAMPLED) as running:
        yield running


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGateway]:
    """A gateway that waits half a second for a request and takes sixty connections."""
    with live_gateway(tmp_path_factory.mktemp("hurried"), extra=HURRY) as running:
        yield running


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)), id="TLS hello"),
        pytest.param(b"\x00" * 64 + b"\r\n\r\n", id="NUL"),
        pytest.param(b"\xff\xfe\xfd\r\n\r\n", id="binary"),
        pytest.param(b"GET\r\n\r\n", id="no target"),
        pytest.param(b"GET /api/cluster HTTP/9.9\r\n\r\n", id="version"),
        pytest.param(request(b"BREW", b"/api/cluster"), id="unknown method"),
        pytest.param(request(b"X" * 300, b"/api/cluster"), id="long method"),
        pytest.param(request(b"get", b"/api/cluster"), id="small letters"),
        pytest.param(request(b"GET", b"/api/\xff\xfe"), id="raw bytes in the path"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2 preface"),
        pytest.param(b"GET /api/clus\x00ter HTTP/1.1\r\nHost: x\r\n\r\n", id="NUL in target"),
        pytest.param(b"GET /api/cluster HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n", id="blank in header name"),
        pytest.param(b"GET /api/cluster HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n", id="NUL in header"),
        pytest.param(b"GET /api/cluster HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", id="negative length"),
        pytest.param(b"GET /api/cluster HTTP/1.1\r\nHost: x\r\nContent-Length: 1e3\r\n\r\n", id="length no number"),
        pytest.param(b"GET /api/cluster HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", id="two lengths"),
        pytest.param(
            b"POST /api/cluster HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="length and chunks",
        ),
        pytest.param(b"GET /api/cluster HTTP/1.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", id="200 kB header"),
        pytest.param(b"GET /api/" + b"x" * 200_000 + b" HTTP/1.1\r\n\r\n", id="200 kB target"),
        pytest.param(b"GET /api/cluster HTTP/1.1\r\n" + b"X-Y: z\r\n" * 5000 + b"\r\n", id="5000 headers"),
        pytest.param(b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n", id="broken absolute URI"),
    ],
)
def test_what_is_no_request_gets_an_ontap_error_and_the_connection_ends(gateway: LiveGateway, data: bytes) -> None:
    with Wire(gateway) as wire:
        wire.send(data)
        reply = check(wire.reply())
        assert reply.status == 400
        assert reply.headers["connection"] == "close"
        assert wire.rest() == b""
    assert gateway.alive


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"GET /api/cluster HTTP/1.0\r\nAuthorization: %s\r\n\r\n" % BASIC, 200, id="HTTP/1.0"),
        pytest.param(request(b"GET", b"http://gateway/api/cluster"), 200, id="absolute URI"),
        pytest.param(request(b"GET", b"https://gateway:8443/api/cluster?fields=name"), 200, id="absolute URI, query"),
        pytest.param(request(b"GET", b"http://gateway"), 404, id="absolute URI without a path"),
        pytest.param(request(b"GET", b"/"), 404, id="root"),
        pytest.param(request(b"GET", b"/api"), 404, id="api"),
        pytest.param(request(b"GET", b"//api//cluster//"), 200, id="slashes"),
        pytest.param(request(b"OPTIONS", b"*"), 404, id="asterisk"),
        pytest.param(request(b"CONNECT", b"gateway:443"), 404, id="CONNECT"),
        pytest.param(request(b"PUT", b"/api/cluster"), 405, id="PUT"),
        pytest.param(request(b"TRACE", b"/api/cluster"), 405, id="TRACE"),
        pytest.param(request(b"PROPFIND", b"/api/cluster"), 405, id="method of others"),
        pytest.param(b"GET /api/cluster\r\n\r\n", 401, id="HTTP/0.9"),
        pytest.param(request(b"GET", b"/api/cluster", headers=((b"X", b"y" * 60_000),)), 200, id="60 kB header"),
        pytest.param(request(b"GET", b"/api/cluster", headers=((b"X", b"\xff\xfe"),)), 200, id="binary header"),
        pytest.param(request(b"GET", b"/api/cluster", headers=((b"Accept", b"\xff" * 99),)), 200, id="binary Accept"),
        pytest.param(request(b"GET", b"/api/svm/svms", headers=((b"X-Dot-SVM-Name", b"\xff\xfe"),)), 404, id="tunnel"),
        pytest.param(request(b"GET", b"/api/svm/svms", headers=((b"X-Dot-SVM-UUID", b"\xff\xfe"),)), 404, id="uuid"),
        pytest.param(
            request(b"GET", b"/api/cluster", headers=((b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"))),
            200,
            id="upgrade",
        ),
        pytest.param(
            request(b"POST", b"/api/svm/svms", b"\x1f\x8b\x08", ((b"Content-Encoding", b"gzip"),)), 400, id="gzip"
        ),
        pytest.param(request(b"POST", b"/api/svm/svms", b"??", ((b"Content-Encoding", b"br"),)), 400, id="brotli"),
        pytest.param(request(b"GET", b"//["), 404, id="broken authority"),
        pytest.param(request(b"GET", b"http://gateway?fields=name"), 404, id="absolute URI, query without a path"),
        pytest.param(request(b"GET", b"/api/%ff%fe%00"), 404, id="broken UTF-8 in the path"),
        pytest.param(request(b"GET", b"/api/storage/volumes/%ff%fe"), 404, id="broken UTF-8 in a key"),
        pytest.param(request(b"GET", b"/api/storage/volumes/%00"), 404, id="NUL in a key"),
        pytest.param(request(b"GET", b"/api/storage/volumes/%zz"), 404, id="broken escape in a key"),
        pytest.param(request(b"GET", b"/api/storage/volumes/" + b"x" * 10_000), 404, id="10 kB key"),
        pytest.param(request(b"GET", b"/api/protocols/nfs/export-policies/" + b"9" * 20), 404, id="2^63 key"),
        pytest.param(request(b"GET", b"/api/protocols/nfs/export-policies/" + b"9" * 9000), 404, id="huge number"),
        pytest.param(request(b"GET", b"/api/protocols/nfs/export-policies/1/rules/" + b"9" * 9000), 404, id="rule"),
        pytest.param(request(b"GET", b"/api/storage/volumes?name=%ff"), 400, id="broken UTF-8 in the query"),
        pytest.param(request(b"GET", b"/api/storage/volumes?name=\xff"), 400, id="raw byte in the query"),
        pytest.param(request(b"GET", b"/api/storage/volumes?name=%ed%a0%80"), 400, id="surrogate in the query"),
        pytest.param(request(b"GET", b"/api/storage/volumes?%ff=1"), 400, id="broken UTF-8 as a name"),
        pytest.param(request(b"GET", b"/api/storage/volumes?name=" + b"x" * 60_000), 200, id="60 kB query"),
        pytest.param(request(b"GET", b"/api/storage/volumes?name=" + b"%7C".join([b"x"] * 9000)), 200, id="9000 terms"),
        pytest.param(request(b"GET", b"/api/storage/volumes?name=%00"), 200, id="NUL in the query"),
        pytest.param(request(b"GET", b"/api/storage/volumes?" + b"&" * 60_000), 200, id="60,000 ampersands"),
    ],
)
def test_what_is_odd_but_a_request_is_answered(gateway: LiveGateway, data: bytes, status: int) -> None:
    with Wire(gateway) as wire:
        wire.send(data)
        assert check(wire.reply()).status == status


@pytest.mark.parametrize(
    "credentials",
    [
        pytest.param(b"", id="none"),
        pytest.param(b"Basic", id="nothing"),
        pytest.param(b"Basic ====", id="no base64"),
        pytest.param(b"Basic \xff\xfe", id="binary"),
        pytest.param(b"Basic " + base64.b64encode(b"\xff\xfe:\xff"), id="broken UTF-8"),
        pytest.param(b"Basic " + base64.b64encode(b"admin"), id="no colon"),
        pytest.param(b"Basic " + base64.b64encode(b"admin:" + b"x" * 30_000), id="30 kB password"),
        pytest.param(b"Basic " + base64.b64encode(b"admin:\x00"), id="NUL"),
        pytest.param(b"Basic " + base64.b64encode("admin:😀".encode()), id="emoji"),
        pytest.param(b"Bearer a.b.c", id="bearer"),
        pytest.param(b"Digest x", id="digest"),
    ],
)
def test_broken_credentials_are_a_401(gateway: LiveGateway, credentials: bytes) -> None:
    with Wire(gateway) as wire:
        wire.send(request(b"GET", b"/api/cluster", auth=credentials))
        reply = check(wire.reply())
    assert reply.status == 401
    assert reply.error["code"] == "6691623"
    assert "www-authenticate" in reply.headers


@pytest.mark.parametrize(
    "framing",
    [
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", id="size no number"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}garbage\r\n0\r\n\r\n", id="chunk too long"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n", id="negative size"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 20_000 + b"\r\n", id="endless size"),
        pytest.param(b"Transfer-Encoding: gzip\r\n\r\n{}", id="encoding unknown"),
    ],
)
def test_a_body_of_broken_chunks_is_a_400_and_changes_nothing(gateway: LiveGateway, framing: bytes) -> None:
    caller = Caller(gateway)
    before = everything(caller)
    with Wire(gateway) as wire:
        wire.send(b"POST /api/svm/svms HTTP/1.1\r\nHost: x\r\nAuthorization: " + BASIC + b"\r\n" + framing)
        reply = check(wire.reply())
        assert reply.status == 400
        wire.rest()
    assert everything(caller) == before
    caller.close()


def test_a_client_that_goes_away_in_its_body_changes_nothing_and_is_no_defect(gateway: LiveGateway) -> None:
    caller = Caller(gateway)
    before = everything(caller)
    for _ in range(20):
        with Wire(gateway) as wire:
            body = b'{"name": "half", "comment": "'
            wire.send(request(b"POST", b"/api/svm/svms", body).replace(b"Content-Length: 29", b"Content-Length: 999"))
    with Wire(gateway) as wire:
        wire.send(request(b"POST", b"/api/svm/svms", b"{}").replace(b"Content-Length: 2", b"Content-Length: 9"))
        wire.half_close()
        wire.rest()
    assert everything(caller) == before
    caller.close()
    assert "defect" not in gateway.tail(10_000)


def test_pipelined_requests_are_answered_in_order(gateway: LiveGateway) -> None:
    wanted = [b"name", b"uuid", b"nonsense", b"version"] * 100
    with Wire(gateway) as wire:
        wire.send(b"".join(request(b"GET", b"/api/cluster?fields=" + field) for field in wanted))
        replies = [check(wire.reply()) for _ in wanted]
    assert [reply.status for reply in replies] == [400 if field == b"nonsense" else 200 for field in wanted]
    assert all(field.decode() in reply.json for field, reply in zip(wanted, replies, strict=True) if reply.status < 400)


def test_garbage_behind_a_request_does_not_harm_its_answer(gateway: LiveGateway) -> None:
    with Wire(gateway) as wire:
        wire.send(request(b"GET", b"/api/cluster"))
        assert check(wire.reply()).status == 200
        wire.send(b"\x00\x01\x02\r\n\r\n")
        assert check(wire.reply()).status == 400
        assert wire.rest() == b""


def test_a_body_too_large_is_refused_before_it_is_sent(gateway: LiveGateway) -> None:
    with Wire(gateway) as wire:
        head = request(b"POST", b"/api/storage/volumes", b"x").replace(
            b"Content-Length: 1", b"Content-Length: 104857600"
        )
        wire.send(head.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n").removesuffix(b"x"))
        reply = check(wire.reply())
        assert reply.status == 413
        assert wire.rest() == b""


def test_a_client_that_asks_first_is_told_to_go_on(gateway: LiveGateway) -> None:
    head = b"POST /api/svm/svms HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\nAuthorization: "
    with Wire(gateway) as wire:
        wire.send(head + BASIC + b"\r\n\r\n")
        assert wire.interim() == 100
        wire.send(b"{}")
        assert check(wire.reply()).error["target"] == "name"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_hundred_megabytes_are_refused_with_flat_memory(gateway: LiveGateway, *, chunked: bool) -> None:
    caller = Caller(gateway)
    before, memory = everything(caller), resident(gateway)
    head = request(b"POST", b"/api/storage/volumes", b"x").removesuffix(b"x")
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (100 * MEGABYTE)
    sent = 0
    with Wire(gateway) as wire:
        wire.send(head.replace(b"Content-Length: 1", framing))
        try:
            while sent < 100 * MEGABYTE:
                wire.send((b"%x\r\n%s\r\n" % (MEGABYTE, b" " * MEGABYTE)) if chunked else b" " * MEGABYTE)
                sent += MEGABYTE
        except ConnectionError:
            pass
        else:
            assert check(wire.reply()).status == 413
    assert everything(caller) == before
    assert resident(gateway) < memory + 16 * MEGABYTE
    caller.close()


def test_a_request_whose_head_never_ends_is_cut_off(hurried: LiveGateway) -> None:
    with Wire(hurried) as wire:
        wire.send(b"GET /api/cluster HTTP/1.1\r\nHost: gateway\r\nX-Slow: ")
        reply = check(wire.reply())
        assert reply.status == 408
        assert wire.rest() == b""


def test_a_connection_that_says_nothing_is_cut_off(hurried: LiveGateway) -> None:
    with Wire(hurried) as wire:
        assert wire.rest().startswith(b"HTTP/1.1 408 ")


def test_a_client_that_sends_byte_after_byte_is_cut_off(hurried: LiveGateway) -> None:
    with Wire(hurried) as wire:
        wire.send(request(b"GET", b"/api/cluster"))
        assert check(wire.reply()).status == 200
        trickled = wire.trickle(b"GET /api/cluster HTTP/1.1\r\nX-Slow: " + b"x" * 10_000, every_s=0.05)
        assert trickled < 10_000
        assert b"408" in wire.rest()


def test_a_body_that_does_not_come_is_a_408(hurried: LiveGateway) -> None:
    caller = Caller(hurried)
    before = everything(caller)
    with Wire(hurried) as wire:
        wire.send(request(b"POST", b"/api/svm/svms", b'{"name": "x"}').replace(b"Length: 13", b"Length: 14"))
        reply = check(wire.reply())
        assert reply.status == 408
        assert wire.rest() == b""
    assert everything(caller) == before
    caller.close()


def test_connections_beyond_the_limit_are_refused_and_the_others_served(hurried: LiveGateway) -> None:
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(hurried)) for _ in range(60)]
        for wire in wires:
            wire.send(request(b"GET", b"/api/cluster"))
        assert {check(wire.reply()).status for wire in wires} == {200}
        surplus = stack.enter_context(Wire(hurried))
        reply = check(surplus.reply())
        assert reply.status == 503
        assert reply.headers["retry-after"] == "1"
        assert surplus.rest() == b""
        wires[0].send(request(b"GET", b"/api/cluster"))
        assert check(wires[0].reply()).status == 200
    caller = Caller(hurried)
    assert caller.until_admitted(b"/api/cluster").status == 200
    caller.close()


def test_thousands_of_idle_connections_cost_little(gateway: LiveGateway) -> None:
    caller = Caller(gateway)
    caller.get("/api/cluster")
    before = resident(gateway)
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(gateway)) for _ in range(2000)]
        for wire in wires[::10]:
            wire.send(request(b"GET", b"/api/cluster"))
            assert check(wire.reply()).status == 200
        grown = resident(gateway) - before
        caller.get("/api/storage/volumes")
    caller.close()
    assert grown < 2000 * 32 * 1024
    assert gateway.alive


def test_a_tls_listener_survives_what_is_no_tls(tmp_path_factory: pytest.TempPathFactory) -> None:
    with live_gateway(tmp_path_factory.mktemp("tls"), tls=True, extra=HURRY) as gateway:
        for data in (request(b"GET", b"/api/cluster"), b"\x16\x03\x01\xff\xff" + b"\x00" * 300, b"\x00" * 5, b""):
            with Wire(gateway) as wire:
                wire.send(data)
                assert b"HTTP/1.1 200" not in wire.rest()
        assert gateway.alive
        assert "Traceback" not in gateway.tail(1000)


def test_a_client_that_does_not_take_its_answer_is_dropped(tmp_path_factory: pytest.TempPathFactory) -> None:
    limits = "[limits]\nrequest_timeout_s = 1.0\nreceive_timeout_s = 0.5\n"
    with live_gateway(tmp_path_factory.mktemp("deaf"), extra=limits) as gateway, Wire(gateway) as wire:
        wire.shrink()
        with pytest.raises(ConnectionError):
            wire.send(request(b"GET", b"/api/storage/snapshot-policies?fields=**") * 100_000)
        assert gateway.alive
