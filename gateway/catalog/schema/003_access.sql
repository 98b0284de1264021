-- Who may read a volume, who asked for a job, and what roles allow.

CREATE TABLE volume_reader (
    volume_id BLOB NOT NULL,
    reader TEXT NOT NULL,
    PRIMARY KEY (volume_id, reader)
) STRICT, WITHOUT ROWID;
CREATE INDEX volume_reader_reader ON volume_reader (reader, volume_id);
INSERT INTO volume_reader SELECT id, 'public' FROM volume;

ALTER TABLE job ADD COLUMN caller TEXT NOT NULL DEFAULT '';
CREATE INDEX job_caller ON job (caller, created, id);

CREATE TABLE access_role (
    id BLOB PRIMARY KEY NOT NULL,
    revision INTEGER NOT NULL,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    builtin INTEGER NOT NULL,
    doc TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX access_role_name ON access_role (name);

INSERT INTO record_count VALUES ('access_role', 0);
