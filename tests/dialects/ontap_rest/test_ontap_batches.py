"""What a batch's job tells, without a socket."""

from __future__ import annotations

import msgspec
import pytest
from ontap_scene import CREATED, uid

from gateway.core import errors
from gateway.core.model import Job, JobPart, JobState, PartState
from gateway.frontends.ontap_rest.encode import accepted, results_href
from gateway.frontends.ontap_rest.errors import WireError, encode_error, from_record, to_record
from gateway.frontends.ontap_rest.render.batches import part_errors
from gateway.frontends.ontap_rest.render.cluster import render_job

DONE = JobPart(operation="volume.create", name="name: a", state=PartState.SUCCESS, ref=str(uid(1)))
QUEUED = JobPart(operation="volume.create", name="name: b")
TAKEN = errors.AlreadyExists(kind="volume", name="c", field="name")
FAILED = JobPart(operation="volume.create", name="name: c", state=PartState.FAILURE, error=TAKEN.to_record())
OWN = WireError(400, "787140", message='"aggregates" is required', target="aggregates")
RUNNING = Job(
    id=uid(30),
    operation="batch",
    description="POST /api/storage/volumes",
    state=JobState.RUNNING,
    created=CREATED,
    parts=(DONE, QUEUED),
)


def ended(*parts: JobPart, error: errors.GatewayError | None = None) -> Job:
    record = error.to_record() if error is not None else next((part.error for part in parts if part.error), None)
    return msgspec.structs.replace(
        RUNNING, state=JobState.FAILURE if record else JobState.SUCCESS, parts=parts, error=record, ended=CREATED
    )


@pytest.mark.parametrize("error", [OWN, WireError(409, "1", message="duplicate entry")])
def test_a_job_keeps_this_dialects_errors(error):
    kept = from_record(msgspec.json.decode(msgspec.json.encode(to_record(error)), type=errors.ErrorRecord))
    assert encode_error(kept) == encode_error(error)


def test_a_job_keeps_the_cores_errors():
    assert encode_error(from_record(TAKEN.to_record()), operation="volume.create") == encode_error(
        TAKEN, operation="volume.create"
    )


def test_a_running_batch_tells_how_far_it_is():
    assert render_job(RUNNING)["message"] == "1 of 2 records completed."
    undone = msgspec.structs.replace(DONE, state=PartState.UNDONE)
    back = msgspec.structs.replace(RUNNING, parts=(DONE, undone, FAILED))
    assert render_job(back)["message"] == "1 of 2 records rolled back."
    for job in (RUNNING, back):
        shown = render_job(job)
        assert (shown["state"], shown["code"]) == ("running", 0)
        assert "error" not in shown


def test_a_batch_that_succeeded_is_like_any_job():
    shown = render_job(ended(DONE))
    assert (shown["state"], shown["message"], shown["code"]) == ("success", "success", 0)
    assert part_errors(ended(DONE)) == {}


def test_the_first_failed_record_is_the_jobs_error():
    late = msgspec.structs.replace(FAILED, name="name: d", error=to_record(OWN))
    job = ended(DONE, FAILED, late)
    message = 'POST of record "name: c" failed. Reason: Duplicate volume name "c": it is already in use in the SVM.'
    shown = render_job(job)
    assert (shown["code"], shown["message"], shown["error"]["code"]) == (262287, message, "262287")
    assert shown["error"]["target"] == "name"
    found = part_errors(job)["errors"]
    assert found == [shown["error"], found[1]]
    assert found[1]["message"] == 'POST of record "name: d" failed. Reason: "aggregates" is required'
    assert found[1]["arguments"] == [{"code": "787140", "message": '"aggregates" is required'}]


def test_what_befell_the_whole_batch_is_told_as_such():
    job = ended(DONE, QUEUED, error=errors.Unavailable(what="gateway", reason="it was restarted"))
    shown = render_job(job)
    assert (shown["code"], shown["message"]) == (65552, "gateway is not available: it was restarted.")
    assert part_errors(job) == {"errors": [shown["error"]]}


def test_results_are_linked_beside_the_job():
    href = results_href("/api/storage/volumes", uid(30))
    assert href == f"/api/storage/volumes?job_results_uuid={uid(30)}"
    links = {"self": {"href": f"/api/cluster/jobs/{uid(30)}"}, "results": {"href": href}}
    assert accepted(uid(30), results=href) == {"job": {"uuid": str(uid(30)), "_links": links}}
