"""Makes the content of one volume equal to that of another, in a process of its own, moving only what differs.

The gateway starts it by `gateway.mover.client`. Nothing is imported here: the process has no use for what that needs.
"""

from __future__ import annotations
