"""A stand-in for a Perforce server, for tests of the backend that uses one: a state machine, not a protocol.

It has what the backend and a client of it ask for: depots, streams, labels,
workspaces, changelists, files with revisions that share content, permissions,
and messages with the numbers and classes that Perforce's own have. Commands,
fields and refusals follow Perforce's documentation (Command Reference, and what
`p4 help` says) and its published client's list of messages. A flag that the
stand-in does not know is refused as the server refuses it.

`on_wire` serves it on a TCP port to Perforce's own library (p4python, which must
be installed): what that makes of commands, forms, fields and messages is real.
`StandIn.connect` gives the same without a wire, for tests of many steps. That a
server answers so is what nothing of this shows; where the documentation leaves
something open, what the backend does not rely on was chosen.
"""

from __future__ import annotations

from gateway.testing.perforce.content import StreamContent
from gateway.testing.perforce.server import DEPOT, USER, StandIn, on_stand_in
from gateway.testing.perforce.state import Message
from gateway.testing.perforce.wire import on_wire

__all__ = ["DEPOT", "USER", "Message", "StandIn", "StreamContent", "on_stand_in", "on_wire"]
