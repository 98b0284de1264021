"""Replications: volumes that follow others, and the transfers by which they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.client.flows import Flow, Listing
from gateway.client.native.records import NewReplication, Replication, ReplicationPolicy, Transfer
from gateway.client.native.steps import ROOT, is_absent, is_lost, made, read, send
from gateway.client.wire import ClientError, Pause

REPLICATIONS = f"{ROOT}/replications"
_FIRST_POLL_S = 0.1
_LAST_POLL_S = 2.0
_LOST_POLLS = 15


class _Policies(msgspec.Struct, frozen=True):
    records: tuple[ReplicationPolicy, ...]


def replications(
    *, tenant: str | None = None, volume: str | None = None, source: str | None = None
) -> Listing[Replication]:
    """Ask for replications: every one, or those that are all of what is given. Volumes by id, the tenant by name."""
    given = {"tenant": tenant, "volume": volume, "source": source}
    query = tuple((key, value) for key, value in given.items() if value is not None)
    return Listing(path=REPLICATIONS, kind=Replication, query=query)


def replication(replication_id: str) -> Flow[Replication]:
    """Give a replication."""
    return read(f"{REPLICATIONS}/{replication_id}", Replication)


def replication_policies() -> Flow[tuple[ReplicationPolicy, ...]]:
    """Give every policy of replications."""
    return (yield from read(f"{ROOT}/replication-policies", _Policies)).records


def create_replication(new: NewReplication) -> Flow[Replication]:
    """Let a volume follow another one; nothing is transferred yet."""
    return (yield from made((yield from send("POST", REPLICATIONS, new)), Replication, REPLICATIONS))


def change_replication(replication_id: str, values: Mapping[str, Any]) -> Flow[Replication]:
    """Set what is given of policy, schedule, throttle and paused, and give the replication as it is then."""
    answer = yield from send("PATCH", f"{REPLICATIONS}/{replication_id}", dict(values))
    return (yield from made(answer, Replication, REPLICATIONS))


def delete_replication(replication_id: str, *, keep_source: bool = False) -> Flow[None]:
    """End a replication; one that is not there is no error. `keep_source`: what transfers took of the source stays."""
    try:
        yield from send("DELETE", f"{REPLICATIONS}/{replication_id}", flags={"keep_source": keep_source})
    except ClientError as error:
        if not is_absent(error, "replication"):
            raise


def break_replication(replication_id: str) -> Flow[Replication]:
    """Make the destination a volume that is written to, and give the replication."""
    answer = yield from send("POST", f"{REPLICATIONS}/{replication_id}/break", {})
    return (yield from made(answer, Replication, REPLICATIONS))


def transfer(replication_id: str, *, snapshot: str | None = None, throttle: int | None = None) -> Flow[Transfer]:
    """Transfer once, of the source's snapshot of that id or as the policy says, and give the transfer as it ended."""
    body = {"snapshot": snapshot, "throttle": throttle}
    return (yield from _transferred("transfers", replication_id, body))


def resync(replication_id: str, *, throttle: int | None = None) -> Flow[Transfer]:
    """Let the destination of a broken replication follow again: what was written there goes."""
    return (yield from _transferred("resync", replication_id, {"throttle": throttle}))


def reverse(replication_id: str, *, throttle: int | None = None) -> Flow[Transfer]:
    """Let the source of a broken replication follow its destination: what was written to the source goes."""
    return (yield from _transferred("reverse", replication_id, {"throttle": throttle}))


def abort_transfer(replication_id: str, transfer_id: str) -> Flow[Transfer]:
    """End a transfer early, and give it."""
    answer = yield from send("DELETE", f"{REPLICATIONS}/{replication_id}/transfers/{transfer_id}")
    return (yield from made(answer, Transfer, ""))


def transfers(replication_id: str) -> Listing[Transfer]:
    """Ask for the last transfers of a replication, the newest first."""
    return Listing(path=f"{REPLICATIONS}/{replication_id}/transfers", kind=Transfer)


def _transferred(word: str, replication_id: str, body: dict[str, Any]) -> Flow[Transfer]:
    """Start a transfer and give it as it ended; ClientError when it failed."""
    answer = yield from send("POST", f"{REPLICATIONS}/{replication_id}/{word}", body)
    seen = yield from made(answer, Transfer, "")
    pause, lost = _FIRST_POLL_S, 0
    while seen.ended is None:
        yield Pause(pause)
        pause = min(pause * 2, _LAST_POLL_S)
        try:
            seen = yield from read(f"{REPLICATIONS}/{replication_id}/transfers/{seen.id}", Transfer)
        except ClientError as error:
            lost += 1
            if lost > _LOST_POLLS or not is_lost(error):
                raise
        else:
            lost = 0
    if seen.error is not None:
        raise ClientError(0, seen.error.code, seen.error.message, fields=seen.error.fields)
    return seen
