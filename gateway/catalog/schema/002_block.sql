-- Block volumes: who is attached, groups of hosts, and how initiators log in.

ALTER TABLE volume ADD COLUMN attachment_count INTEGER NOT NULL DEFAULT 0;
CREATE INDEX volume_attached ON volume (id) WHERE attachment_count > 0;
CREATE INDEX volume_kind ON volume (kind, name, id);

CREATE TABLE volume_node (
    volume_id BLOB NOT NULL,
    node TEXT NOT NULL,
    PRIMARY KEY (volume_id, node)
) STRICT, WITHOUT ROWID;
CREATE INDEX volume_node_node ON volume_node (node, volume_id);

-- `lun` is "<node>/<number>": a number means one volume to a node.
CREATE TABLE volume_lun (
    lun TEXT PRIMARY KEY,
    volume_id BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX volume_lun_volume ON volume_lun (volume_id);

CREATE TABLE host_group (
    id BLOB PRIMARY KEY NOT NULL,
    revision INTEGER NOT NULL,
    name TEXT NOT NULL,
    tenant_id BLOB NOT NULL,
    created INTEGER NOT NULL,
    comment TEXT NOT NULL,
    doc TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX host_group_tenant_name ON host_group (tenant_id, name);
CREATE INDEX host_group_name ON host_group (name, id);

CREATE TABLE host_group_initiator (
    host_group_id BLOB NOT NULL,
    initiator TEXT NOT NULL,
    PRIMARY KEY (host_group_id, initiator)
) STRICT, WITHOUT ROWID;
CREATE INDEX host_group_initiator_initiator ON host_group_initiator (initiator, host_group_id);

CREATE TABLE initiator_login (
    id BLOB PRIMARY KEY NOT NULL,
    revision INTEGER NOT NULL,
    tenant_id BLOB NOT NULL,
    initiator TEXT NOT NULL,
    kind TEXT NOT NULL,
    created INTEGER NOT NULL,
    user TEXT NOT NULL,
    target_user TEXT NOT NULL,
    doc TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX initiator_login_tenant_initiator ON initiator_login (tenant_id, initiator);
CREATE INDEX initiator_login_initiator ON initiator_login (initiator, id);

INSERT INTO record_count VALUES ('host_group', 0), ('initiator_login', 0);
