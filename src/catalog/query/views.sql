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

CREATE TABLE runs AS
SELECT id, runbook, title, state, stack, started_at, finished_at, user_name AS "user", host,
       version, sha256, parameters, error
FROM catalog.runs ORDER BY started_at;

CREATE TABLE run_steps AS
SELECT run_id AS run, position, step, state, attempts, seconds, outputs, error
FROM catalog.run_steps ORDER BY run_id, position;

CREATE TABLE run_attempts AS
SELECT run_id AS run, step, attempt, state, plan, started_at, finished_at, error
FROM catalog.run_attempts ORDER BY started_at;

CREATE TABLE run_approvals AS
SELECT run_id AS run, step, decision, decided_at, user_name AS "user", host, means, shown
FROM catalog.run_approvals ORDER BY decided_at;
