-- The catalog's tables as `backstop sql` shows them. `docs/sql.md` describes every column.
CREATE TABLE backups AS
SELECT id, name, sequence, stack, kind, reason, status, version_label,
       consistency_level AS consistency, started_at, finished_at, verified_at, verified_ok,
       source_bytes, stored_bytes, file_count, record->>'parent' AS parent,
       record->'labels' AS labels, record->>'path' AS path,
       (record->>'pin') IS NOT NULL AS kept, {repository}::VARCHAR AS repository
FROM catalog.backups ORDER BY sequence, started_at;

CREATE TABLE components AS
SELECT backup_id AS backup, name, type, source_bytes, stored_bytes, file_count
FROM catalog.components;

CREATE TABLE events AS
SELECT occurred_at, event, backup_id AS backup, detail
FROM catalog.events ORDER BY occurred_at;
