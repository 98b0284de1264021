"""Volumes as streams of a Perforce server: trees under version control, which clients reach with their own workspaces.

One stream depot is one pool. A volume is a mainline stream directly below it,
a snapshot an automatic label: a name for a submitted changelist, which cannot
change any more. A clone is a stream of its own that the server populated with
lazy copies. What the core wants kept is in the descriptions of these forms
(`records`), so that everything about an object is written by one command.

What makes each change all or nothing:

* Saving a form is one transaction of the server. A stream whose record says
  that it is not whole is being made or being deleted, and not reported; the
  next `open` removes it.
* A snapshot names the newest submitted changelist of its stream. Changelists
  are numbered in the order in which they are submitted, and pending ones get a
  new number then, so nothing is ever added at or below it.
* A restore is one changelist, submitted by a workspace whose name has the
  token. The server keeps that name with the changelist for good, so whoever
  asks later learns whether it happened. It is only submitted when what is
  opened for it is just what differs.

Sparse streams (servers since 2024.1) are not used for clones, although they
cost less than lazy copies: until a file is branched they show the parent's
newest revision of it, so that what is written to the source would come up in
the clone, and a clone of an old snapshot could not be had.

No command changes the bytes of a file, and none passes through the gateway.

**Nothing here was ever run against a real server**, because none can be had
where it is developed. Commands, forms, tagged output and the numbers of
messages were taken from Perforce's documentation and from the published source
of its client, and tried by its library with a stand-in for the server
(`gateway.testing.perforce`). The backend says so in its remarks.
"""

from __future__ import annotations

from gateway.backends.perforce.backend import PerforceBackend
from gateway.backends.perforce.faults import FAULT_POINTS
from gateway.backends.perforce.pool import PerforceOptions

__all__ = ["FAULT_POINTS", "PerforceBackend", "PerforceOptions"]
