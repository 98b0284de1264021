-- What doors keep that belongs to no volume, and snapshots by their labels.

CREATE TABLE document (
    id BLOB PRIMARY KEY NOT NULL,
    revision INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    doc TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX document_kind_name ON document (kind, name);
CREATE INDEX document_name ON document (name, id);

INSERT INTO record_count VALUES ('document', 0);

CREATE TABLE snapshot_label (
    snapshot_id BLOB NOT NULL,
    label TEXT NOT NULL,
    PRIMARY KEY (snapshot_id, label)
) STRICT, WITHOUT ROWID;
CREATE INDEX snapshot_label_label ON snapshot_label (label, snapshot_id);

INSERT INTO snapshot_label (snapshot_id, label)
SELECT snapshot.id, pair.key || ':' || pair.value FROM snapshot, json_each(snapshot.doc, '$.labels') AS pair;
