-- Runs of runbooks, mirrored from their journals, from which they can be made anew.
CREATE TABLE runs (
    id            VARCHAR PRIMARY KEY,
    runbook       VARCHAR NOT NULL,
    title         VARCHAR NOT NULL,
    state         VARCHAR NOT NULL
        CHECK (state IN ('RUNNING', 'WAITING', 'PAUSED', 'SUCCEEDED', 'FAILED', 'ABORTED')),
    stack         VARCHAR NOT NULL,
    started_at    TIMESTAMP NOT NULL,
    finished_at   TIMESTAMP,
    user_name     VARCHAR NOT NULL,
    host          VARCHAR NOT NULL,
    version       VARCHAR NOT NULL,
    sha256        VARCHAR NOT NULL,
    parameters    JSON NOT NULL,
    error         JSON,
    -- How much of the journal was mirrored.
    journal_bytes BIGINT NOT NULL
);

CREATE TABLE run_steps (
    run_id   VARCHAR NOT NULL,
    position BIGINT NOT NULL,
    step     VARCHAR NOT NULL,
    state    VARCHAR NOT NULL,
    attempts BIGINT NOT NULL,
    seconds  DOUBLE NOT NULL,
    outputs  JSON,
    error    JSON
);

CREATE TABLE run_attempts (
    run_id      VARCHAR NOT NULL,
    step        VARCHAR NOT NULL,
    attempt     BIGINT NOT NULL,
    state       VARCHAR NOT NULL,
    plan        VARCHAR NOT NULL,
    started_at  TIMESTAMP NOT NULL,
    finished_at TIMESTAMP,
    error       JSON
);

CREATE TABLE run_approvals (
    run_id     VARCHAR NOT NULL,
    step       VARCHAR NOT NULL,
    decision   VARCHAR NOT NULL,
    decided_at TIMESTAMP NOT NULL,
    user_name  VARCHAR NOT NULL,
    host       VARCHAR NOT NULL,
    means      VARCHAR NOT NULL,
    shown      VARCHAR NOT NULL
);
