-- Every record kind has one table: the columns that are filtered, ordered or
-- joined, and `doc`, the whole record as JSON. Ids are 16 bytes, times are
-- microseconds since 1970 UTC, booleans are 0 or 1.

CREATE TABLE revision (value INTEGER NOT NULL) STRICT;
INSERT INTO revision VALUES (0);

CREATE TABLE sequence (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE lease (name TEXT PRIMARY KEY, owner TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Kept by the writer in the transaction that adds or removes records.
CREATE TABLE record_count (kind TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO record_count VALUES
    ('tenant', 0), ('pool', 0), ('volume', 0), ('snapshot', 0),
    ('export_policy', 0), ('snapshot_policy', 0), ('job', 0), ('intent', 0);

CREATE TABLE tenant (
    id BLOB PRIMARY KEY NOT NULL,
    revision INTEGER NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    comment TEXT NOT NULL,
    state TEXT NOT NULL,
    doc TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX tenant_name ON tenant (name);
CREATE INDEX tenant_created ON tenant (created, id);

CREATE TABLE pool (
    id BLOB PRIMARY KEY NOT NULL,
    revision INTEGER NOT NULL,
    name TEXT NOT NULL,
    driver TEXT NOT NULL,
    created INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    volatile INTEGER NOT NULL,
    size INTEGER NOT NULL,
    used INTEGER NOT NULL,
    available INTEGER NOT NULL,
    volume_count INTEGER NOT NULL,
    doc TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX pool_name ON pool (name);

CREATE TABLE volume (
    id BLOB PRIMARY KEY NOT NULL,
    revision INTEGER NOT NULL,
    name TEXT NOT NULL,
    tenant_id BLOB NOT NULL,
    pool_id BLOB NOT NULL,
    created INTEGER NOT NULL,
    size INTEGER NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    used INTEGER NOT NULL,
    thick INTEGER NOT NULL,
    comment TEXT NOT NULL,
    junction_path TEXT,
    junction_key TEXT,
    export_policy_id BLOB,
    snapshot_policy_id BLOB,
    root_mode INTEGER NOT NULL,
    root_uid INTEGER NOT NULL,
    root_gid INTEGER NOT NULL,
    is_clone INTEGER NOT NULL,
    origin_volume_id BLOB,
    origin_snapshot_id BLOB,
    snapshot_count INTEGER NOT NULL,
    clone_count INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    doc TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX volume_tenant_name ON volume (tenant_id, name);
CREATE UNIQUE INDEX volume_junction ON volume (junction_key) WHERE junction_key IS NOT NULL;
CREATE INDEX volume_junction_path ON volume (junction_path, id) WHERE junction_path IS NOT NULL;
CREATE INDEX volume_mounted ON volume (id) WHERE junction_path IS NOT NULL;
CREATE INDEX volume_name ON volume (name, id);
CREATE INDEX volume_size ON volume (size, id);
CREATE INDEX volume_created ON volume (created, id);
CREATE INDEX volume_pool ON volume (pool_id, name, id);
CREATE INDEX volume_export_policy ON volume (export_policy_id) WHERE export_policy_id IS NOT NULL;
CREATE INDEX volume_snapshot_policy ON volume (snapshot_policy_id) WHERE snapshot_policy_id IS NOT NULL;
CREATE INDEX volume_origin_volume ON volume (origin_volume_id) WHERE origin_volume_id IS NOT NULL;
CREATE INDEX volume_origin_snapshot ON volume (origin_snapshot_id) WHERE origin_snapshot_id IS NOT NULL;

CREATE TABLE volume_label (
    volume_id BLOB NOT NULL,
    label TEXT NOT NULL,
    PRIMARY KEY (volume_id, label)
) STRICT, WITHOUT ROWID;
CREATE INDEX volume_label_label ON volume_label (label, volume_id);

CREATE TABLE snapshot (
    id BLOB PRIMARY KEY NOT NULL,
    revision INTEGER NOT NULL,
    name TEXT NOT NULL,
    volume_id BLOB NOT NULL,
    tenant_id BLOB NOT NULL,
    pool_id BLOB NOT NULL,
    created INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    comment TEXT NOT NULL,
    label TEXT NOT NULL,
    expires INTEGER,
    size INTEGER NOT NULL,
    clone_count INTEGER NOT NULL,
    doc TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX snapshot_volume_name ON snapshot (volume_id, name);
CREATE INDEX snapshot_name ON snapshot (name, id);
CREATE INDEX snapshot_created ON snapshot (created, id);
CREATE INDEX snapshot_tenant ON snapshot (tenant_id, name, id);
CREATE INDEX snapshot_pool ON snapshot (pool_id, name, id);

CREATE TABLE export_policy (
    id BLOB PRIMARY KEY NOT NULL,
    revision INTEGER NOT NULL,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    tenant_id BLOB NOT NULL,
    created INTEGER NOT NULL,
    builtin INTEGER NOT NULL,
    doc TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX export_policy_number ON export_policy (number);
CREATE UNIQUE INDEX export_policy_tenant_name ON export_policy (tenant_id, name);
CREATE INDEX export_policy_name ON export_policy (name, id);

CREATE TABLE snapshot_policy (
    id BLOB PRIMARY KEY NOT NULL,
    revision INTEGER NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    tenant_id BLOB,
    comment TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    builtin INTEGER NOT NULL,
    doc TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX snapshot_policy_tenant_name ON snapshot_policy (coalesce(tenant_id, x''), name);
CREATE INDEX snapshot_policy_name ON snapshot_policy (name, id);

CREATE TABLE job (
    id BLOB PRIMARY KEY NOT NULL,
    revision INTEGER NOT NULL,
    operation TEXT NOT NULL,
    description TEXT NOT NULL,
    state TEXT NOT NULL,
    created INTEGER NOT NULL,
    target_id BLOB,
    tenant_id BLOB,
    owner TEXT NOT NULL,
    ended INTEGER,
    doc TEXT NOT NULL
) STRICT;
CREATE INDEX job_created ON job (created, id);
CREATE INDEX job_target ON job (target_id, created, id) WHERE target_id IS NOT NULL;
CREATE INDEX job_unfinished ON job (owner) WHERE state IN ('queued', 'running', 'paused');

CREATE TABLE intent (
    id BLOB PRIMARY KEY NOT NULL,
    revision INTEGER NOT NULL,
    operation TEXT NOT NULL,
    owner TEXT NOT NULL,
    job_id BLOB NOT NULL,
    pool_id BLOB NOT NULL,
    created INTEGER NOT NULL,
    doc TEXT NOT NULL
) STRICT;
CREATE INDEX intent_owner ON intent (owner);
CREATE INDEX intent_job ON intent (job_id);
CREATE INDEX intent_created ON intent (created, id);

CREATE TABLE intent_key (
    key BLOB PRIMARY KEY NOT NULL,
    intent_id BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX intent_key_intent ON intent_key (intent_id);
