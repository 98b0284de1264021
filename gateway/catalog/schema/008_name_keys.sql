-- Volumes by their name in any case. `casefold` is Python's.

ALTER TABLE volume ADD COLUMN name_key TEXT NOT NULL DEFAULT '';
UPDATE volume SET name_key = casefold(name);
CREATE INDEX volume_name_key ON volume (name_key, tenant_id);
