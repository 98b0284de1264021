from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import msgspec
import pytest
import structlog

from gateway.config import LogFormat, LogLevel, LogSettings
from gateway.core.errors import Busy, ErrorRecord
from gateway.core.model import Intent, Job, JobState, utc_now
from gateway.core.observer import Observer
from gateway.observe import (
    REQUEST_ID,
    AccessLog,
    AuditLog,
    Metrics,
    ReportingObserver,
    RequestIds,
    configure_logging,
    sample_loop_lag,
)

SOME_ID = UUID(int=1)


@pytest.fixture
def stream() -> Iterator[io.BytesIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.BytesIO()
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.BytesIO) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]


def test_a_json_line_has_its_fields_and_no_secret(stream: io.BytesIO) -> None:
    configure_logging(LogSettings(), stream)
    log = structlog.get_logger("any")
    log.info("volume_made", size=3, id=SOME_ID, Password="hunter2", nested={"token": "hunter2", "x": 1})
    log.debug("not_written")
    [line] = lines(stream)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert (line["level"], line["event"], line["size"], line["id"]) == ("info", "volume_made", 3, str(SOME_ID))
    assert line["nested"] == {"token": "(hidden)", "x": 1}
    assert b"hunter2" not in stream.getvalue()


def test_hiding_leaves_the_callers_table_alone(stream: io.BytesIO) -> None:
    configure_logging(LogSettings(), stream)
    given = {"token": "x"}
    structlog.get_logger().info("event", nested=given)
    assert given == {"token": "x"}


@pytest.mark.parametrize("text", ["two\nlines", "\x1b[31m", "\u2028", "\udcff", "\x00"])
def test_one_event_is_one_line_whatever_is_in_it(stream: io.BytesIO, text: str) -> None:
    configure_logging(LogSettings(), stream)
    structlog.get_logger().warning("event", text=text)
    assert stream.getvalue().count(b"\n") == 1
    assert b"\x1b" not in stream.getvalue()


def test_the_request_id_is_on_every_line_of_its_task(stream: io.BytesIO) -> None:
    configure_logging(LogSettings(), stream)
    token = REQUEST_ID.set("r-1")
    structlog.get_logger().info("within")
    REQUEST_ID.reset(token)
    structlog.get_logger().info("outside")
    within, outside = lines(stream)
    assert within["request_id"] == "r-1"
    assert "request_id" not in outside


def test_other_libraries_log_through_the_same_stream(stream: io.BytesIO) -> None:
    configure_logging(LogSettings(), stream)
    logging.getLogger("their.module").warning("it is %s", "late")
    logging.getLogger("their.module").info("noise")
    [line] = lines(stream)
    assert (line["event"], line["logger"], line["level"]) == ("it is late", "their.module", "warning")


def test_console_lines_are_for_people(stream: io.BytesIO) -> None:
    configure_logging(LogSettings(format=LogFormat.CONSOLE, level=LogLevel.DEBUG), stream)
    structlog.get_logger().debug("started", doors=2, secret="hunter2")
    assert b"started" in stream.getvalue()
    assert b"doors=2" in stream.getvalue()
    assert b"hunter2" not in stream.getvalue()


def test_a_traceback_for_people_shows_no_variables(stream: io.BytesIO) -> None:
    """Whatever else is installed: rich would show them."""
    configure_logging(LogSettings(format=LogFormat.CONSOLE), stream)
    (console,) = [each for each in structlog.get_config()["processors"] if hasattr(each, "exception_formatter")]
    assert console.exception_formatter is structlog.dev.plain_traceback


def test_an_exception_is_in_the_line(stream: io.BytesIO) -> None:
    configure_logging(LogSettings(), stream)
    ReportingObserver(Metrics()).defect("i-1", ValueError("why"))
    [line] = lines(stream)
    assert (line["event"], line["incident"], line["level"]) == ("defect", "i-1", "error")
    assert "ValueError: why" in line["exception"]


def test_audit_lines(stream: io.BytesIO) -> None:
    configure_logging(LogSettings(), stream)
    AuditLog().record(who="admin", door="ontap", operation="create", target="v1", outcome="success", job="j")
    [line] = lines(stream)
    del line["timestamp"]
    assert line == {
        "level": "info",
        "event": "audit",
        "who": "admin",
        "door": "ontap",
        "operation": "create",
        "target": "v1",
        "outcome": "success",
        "job": "j",
    }


def access(share: float = 1.0, form: LogFormat = LogFormat.JSON) -> tuple[AccessLog, list[bytes]]:
    written: list[bytes] = []
    log = AccessLog(LogSettings(access_sample=share, format=form), written.append, clock=lambda: 1_700_000_000.25)
    return log, written


def test_an_access_line() -> None:
    log, written = access()
    log.record(
        door="ontap", method="GET", path="/api/x?y", status=200, seconds=0.0123456, size=9, who="a", request_id="r"
    )
    [line] = written
    assert line.endswith(b"}\n")
    assert msgspec.json.decode(line) == {
        "timestamp": "2023-11-14T22:13:20.250000Z",
        "level": "info",
        "event": "access",
        "door": "ontap",
        "method": "GET",
        "path": "/api/x?y",
        "status": 200,
        "ms": 12.346,
        "bytes": 9,
        "who": "a",
        "peer": "",
        "request_id": "r",
    }


@pytest.mark.parametrize("field", ["password", "chap.inbound.password", "authentication.passphrase", "Password"])
def test_a_password_in_a_query_is_not_kept(field: str) -> None:
    log, written = access()
    log.record(door="ontap", method="PATCH", path=f"/api/x?a=b&{field}=secret&c=d", status=400, seconds=0)
    assert msgspec.json.decode(written[0])["path"] == f"/api/x?a=b&{field}=***&c=d"


