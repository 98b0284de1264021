"""Volume moves: PATCH of `movement`."""

from __future__ import annotations

from gateway.core import errors, moves
from gateway.core.change import Started
from gateway.core.model import Volume
from gateway.frontends.ontap_rest.ask import Ask
from gateway.frontends.ontap_rest.body import Values
from gateway.frontends.ontap_rest.errors import WireError
from gateway.frontends.ontap_rest.writes.names import pool_of

_TO = "movement.destination_aggregate"
_STATE = "movement.state"
_ORDERS = ("replicating", "cutover", "cutover_wait", "paused", "aborted")
DESTINATION = (f"{_TO}.name", f"{_TO}.uuid")
MOVEMENT = frozenset({*DESTINATION, _STATE})
"""The fields that mean a move. The others of `movement` may only confirm what is so."""


def moves_away(values: Values) -> bool:
    """Tell whether a body is about a move."""
    return not MOVEMENT.isdisjoint(values)


async def move(ask: Ask, volume: Volume, values: Values) -> Started:
    """Start moving a volume to another aggregate, all at once: a move cannot be paused, stopped or cut over by hand."""
    state = values.get(_STATE)
    if state is not None:
        raise _refused_state(str(state), with_destination=not values.keys().isdisjoint(DESTINATION))
    for path in values:
        if not path.startswith("movement."):
            raise WireError(400, "262186", message=f'Field "{path}" cannot be set together with a move.', target=path)
    named = {path.removeprefix(f"{_TO}."): values[path] for path in DESTINATION if values.get(path) is not None}
    try:
        pool = await pool_of(ask.core, {"aggregates": [named]})
    except errors.NotFound as error:
        message = f'Aggregate "{error.fields["ref"]}" does not exist.'
        raise WireError(404, "918267", message=message, target=_TO) from None
    if pool.id == volume.pool_id:
        message = f'Volume "{volume.name}" is on aggregate "{pool.name}" already.'
        raise WireError(400, "918265", message=message, target=_TO)
    return await moves.move(ask.core, volume.id, pool.id, description=ask.description)


def _refused_state(state: str, *, with_destination: bool) -> WireError:
    if with_destination:
        message = f'Fields "{_STATE}" and "{_TO}" cannot be set together.'
        return WireError(400, "918266", message=message, target=_STATE)
    if state not in _ORDERS:
        message = f'Field "{_STATE}" can be set to {", ".join(_ORDERS)}.'
        return WireError(400, "918786", message=message, target=_STATE)
    message = (
        "The specified volume property cannot be changed on this platform. "
        "A move begins, copies and cuts over by itself, and runs to its end."
    )
    return WireError(400, "918703", message=message, target=_STATE)
