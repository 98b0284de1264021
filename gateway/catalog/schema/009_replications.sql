-- Volumes that follow others, by what rules, and the transfers by which they do.

CREATE TABLE replication_policy (
    id BLOB PRIMARY KEY NOT NULL,
    revision INTEGER NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    tenant_id BLOB,
    comment TEXT NOT NULL,
    throttle INTEGER NOT NULL,
    choice TEXT NOT NULL,
    builtin INTEGER NOT NULL,
    doc TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX replication_policy_tenant_name ON replication_policy (coalesce(tenant_id, x''), name);
CREATE INDEX replication_policy_name ON replication_policy (name, id);

-- The schedules that a policy and its rules name.
CREATE TABLE replication_policy_schedule (
    policy_id BLOB NOT NULL,
    schedule TEXT NOT NULL,
    PRIMARY KEY (policy_id, schedule)
) STRICT, WITHOUT ROWID;
CREATE INDEX replication_policy_schedule_schedule ON replication_policy_schedule (schedule, policy_id);

-- A volume is the destination of one replication at most, and the source of any number.
CREATE TABLE replication (
    id BLOB PRIMARY KEY NOT NULL,
    revision INTEGER NOT NULL,
    tenant_id BLOB NOT NULL,
    volume_id BLOB NOT NULL,
    source_volume_id BLOB NOT NULL,
    source_tenant TEXT NOT NULL,
    source_volume TEXT NOT NULL,
    source_peer_id BLOB,
    policy_id BLOB NOT NULL,
    created INTEGER NOT NULL,
    state TEXT NOT NULL,
    schedule TEXT,
    healthy INTEGER NOT NULL,
    transfer_id BLOB,
    doc TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX replication_volume ON replication (volume_id);
CREATE INDEX replication_source_volume ON replication (source_volume_id, created, id);
CREATE INDEX replication_policy_id ON replication (policy_id, created, id);
CREATE INDEX replication_tenant ON replication (tenant_id, created, id);
CREATE INDEX replication_created ON replication (created, id);
CREATE INDEX replication_schedule ON replication (schedule, id) WHERE schedule IS NOT NULL;

CREATE TABLE transfer (
    id BLOB PRIMARY KEY NOT NULL,
    revision INTEGER NOT NULL,
    replication_id BLOB NOT NULL,
    volume_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    created INTEGER NOT NULL,
    ended INTEGER,
    owner TEXT NOT NULL,
    doc TEXT NOT NULL
) STRICT;
CREATE INDEX transfer_created ON transfer (created, id);
CREATE INDEX transfer_replication ON transfer (replication_id, created, id);
CREATE INDEX transfer_unfinished ON transfer (id) WHERE ended IS NULL;

ALTER TABLE volume ADD COLUMN replica_of BLOB;
CREATE INDEX volume_replica_of ON volume (replica_of) WHERE replica_of IS NOT NULL;

ALTER TABLE snapshot ADD COLUMN lineage BLOB;
CREATE INDEX snapshot_lineage ON snapshot (lineage) WHERE lineage IS NOT NULL;

INSERT INTO record_count VALUES ('replication_policy', 0), ('replication', 0), ('transfer', 0);
