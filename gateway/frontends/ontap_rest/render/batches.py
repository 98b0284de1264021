"""What a batch's job tells about its records."""

from __future__ import annotations

from gateway.core.errors import ErrorRecord
from gateway.core.model import Job, JobPart, JobState, PartState
from gateway.frontends.ontap_rest.errors import JsonObject, encode_error, from_record

_FAILED = "262287"


def progress(job: Job) -> str:
    """Say how far a running batch is."""
    done = sum(part.state is PartState.SUCCESS for part in job.parts)
    undone = sum(part.state is PartState.UNDONE for part in job.parts)
    if undone:
        return f"{undone} of {done + undone} records rolled back."
    return f"{done} of {len(job.parts)} records completed."


def batch_error(job: Job) -> JsonObject | None:
    """Give why a batch failed: its first record that did, or what befell it as a whole; None when it did not fail."""
    for part in job.parts:
        if part.state is PartState.FAILURE and job.state is JobState.FAILURE and part.error is not None:
            return _part(job, part, part.error)
    if job.error is None:
        return None
    _, body = encode_error(from_record(job.error), operation=job.operation)
    error = body["error"]
    return error if isinstance(error, dict) else None


def part_errors(job: Job) -> JsonObject:
    """Give `errors` and `rollback_errors` of the records, each only when there are any."""
    failed = [_part(job, part, part.error) for part in job.parts if part.error is not None]
    stuck = [_part(job, part, part.undo_error, verb="Rollback") for part in job.parts if part.undo_error is not None]
    whole = batch_error(job)
    if whole is not None and not failed:
        failed = [whole]
    return {name: found for name, found in (("errors", failed), ("rollback_errors", stuck)) if found}


def _part(job: Job, part: JobPart, record: ErrorRecord, *, verb: str = "") -> JsonObject:
    # An undo is an update, whatever the part itself was; only its error's words depend on that.
    operation = f"{part.operation.partition('.')[0]}.update" if verb else part.operation
    _, body = encode_error(from_record(record), operation=operation)
    reason = body["error"]
    described = reason if isinstance(reason, dict) else {}
    verb = verb or job.description.partition(" ")[0]
    error: JsonObject = {
        "message": f'{verb} of record "{part.name}" failed. Reason: {described["message"]}',
        "code": _FAILED,
        "arguments": [{"code": described["code"], "message": described["message"]}],
    }
    return error | {name: described[name] for name in ("target",) if name in described}
