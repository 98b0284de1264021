"""Content that is at another gateway: what its sender and our mover say to each other.

The mover connects to the address that it was told, by TLS, in which each side
takes no certificate but the one that it knows the other by. Then it says the
token, and asks; answers come in the order of the questions, which need not
wait for them. It says what it has by checksums, so that only what differs
comes over. Neither side believes the other: see `words` for what is refused.
"""

from __future__ import annotations
