-- One row a backup: the columns that lists filter by, and the whole record as JSON.
CREATE TABLE backups (
    id                VARCHAR PRIMARY KEY,
    name              VARCHAR NOT NULL,
    sequence          BIGINT  NOT NULL,
    stack             VARCHAR NOT NULL,
    kind              VARCHAR NOT NULL,
    reason            VARCHAR NOT NULL,
    status            VARCHAR NOT NULL
        CHECK (status IN ('pending', 'in_progress', 'completed', 'verified', 'failed')),
    version_label     VARCHAR,
    consistency_level VARCHAR,
    started_at        TIMESTAMP NOT NULL,
    finished_at       TIMESTAMP,
    verified_at       TIMESTAMP,
    verified_ok       BOOLEAN,
    source_bytes      BIGINT NOT NULL,
    stored_bytes      BIGINT NOT NULL,
    file_count        BIGINT NOT NULL,
    record            JSON NOT NULL
);

-- One row a part of a backup. No foreign keys: DuckDB refuses updates of indexed parents.
CREATE TABLE components (
    backup_id    VARCHAR NOT NULL,
    name         VARCHAR NOT NULL,
    type         VARCHAR NOT NULL,
    source_bytes BIGINT NOT NULL,
    stored_bytes BIGINT NOT NULL,
    file_count   BIGINT NOT NULL
);

-- What happened, in order: verifications, restores, rollbacks, recoveries, deletions.
CREATE TABLE events (
    occurred_at TIMESTAMP NOT NULL,
    event       VARCHAR NOT NULL,
    backup_id   VARCHAR,
    detail      JSON NOT NULL
);
