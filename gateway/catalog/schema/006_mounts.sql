-- Where volumes are mounted. `mount` is "<node>:<path>": a path of a node has one volume.

ALTER TABLE volume ADD COLUMN mount_count INTEGER NOT NULL DEFAULT 0;
CREATE INDEX volume_has_mounts ON volume (id) WHERE mount_count > 0;

CREATE TABLE volume_mount (
    mount TEXT PRIMARY KEY,
    volume_id BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX volume_mount_volume ON volume_mount (volume_id);
