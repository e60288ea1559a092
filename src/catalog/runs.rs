//! The rows of runs. Their truth is their journals; here they can be asked for in SQL.

use super::Session;
use super::backups::failed;
use super::record::sql_time;
use crate::error::Result;
use duckdb::{Connection, params};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::HashMap;

/// One run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Its id.
    pub id: String,
    /// The runbook's name.
    pub runbook: String,
    /// The runbook's title.
    pub title: String,
    /// `RUNNING`, `WAITING`, `PAUSED`, `SUCCEEDED`, `FAILED`, `ABORTED`.
    pub state: &'static str,
    /// The stack's name.
    pub stack: String,
    /// When it was begun.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Who began it.
    pub user: String,
    /// Where.
    pub host: String,
    /// The version of backstop.
    pub version: String,
    /// The SHA-256 of the runbook.
    pub sha256: String,
    /// What it was given, secrets as references.
    pub parameters: Value,
    /// Why it failed.
    pub error: Option<Value>,
    /// How many bytes of its journal this was made of.
    pub journal_bytes: u64,
    /// Its steps, in order.
    pub steps: Vec<RunStepRow>,
    /// Every attempt.
    pub attempts: Vec<RunAttemptRow>,
    /// What people decided.
    pub approvals: Vec<RunApprovalRow>,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunStepRow {
    /// Its id.
    pub step: String,
    /// Its state.
    pub state: &'static str,
    /// How many attempts there were.
    pub attempts: usize,
    /// How long they took.
    pub seconds: f64,
    /// What later steps may use.
    pub outputs: Value,
    /// Why it failed.
    pub error: Option<Value>,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct RunAttemptRow {
    /// The step, or a part of one.
    pub step: String,
    /// From 1.
    pub attempt: u32,
    /// Its state.
    pub state: &'static str,
    /// What was done.
    pub plan: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<Value>,
}

/// What a person decided.
#[derive(Debug, Clone, PartialEq)]
pub struct RunApprovalRow {
    /// The step.
    pub step: String,
    /// `approved`, `done`, `retry`, `skip`.
    pub decision: String,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub user: String,
    /// Where.
    pub host: String,
    /// How.
    pub means: &'static str,
    /// What was shown, or the reason that was given.
    pub shown: String,
}

impl Session {
    /// Inserts or replaces a run with all that belongs to it.
    pub fn put_run(&mut self, run: &RunRow) -> Result<()> {
        put(&self.connection, run).map_err(|e| {
            // Whatever began is given up; the next mirroring does it again.
            let _ = self.connection.execute_batch("ROLLBACK");
            failed("record run in", e)
        })
    }

    /// How much of each run's journal is recorded, by id, with its state.
    pub fn recorded_runs(&self) -> Result<HashMap<String, (u64, String)>> {
        let read = || -> duckdb::Result<HashMap<String, (u64, String)>> {
            let mut statement =
                self.connection.prepare("SELECT id, journal_bytes, state FROM runs")?;
            let row = |row: &duckdb::Row<'_>| {
                let bytes = u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default();
                Ok((row.get(0)?, (bytes, row.get(2)?)))
            };
            statement.query_map([], row)?.collect()
        };
        read().map_err(|e| failed("read runs from", e))
    }
}

fn put(connection: &Connection, run: &RunRow) -> duckdb::Result<()> {
    let time = |at: Option<Timestamp>| at.map(sql_time);
    let json = |value: &Option<Value>| value.as_ref().map(Value::to_string);
    connection.execute_batch("BEGIN")?;
    for table in ["run_steps", "run_attempts", "run_approvals"] {
        connection.execute(&format!("DELETE FROM {table} WHERE run_id = ?"), [&run.id])?;
    }
    connection.execute(
        "INSERT OR REPLACE INTO runs
         VALUES (?, ?, ?, ?, ?, ?::TIMESTAMP, ?::TIMESTAMP, ?, ?, ?, ?, ?, ?, ?)",
        params![
            run.id,
            run.runbook,
            run.title,
            run.state,
            run.stack,
            sql_time(run.started_at),
            time(run.finished_at),
            run.user,
            run.host,
            run.version,
            run.sha256,
            run.parameters.to_string(),
            json(&run.error),
            run.journal_bytes as i64,
        ],
    )?;
    for (position, step) in run.steps.iter().enumerate() {
        connection.execute(
            "INSERT INTO run_steps VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                run.id,
                position as i64 + 1,
                step.step,
                step.state,
                step.attempts as i64,
                step.seconds,
                step.outputs.to_string(),
                json(&step.error),
            ],
        )?;
    }
    for attempt in &run.attempts {
        connection.execute(
            "INSERT INTO run_attempts VALUES (?, ?, ?, ?, ?, ?::TIMESTAMP, ?::TIMESTAMP, ?)",
            params![
                run.id,
                attempt.step,
                attempt.attempt,
                attempt.state,
                attempt.plan,
                sql_time(attempt.started_at),
                time(attempt.finished_at),
                json(&attempt.error),
            ],
        )?;
    }
    for approval in &run.approvals {
        connection.execute(
            "INSERT INTO run_approvals VALUES (?, ?, ?, ?::TIMESTAMP, ?, ?, ?, ?)",
            params![
                run.id,
                approval.step,
                approval.decision,
                sql_time(approval.at),
                approval.user,
                approval.host,
                approval.means,
                approval.shown,
            ],
        )?;
    }
    connection.execute_batch("COMMIT")
}
