-- Schedules, what names them, and which snapshots were taken on them.

CREATE TABLE schedule (
    id BLOB PRIMARY KEY NOT NULL,
    revision INTEGER NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    builtin INTEGER NOT NULL,
    doc TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX schedule_name ON schedule (name);

CREATE TABLE snapshot_policy_schedule (
    policy_id BLOB NOT NULL,
    schedule TEXT NOT NULL,
    PRIMARY KEY (policy_id, schedule)
) STRICT, WITHOUT ROWID;
CREATE INDEX snapshot_policy_schedule_schedule ON snapshot_policy_schedule (schedule, policy_id);
INSERT OR IGNORE INTO snapshot_policy_schedule
    SELECT p.id, json_extract(line.value, '$.schedule')
    FROM snapshot_policy AS p, json_each(p.doc, '$.copies') AS line;

-- All policies of a volume, the first one too.
CREATE TABLE volume_policy (
    volume_id BLOB NOT NULL,
    policy_id BLOB NOT NULL,
    PRIMARY KEY (volume_id, policy_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX volume_policy_policy ON volume_policy (policy_id, volume_id);
INSERT INTO volume_policy SELECT id, snapshot_policy_id FROM volume WHERE snapshot_policy_id IS NOT NULL;

-- The lines that a volume has of its own.
CREATE TABLE volume_schedule (
    volume_id BLOB NOT NULL,
    schedule TEXT NOT NULL,
    PRIMARY KEY (volume_id, schedule)
) STRICT, WITHOUT ROWID;
CREATE INDEX volume_schedule_schedule ON volume_schedule (schedule, volume_id);

ALTER TABLE snapshot ADD COLUMN taken_by TEXT;
ALTER TABLE snapshot ADD COLUMN due INTEGER;
CREATE INDEX snapshot_taken_by ON snapshot (taken_by, volume_id, id) WHERE taken_by IS NOT NULL;

INSERT INTO record_count VALUES ('schedule', 0);
