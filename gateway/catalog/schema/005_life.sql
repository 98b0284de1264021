-- Volumes that outlive their deletion because snapshots or clones need them, and snapshots that nobody asked for.

ALTER TABLE volume ADD COLUMN retired INTEGER;
CREATE INDEX volume_retired ON volume (pool_id, id) WHERE retired IS NOT NULL;

-- `spare` is 1 when the snapshot is transient and has no clone any more, else NULL.
ALTER TABLE snapshot ADD COLUMN internal INTEGER NOT NULL DEFAULT 0;
ALTER TABLE snapshot ADD COLUMN spare INTEGER;
CREATE INDEX snapshot_spare ON snapshot (id) WHERE spare IS NOT NULL;