@pytest.mark.parametrize(("share", "written_of_100"), [(0.0, 0), (0.01, 1), (0.25, 25), (1.0, 100)])
def test_successful_reads_are_sampled_evenly(share: float, written_of_100: int) -> None:
    log, written = access(share)
    for _ in range(100):
        log.record(door="d", method="GET", path="/", status=200, seconds=0)
    assert abs(len(written) - written_of_100) <= 1


@pytest.mark.parametrize(
    ("method", "status"), [("POST", 201), ("DELETE", 200), ("PATCH", 202), ("GET", 404), ("GET", 500)]
)
def test_changes_and_failures_are_never_left_out(method: str, status: int) -> None:
    log, written = access(0.0)
    log.record(door="d", method=method, path="/", status=status, seconds=0)
    assert len(written) == 1


@pytest.mark.parametrize("form", list(LogFormat))
@pytest.mark.parametrize("field", ["path", "who", "request_id"])
def test_no_text_of_a_client_can_forge_a_line_or_reach_the_terminal(form: LogFormat, field: str) -> None:
    log, written = access(form=form)
    sent: dict[str, Any] = {"path": "/", field: "/\n\x1b[31m\udcff"}
    log.record(door="d", method="GET", status=200, seconds=0, **sent)
    [line] = written
    assert line.count(b"\n") == 1
    assert b"\x1b" not in line


def test_request_ids_differ() -> None:
    one, two = RequestIds(), RequestIds()
    made = [ids.new() for ids in (one, two) for _ in range(100)]
    assert len(set(made)) == 200


def test_metrics_of_a_route() -> None:
    metrics = Metrics()
    route = metrics.route(door="ontap", route="/storage/volumes/{uuid}", method="GET")
    for status in (200, 204, 404):
        route.observe(status, 0.003)
    page = metrics.render().decode()
    labels = 'door="ontap",method="GET",route="/storage/volumes/{uuid}",status='
    assert f'gateway_request_seconds_count{{{labels}"2xx"}} 2.0' in page
    assert f'gateway_request_seconds_count{{{labels}"4xx"}} 1.0' in page
    assert f'gateway_request_seconds_sum{{{labels}"4xx"}} 0.003' in page


def test_a_time_falls_into_every_bucket_that_holds_it() -> None:
    metrics = Metrics()
    route = metrics.route(door="ontap", route="/x", method="GET")
    for seconds in (0.0005, 0.00051, 60.0, 61.0):
        route.observe(200, seconds)
    page = metrics.render().decode()

    def within(bound: str) -> str:
        start = f'gateway_request_seconds_bucket{{door="ontap",le="{bound}",method="GET",route="/x",status="2xx"}} '
        return page.partition(start)[2].partition("\n")[0]

    assert [within(bound) for bound in ("0.0005", "0.001", "15.0", "60.0", "+Inf")] == [
        "1.0",
        "2.0",
        "2.0",
        "3.0",
        "4.0",
    ]


def test_two_gateways_in_one_process_count_apart() -> None:
    one, two = Metrics(), Metrics()
    one.open_intents.inc()
    assert "gateway_open_intents 1.0" in one.render().decode()
    assert "gateway_open_intents 0.0" in two.render().decode()


def intent_and_job(state: JobState) -> tuple[Intent, Job]:
    intent = Intent(
        id=SOME_ID, operation="create", owner="o", job_id=SOME_ID, pool_id=SOME_ID, keys=(), created=utc_now()
    )
    error = ErrorRecord(type="Busy", fields={}) if state is JobState.FAILURE else None
    return intent, Job(id=SOME_ID, operation="create", description="", state=state, created=utc_now(), error=error)


def test_the_observer_counts_changes_and_substrate_operations(stream: io.BytesIO) -> None:
    configure_logging(LogSettings(), stream)
    metrics = Metrics()
    observer: Observer = ReportingObserver(metrics)
    intent, job = intent_and_job(JobState.FAILURE)
    observer.intent_opened(intent)
    assert "gateway_open_intents 1.0" in metrics.render().decode()
    observer.intent_closed(intent, job)
    with observer.substrate("p", "create"):
        pass
    with pytest.raises(Busy), observer.substrate("p", "create"):
        raise Busy(what="x")
    with pytest.raises(ZeroDivisionError), observer.substrate("p", "delete"):
        raise ZeroDivisionError
    with pytest.raises(asyncio.CancelledError), observer.substrate("p", "cancelled"):
        raise asyncio.CancelledError
    observer.event("pool_not_open", pool="p")
    page = metrics.render().decode()
    assert "gateway_open_intents 0.0" in page
    assert 'gateway_jobs_total{state="failure"} 1.0' in page
    assert 'gateway_substrate_seconds_count{operation="create",pool="p"} 2.0' in page
    assert 'gateway_substrate_failures_total{error="Busy",operation="create",pool="p"} 1.0' in page
    assert 'gateway_substrate_failures_total{error="Internal",operation="delete",pool="p"} 1.0' in page
    assert 'gateway_substrate_failures_total{error="Internal",operation="cancelled"' not in page
    assert [line["event"] for line in lines(stream)] == ["pool_not_open"]


async def test_loop_lag_is_sampled_until_cancelled() -> None:
    metrics = Metrics()
    enough = asyncio.Event()
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > 3:
            enough.set()
            await asyncio.Event().wait()

    sampler = asyncio.ensure_future(sample_loop_lag(metrics, every_s=0.0, pause=pause))
    await enough.wait()
    sampler.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sampler
    assert "gateway_loop_lag_seconds_count 3.0" in metrics.render().decode()
