"""Volumes on ZFS: filesystems and block volumes below one dataset, snapshots, clones, and streams between pools.

A change is durable when ZFS answers, because each waits for its transaction.
What a change consists of is ordered so that one transaction makes it true:

* A volume is there from the transaction that gives it its record. Where its
  top directory is changed first, the record says until then that it is not
  whole. A dataset under a volume's name without a record is what a power cut
  left between the two transactions in which the kernel makes one.
* A snapshot has its record from the transaction that takes it. Snapshots of a
  group carry the notes of all of them, so that one transaction is enough.
* A record of more than 8191 bytes is kept in parts beside the ones that count,
  and counts when one short value is turned (`documents`).
* A restore destroys newer snapshots and rolls back, which is two transactions.
  It is announced in the record first, and from there on finished, never undone:
  by the call, by `settle_restore` or by the next `open`. All that could forbid
  it is looked at before, and newer snapshots go all at once or not at all (a
  hold on one of them keeps the others). The volume is not mounted until it is
  settled, so that no write comes between two rollbacks. A channel program could
  do all in one transaction, but only for root.
* A stream is received beside the volume, or as a snapshot with another name,
  and renamed. Increments with a record are finished by the next `open`, others
  taken back; what a broken stream brought stays for its resumption.

Splitting a clone. To ZFS a clone hangs on its base until `zfs promote` turns
both around, and then the source hangs on the clone: its older snapshots are the
clone's, it cannot be restored to them, and the clone cannot be deleted. The
core's view is that each has its own and goes on its own. So `split` only says
in the record that nobody counts the volume as a clone any more, and what that
promises is made good when somebody asks for it:

* The base snapshot may be deleted: it is marked (`zfs destroy -d`), not reported
  any more, and goes with its last clone.
* The source may be deleted: then its snapshots are all marked ones, the newest
  one's clone is promoted, takes them over, and the source goes.
* What stays forbidden, as InUse, is to restore the source to a snapshot older
  than a base that a split clone still needs: ZFS cannot roll back past it.

Holds are not used: ZFS itself refuses to destroy what a clone needs, and what
the core pins it does not ask to destroy. Holds of others are respected.
"""

from __future__ import annotations

from gateway.backends.zfs.backend import ZfsBackend
from gateway.backends.zfs.faults import FAULT_POINTS
from gateway.backends.zfs.pool import ZfsEncryption, ZfsOptions

__all__ = ["FAULT_POINTS", "ZfsBackend", "ZfsEncryption", "ZfsOptions"]
