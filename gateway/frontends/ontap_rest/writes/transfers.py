"""Transfers of a SnapMirror relationship: begin one, and end it before it is done."""

from __future__ import annotations

from gateway.core import errors, transfers
from gateway.core.model import Snapshot
from gateway.core.replication_model import Replication, ReplicationState, Transfer
from gateway.core.sources import source_of
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.errors import WireError, no_entry
from gateway.frontends.ontap_rest.render.mirror import KIB
from gateway.frontends.ontap_rest.writes.names import text

_INITIALIZE, _UPDATE = "13303812", "13303844"
_ENDING = frozenset({"aborted", "hard_aborted"})
_REFUSED = {
    ReplicationState.BROKEN: "the relationship is broken off; resync it first",
    ReplicationState.PAUSED: "the relationship is paused; resume it first",
}


async def create(ask: Ask, replication: Replication, values: Values) -> Transfer:
    """Begin to fill the destination, or to bring it up to date."""
    if "files" in values:
        message = "Single files cannot be transferred here." if values["files"] else "The list of files is empty."
        raise WireError(400, "13303847" if values["files"] else "13303846", message=message, target="files")
    code = _INITIALIZE if replication.state is ReplicationState.UNINITIALIZED else _UPDATE
    if replication.state in _REFUSED:
        raise WireError(409, code, message=f"Failed to transfer. Reason: {_REFUSED[replication.state]}.")
    snapshot = await _named(ask, replication, text(values, "source_snapshot"), code)
    throttle = values.get("throttle")
    try:
        return await transfers.transfer(
            ask.core,
            replication.id,
            snapshot_id=None if snapshot is None else snapshot.id,
            throttle=throttle * KIB if isinstance(throttle, int) else None,
            description=ask.description,
        )
    except errors.Conflict:
        # Manila tells by these words, and by the code of the first transfer, that it may wait.
        raise WireError(409, code, message="Failed to transfer. Reason: Another transfer is in progress.") from None


async def modify(ask: Ask, transfer: Transfer, values: Values) -> None:
    """End a transfer that is under way; the destination stays as it was at the last one."""
    if text(values, "state") not in _ENDING:
        message = 'A transfer can be brought into the state "aborted" only.'
        raise WireError(400, "13303849", message=message, target="state")
    if transfer.ended is not None:
        raise no_entry()
    await transfers.abort(ask.core, transfer.id)


async def _named(ask: Ask, replication: Replication, name: str | None, code: str) -> Snapshot | None:
    if not name:
        return None
    there = await source_of(ask.core, replication).snapshots()
    found = next((one for one in there if one.name == name), None)
    if found is None:
        message = f'Failed to transfer. Reason: the source has no snapshot "{name}".'
        raise WireError(404, code, message=message, target="source_snapshot")
    return found
