"""A stand-in for a Perforce server, for tests of the backend that uses one: a state machine, not a protocol.

It has what the backend and a client of it ask for: depots, streams, labels,
workspaces, changelists, files with revisions that share content, permissions,
and messages with the numbers and classes that Perforce's own have. Commands,
fields and refusals follow Perforce's documentation (Command Reference, and what
`p4 help` says) and its published client's list of messages. A flag that the
stand-in does not know is refused as the server refuses it.

Forms reach it as the text that Perforce's library makes of them (p4python, which
must be installed), so their fields are the real ones. Otherwise it is reached at
the boundary `gateway.backends.perforce.connection.Connection`: nothing of this
shows that a real server answers so. Where the documentation leaves something
open, what the backend does not rely on was chosen.
"""

from __future__ import annotations

from gateway.testing.perforce.content import StreamContent
from gateway.testing.perforce.server import DEPOT, USER, StandIn, on_stand_in
from gateway.testing.perforce.state import Message

__all__ = ["DEPOT", "USER", "Message", "StandIn", "StreamContent", "on_stand_in"]
